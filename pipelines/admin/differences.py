"""In what two versions of a row differ, field by field, as people read it; texts line by line."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.utils.translation import gettext as _

from pipelines.admin import cells
from pipelines.changes import values_of
from pipelines.models import Connection

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

_CONTEXT = 3
#: More lines than that are folded away until they are asked for.
_LONG = 24
#: More than that are not read by anybody, and a page has 25 versions.
_MOST_LINES = 400
#: Comparing takes lines times lines; beyond that a text counts as replaced in one piece.
_MOST_COMPARED = 1_000_000


class Kind(StrEnum):
    """What became of a line; `GAP` stands for lines left out."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    GAP = "gap"


_MARKS = {Kind.SAME: " ", Kind.ADDED: "+", Kind.REMOVED: "−", Kind.GAP: "⋯"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a text, in which invisible ends are made visible."""

    kind: Kind
    text: str = ""

    @property
    def mark(self) -> str:
        """What stands before it, so that colour is not all that tells."""
        return _MARKS[self.kind]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that differs: `old` and `new` in words, or for a text its `lines`.

    `added` and `removed` count lines, those that are not shown too.
    """

    name: str
    label: "StrOrPromise"
    old: str = ""
    new: str = ""
    lines: tuple[Line, ...] = ()
    unshown: int = 0
    added: int = 0
    removed: int = 0

    @property
    def is_long(self) -> bool:
        """True where it is better folded."""
        return len(self.lines) > _LONG


def between(old: Any, new: Any, names: Mapping[UUID, str]) -> list[Difference]:
    """What a reader sees changing from `old` to `new`: rows, or records of them.

    `names` are those of the connections by key. With `old` None it is all that `new` has.
    """
    if old is None:
        return _whole(new, names)
    before = values_of(old)
    return [
        _difference(new._meta.get_field(name), before[name], value, names)
        for name, value in values_of(new).items()
        if before[name] != value
    ]


def connection_names(rows: Iterable[Any]) -> dict[UUID, str]:
    """The names of all connections that these rows or records mention, deleted ones included."""
    keys = {value for row in rows for value in values_of(row).values() if isinstance(value, UUID)}
    if not keys:
        return {}
    # The last name that was kept is what a connection is called, or was when it was deleted.
    kept = Connection.history.filter(id__in=keys).order_by("id", "-history_id").distinct("id")
    return dict(kept.values_list("id", "name"))


def _whole(row: Any, names: Mapping[UUID, str]) -> list[Difference]:
    """All that the row has, without the marks of what came."""
    found = []
    for name, value in values_of(row).items():
        field = row._meta.get_field(name)
        if value in (None, "", []):
            continue
        if isinstance(field, models.TextField):
            found.append(_of_text(field, (Line(kind=Kind.SAME, text=t) for t in _lines_of(value))))
        else:
            found.append(_difference(field, None, value, names))
    return found


def _difference(field: Any, old: Any, new: Any, names: Mapping[UUID, str]) -> Difference:
    if isinstance(field, models.TextField):
        return _of_text(field, _compared(_lines_of(old), _lines_of(new)))
    return Difference(
        name=field.name,
        label=field.verbose_name,
        old=_said(field, old, names),
        new=_said(field, new, names),
    )


def _of_text(field: Any, compared: Iterable[Line]) -> Difference:
    lines = tuple(compared)
    return Difference(
        name=field.name,
        label=field.verbose_name,
        lines=lines[:_MOST_LINES],
        unshown=len(lines[_MOST_LINES:]),
        added=sum(line.kind == Kind.ADDED for line in lines),
        removed=sum(line.kind == Kind.REMOVED for line in lines),
    )


def _said(field: Any, value: Any, names: Mapping[UUID, str]) -> str:
    """The value in a reader's words."""
    if value is None or value in ("", []):
        return cells.EMPTY
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, UUID):
        return names.get(value, _("a deleted connection"))
    if isinstance(value, list):
        return ", ".join(value)
    return str(dict(field.flatchoices).get(value, value))


def _lines_of(text: str | None) -> list[str]:
    return text.split("\n") if text else []


def _compared(old: list[str], new: list[str]) -> Iterator[Line]:
    """The lines of a unified difference, with a gap wherever equal lines are left out."""
    end = 0
    for group in _groups(old, new):
        if group[0][1] > end:
            yield Line(kind=Kind.GAP)
        for tag, first, last, new_first, new_last in group:
            if tag == "equal":
                yield from (Line(kind=Kind.SAME, text=text) for text in old[first:last])
                continue
            yield from (Line(kind=Kind.REMOVED, text=_visible(text)) for text in old[first:last])
            yield from (
                Line(kind=Kind.ADDED, text=_visible(text)) for text in new[new_first:new_last]
            )
        end = group[-1][2]
    if end < len(old):
        yield Line(kind=Kind.GAP)


def _groups(old: list[str], new: list[str]) -> Iterable[list[tuple[str, int, int, int, int]]]:
    if len(old) * len(new) <= _MOST_COMPARED:
        return SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT)
    start = _common(old, new)
    rest = _common(old[start:][::-1], new[start:][::-1])
    return [[("replace", start, len(old) - rest, start, len(new) - rest)]]


def _common(old: list[str], new: list[str]) -> int:
    """How many lines both begin with."""
    return next(
        (count for count, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
        min(len(old), len(new)),
    )


def _visible(text: str) -> str:
    """Where a line differs in its end alone, the end must be seen."""
    bare = text.rstrip()
    end = text[len(bare) :].replace("\r", "␍").replace(" ", "·").replace("\t", "→")
    return bare + end
