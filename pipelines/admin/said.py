"""The runner's sentences in the reader's language; they are stored in English.

The catalogue has them under the context `runner`, each a template with names in braces for what
was put in (`messages.sentences` takes them from the code). A stored text is cut into sentences,
each is looked for among the templates, and what stands in the braces goes into the translation.
What nothing matches stays as it is: PostgreSQL's own words, and what people wrote.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from django.utils import formats, translation
from django.utils.translation.trans_real import DjangoTranslation
from django.utils.translation.trans_real import translation as catalogue_of

from pipelines.admin import cells

_CONTEXT = "runner\x04"
#: As in `messages.sentences`: where a sentence ends and the next begins.
_BORDER = re.compile(r"(?<=[.?!]) (?=[A-Z“])")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+\.\d+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")
_LIST = "; "
#: Placeholders of PostgreSQL's own words.
_QUOTED = {"message", "message_primary"}
#: An error message is a few hundred characters; nothing of ours is longer than this.
_MOST_CHARACTERS = 20_000
#: A phrase in a phrase in a sentence.
_DEEPEST = 3


class Template(NamedTuple):
    """A message of the catalogue: the text around its placeholders, their names, and the
    translation. `are_numbers` has the placeholders with a number's format.
    """

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    are_numbers: frozenset[str]
    translation: str


def said(text: str | None) -> str:
    """The text in the active language, as far as it is the runner's; never raises."""
    language = translation.get_language()
    if not text or not language or len(text) > _MOST_CHARACTERS:
        return text or ""
    templates = _templates(language)
    if not templates:
        return _MOMENT.sub(_local, text)
    return _MOMENT.sub(_local, _translated(text, templates))


def _local(match: re.Match[str]) -> str:
    """A time that the runner wrote in UTC, in the reader's zone."""
    try:
        return cells.exactly(datetime.fromisoformat(f"{match[1]}+00:00"))
    except ValueError:
        return match[0]


def _translated(text: str, templates: dict[str, tuple[Template, ...]]) -> str:
    return " ".join(_sentence(part, templates, 0) for part in _BORDER.split(text))


@lru_cache(maxsize=8)
def _templates(language: str) -> dict[str, tuple[Template, ...]]:
    """By the first letter of what they can match, "" for any other; the longest text first."""
    found: dict[str, list[Template]] = {}
    for text, translated in _messages(catalogue_of(language)):
        template = _template(text, translated)
        found.setdefault(template.pieces[0][:1], []).append(template)
    anywhere = found.get("", [])
    return {
        first: tuple(
            sorted({*group, *anywhere}, key=lambda one: (-len("".join(one.pieces)), one.pieces))
        )
        for first, group in found.items()
    }


def _messages(catalogue: DjangoTranslation) -> list[tuple[str, str]]:
    # Django merges the catalogues of all packages into one that is nowhere public.
    merged = catalogue._catalog  # type: ignore[attr-defined]
    return [
        (key.removeprefix(_CONTEXT), merged[key])
        for key in merged.keys()  # noqa: SIM118 (not a dict: iterating gives numbers)
        if isinstance(key, str) and key.startswith(_CONTEXT)
    ]


def _template(text: str, translated: str) -> Template:
    return Template(
        pieces=tuple(_PLACEHOLDER.split(text)[::2]),
        names=tuple(match[1] for match in _PLACEHOLDER.finditer(text)),
        are_numbers=frozenset(m[1] for m in _PLACEHOLDER.finditer(text) if ":" in m[0]),
        translation=translated,
    )


def _sentence(text: str, templates: dict[str, tuple[Template, ...]], depth: int) -> str:
    for template in templates.get(text[:1]) or templates.get("", ()):
        values = _values(text, template.pieces)
        if values is not None:
            return _filled(template, values, templates, depth)
    return text


def _values(text: str, pieces: tuple[str, ...]) -> list[str] | None:
    """What stands between the pieces, None where they do not fit.

    Each piece is looked for once, from where the one before it ended: linear, unlike a pattern
    with several gaps, and as good, since a gap takes anything.
    """
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return [] if text == first else None
    if not text.startswith(first) or not text.endswith(last):
        return None
    found, at, end = [], len(first), len(text) - len(last)
    for piece in pieces[1:-1]:
        next_at = text.find(piece, at, end)
        if next_at < 0:
            return None
        found.append(text[at:next_at])
        at = next_at + len(piece)
    return [*found, text[at:end]] if at <= end else None


def _filled(
    template: Template,
    values: list[str],
    templates: dict[str, tuple[Template, ...]],
    depth: int,
) -> str:
    shown = {}
    for before, name, value in zip(template.pieces, template.names, values, strict=False):
        if name in template.are_numbers or _THOUSANDS.fullmatch(value):
            shown[name] = _number(value)
        elif before.endswith("“") or name in _QUOTED or depth >= _DEEPEST:
            shown[name] = value  # a name, or what a server said
        else:
            shown[name] = _phrase(value, templates, depth + 1)
    return _PLACEHOLDER.sub(lambda match: shown.get(match[1], ""), template.translation)


def _phrase(text: str, templates: dict[str, tuple[Template, ...]], depth: int) -> str:
    """What was put into a sentence: a phrase of ours, several in a list, or somebody's words."""
    bare = text.strip()
    if not bare:
        return text
    known = _LIST.join(_sentence(part, templates, depth) for part in bare.split(_LIST))
    if known == bare and bare.startswith("“"):
        before, _name, after = translation.gettext("“%(name)s”").partition("%(name)s")
        known = bare.replace("“", before).replace("”", after)
    return text.replace(bare, known)


def _number(text: str) -> str:
    """As the language writes numbers; a text that is none stays."""
    if not _NUMBER.fullmatch(text):
        return text
    whole, _point, places = text.replace(",", "").partition(".")
    value = float(f"{whole}.{places}") if places else int(whole)
    return formats.number_format(value, len(places) or None, force_grouping=True)
