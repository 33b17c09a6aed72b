"""Runs checks over the fields that changed; and the checks that both subjects share."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from django.utils.translation import gettext as _

from pipelines.names import MAX_BYTES

Errors: TypeAlias = dict[str, list[str]]
#: A field and the sentence that says what is wrong with it.
Finding: TypeAlias = tuple[str, str]
#: The fields a check looks at, and the check, which gets all values.
Check: TypeAlias = tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Iterable[Finding]]]


def run(
    checks: tuple[Check, ...],
    values: Mapping[str, Any],
    *,
    instance: Any,
    new: Mapping[str, Any],
) -> Errors:
    """What is wrong with `values`, which complete `instance`, or `new` when there is none.

    With an instance only checks of fields whose value really changes are run.
    """
    whole = dict(new)
    changed = set(new)
    if instance is not None:
        whole = {field: getattr(instance, field) for field in new}
        changed = {field for field in new if field in values and values[field] != whole[field]}
    whole.update(values)
    errors: Errors = {}
    for fields, check in checks:
        if changed & set(fields):
            for field, sentence in check(whole):
                errors.setdefault(field, []).append(sentence)
    return errors


def taken(model: Any, name: str, instance: Any) -> bool:
    """True when another row of `model` has this name."""
    rivals = model.objects.filter(name=name)
    if instance is not None:
        rivals = rivals.exclude(pk=instance.pk)
    return bool(rivals.exists())


def listed(field: str, value: object, choices: list[str]) -> Iterator[Finding]:
    """A value that is not one of `choices`."""
    if value not in choices:
        sentence = _("“%(value)s” is not one of the possible values: %(choices)s.")
        yield field, sentence % {"value": short(value), "choices": ", ".join(choices)}


def whole_number(field: str, value: object, *, most: int, sentence: str) -> Iterator[Finding]:
    """Anything but an integer from 1 to `most`; True and False are no numbers here."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        yield field, sentence


def identifier(field: str, value: str, *, when_empty: str) -> Iterator[Finding]:
    """A name that PostgreSQL could not have for a column, a schema, a role or a database."""
    if not value or not value.strip():
        yield field, when_empty
    elif "\0" in value:
        yield field, _("A name cannot contain the character NUL.")
    elif len(value.encode()) > MAX_BYTES:
        sentence = _("“%(name)s…” is longer than %(most)d bytes, which no name can be.")
        yield field, sentence % {"name": value[:40], "most": MAX_BYTES}


def short(value: object) -> str:
    """The value as a sentence can quote it."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
