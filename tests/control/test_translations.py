"""The Russian catalogue is complete: everything said is in it, translated, and compiled."""

import ast
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from django.utils import translation

from messages import catalogue, sentences
from messages.sources import fresh

TO_DO = "Run `make messages` and translate what it names."


@pytest.fixture(scope="module")
def stored() -> Catalog:
    return catalogue.stored()


@pytest.fixture(scope="module")
def said() -> Catalog:
    return fresh()


def keys(catalog):
    return {
        (message.id if isinstance(message.id, str) else tuple(message.id), message.context)
        for message in catalog
        if message.id
    }


def test_everything_that_is_said_is_in_the_catalogue(stored, said):
    assert keys(said) - keys(stored) == set(), TO_DO


def test_nothing_is_in_the_catalogue_that_nobody_says(stored, said):
    assert keys(stored) - keys(said) == set(), TO_DO
    assert not stored.obsolete, TO_DO


def test_everything_is_translated_in_every_plural_form_and_nothing_is_fuzzy(stored):
    assert catalogue.untranslated(stored) == [], TO_DO


def test_translations_have_the_placeholders_of_their_texts(stored):
    assert catalogue.misfilled(stored) == []


def test_the_catalogue_is_written_as_the_command_writes_it(stored):
    assert catalogue.PO.read_bytes() == catalogue.text_of(catalogue.merged(stored)), TO_DO


def test_the_compiled_catalogue_is_what_the_text_compiles_to(stored):
    with catalogue.MO.open("rb") as file:
        compiled = read_mo(file)
    expected = read_mo(BytesIO(catalogue.compiled(stored)))

    def texts(catalog):
        return {(str(m.id), m.context): m.string for m in catalog if m.id}

    assert texts(compiled) == texts(expected), TO_DO


def test_the_plural_forms_are_those_of_djangos_own_russian(stored):
    from django.conf import locale

    path = Path(locale.__path__[0]) / "ru/LC_MESSAGES/django.mo"
    with path.open("rb") as file:
        django = read_mo(file)

    assert stored.plural_forms == django.plural_forms


def test_every_text_has_russian_letters_or_says_why_not(stored):
    names_only = {"TLS", "SQLSTATE", "API", "source_count − target_count"}
    no_words = {"1 %(name)s", "%(count)s %(name)s", "“%(name)s”", "“%(name)s”: %(sentence)s"}
    no_words |= {"%(result)s: %(count)d", "%(what)s: %(count)s"}
    no_words |= {" By %(filter_title)s "}  # a heading, which Russian gives in the nominative

    latin = {
        str(message.id)
        for message in stored
        if message.id and not any("а" <= c <= "я" for c in str(message.string).lower())
    }

    assert latin <= names_only | no_words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 пайплайн включён."),
        (2, "2 пайплайна включены."),
        (5, "5 пайплайнов включены."),
        (11, "11 пайплайнов включены."),
        (21, "21 пайплайн включён."),
        (112, "112 пайплайнов включены."),
    ],
)
def test_plurals_follow_the_number(count, words):
    with translation.override("ru"):
        found = translation.ngettext(
            "%(count)d pipeline is enabled.", "%(count)d pipelines are enabled.", count
        )

    assert found % {"count": count} == words


# What is found in the code.


def templates_of(code: str) -> list[str]:
    return [
        part
        for text in sentences._texts(ast.parse(code))
        for part in sentences._parts(text)
        if sentences._is_for_people(part)
    ]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('x = "One sentence. And another."', ["One sentence.", "And another."]),
        ('x = f"The table {staged.target} is gone."', ["The table {target} is gone."]),
        ('x = f"{rows:,} of {a.name} and {b.name}."', ["{rows:,} of {name} and {name_2}."]),
        ('x = f"Give {len(names)} of {_listed(names)}."', ["Give {count} of {names}."]),
        ('x = f"The {side} says it."', ["The source says it.", "The target says it."]),
        ('x = f"{said} Then run."', ["Then run."]),
        ("x = f\"It is {why or 'nothing special'}.\"", ["It is {why}.", "nothing special"]),
        ('x = "“{}” of {} fails."', ["“{0}” of {1} fails."]),
        ('"""A docstring of words."""', []),
        ('logger.warning("It cannot be %s.", x)', []),
        ('x = "SELECT a FROM b"', []),
        ('raise ValueError("For people who write code.")', []),
    ],
)
def test_sentences_are_found_in_code(code, found):
    assert sorted(templates_of(code)) == sorted(found)
