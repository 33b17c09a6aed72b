"""The rows that a comparison found, as tables: keys, and old and new values side by side."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pipelines.admin import cells
from pipelines.admin.compared import EXPLAINED
from pipelines.models import MOST_SAMPLE, Reconciliation

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: More rows of a kind make a page that nobody reads to its end; the API has all that were kept.
MOST_ROWS = 200
#: So many columns of a missing or extra row, beside its key.
_MOST_COLUMNS = 12
#: What is shown of a value where nothing is marked in it, and of what is marked, in characters.
_MOST_CHARACTERS = 160
#: Of what is the same before and after the part that differs.
_AROUND = 30
#: How the comparison cuts a long value: its beginning, and a hash of all of it.
_CUT = re.compile(r"… [0-9a-f]{32}\Z")
_LONG = 300
_WHOLE = re.compile(r"-?[0-9]{1,30}")

_TITLES: "dict[str, StrOrPromise]" = {
    "different": gettext_lazy("Different rows"),
    "missing": gettext_lazy("Missing rows"),
    "extra": gettext_lazy("Extra rows"),
}
_INVISIBLE = str.maketrans({" ": "·", "\t": "→", "\r": "␍", "\n": "␊\n", "\N{NO-BREAK SPACE}": "⍽"})
_DRAW_NOTHING = ("Cc", "Cf")


class Form(StrEnum):
    """What a cell shows in place of, or around, its text."""

    TEXT = "text"
    NULL = "null"
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value in three parts, of which `marked` is what differs from the other side's."""

    form: Form = Form.TEXT
    before: str = ""
    marked: str = ""
    after: str = ""
    differs_further_on: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """A column of a row on both sides; without values for who may not see them."""

    column: str
    old: Value | None = None
    new: Value | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row: its key, and what differs, or for a missing or extra one its `cells`."""

    key: tuple[Value, ...]
    changes: tuple[Change, ...] = ()
    cells: tuple[Value | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a kind; `columns` are those beside the key. `more` says what is not shown."""

    kind: str
    title: "StrOrPromise"
    hint: "StrOrPromise"
    count: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    more: str

    @property
    def is_of_changes(self) -> bool:
        """Whether both sides have its rows."""
        return self.kind == "different"


def tables(
    row: Reconciliation, rows: Sequence[Mapping[str, Any]], *, sees_values: bool
) -> Iterator[Table]:
    """A table for each kind of which there is a row; `rows` as this person may see them."""
    for kind, title in _TITLES.items():
        count = row.counts().get(kind) or 0
        if count:
            kept = sorted((one for one in rows if one["kind"] == kind), key=_place)
            shown = kept[:MOST_ROWS]
            columns = _columns(row, shown) if sees_values and kind != "different" else ()
            yield Table(
                kind=kind,
                title=title,
                hint=EXPLAINED[kind],
                count=cells.number(count),
                columns=columns,
                lines=tuple(_line(one, columns, sees_values=sees_values) for one in shown),
                more=_more(row, count, len(kept), len(shown)),
            )


def _place(one: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    """As people count: keys arrive as text, in which 10 comes before 9."""
    return [
        (0, int(value), "") if value and _WHOLE.fullmatch(value) else (1, 0, value or "")
        for value in one["key"]
    ]


def _columns(row: Reconciliation, shown: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    named = dict.fromkeys(
        change["column"]
        for one in shown
        for change in one["changes"]
        if change["column"] not in row.key
    )
    return tuple(islice(named, _MOST_COLUMNS))


def _line(one: Mapping[str, Any], columns: Sequence[str], *, sees_values: bool) -> Line:
    key = tuple(plain(value) for value in one["key"])
    if one["kind"] == "different":
        return Line(key=key, changes=tuple(_changes(one["changes"], sees_values=sees_values)))
    side = "source" if one["kind"] == "missing" else "target"
    values = {change["column"]: change.get(side) for change in one["changes"]}
    return Line(
        key=key, cells=tuple(plain(values[name]) if name in values else None for name in columns)
    )


def _changes(changes: Sequence[Mapping[str, Any]], *, sees_values: bool) -> Iterator[Change]:
    for change in changes:
        if sees_values:
            old, new = side_by_side(change["target"], change["source"])
            yield Change(column=change["column"], old=old, new=new)
        else:
            yield Change(column=change["column"])


def _more(row: Reconciliation, count: int, kept: int, shown: int) -> str:
    """What of the rows is not in the table, and how to get it."""
    if shown < kept:
        return ngettext(
            "The first %(count)s row is shown here; the API has all that are kept.",
            "The first %(count)s rows are shown here; the API has all that are kept.",
            shown,
        ) % {"count": cells.number(shown)}
    if kept >= count:
        return ""
    facts = {"kept": cells.number(kept), "count": cells.number(count), "most": MOST_SAMPLE}
    if row.sample_size >= MOST_SAMPLE:
        return _("%(kept)s of %(count)s rows are kept; more than that never are.") % facts
    return (
        _(
            "%(kept)s of %(count)s rows are kept. Compare again with more rows to show, "
            "up to %(most)d."
        )
        % facts
    )


# Values.


def plain(text: str | None) -> Value:
    """A value by itself, cut where it is long."""
    if text is None:
        return Value(form=Form.NULL)
    if text == "":
        return Value(form=Form.EMPTY)
    bare = _without_hash(text)
    is_long = len(bare) > _MOST_CHARACTERS
    return Value(before=bare[: _MOST_CHARACTERS - 1] + "…" if is_long else bare)


def side_by_side(old: str | None, new: str | None) -> tuple[Value, Value]:
    """Both values, each with what the other one does not have marked."""
    if not old or not new:
        return _marked_whole(old), _marked_whole(new)
    mine, theirs = _without_hash(old), _without_hash(new)
    if mine == theirs:
        return _further_on(mine), _further_on(theirs)
    start = _same_start(mine, theirs)
    end = _same_end(mine, theirs, start)
    looks_alike = unicodedata.normalize("NFC", mine) == unicodedata.normalize("NFC", theirs)
    say = _spelled if looks_alike else _visible
    return _parts(mine, start, end, say), _parts(theirs, start, end, say)


def _marked_whole(text: str | None) -> Value:
    if not text:
        return plain(text)
    bare = _without_hash(text)
    return _parts(bare, 0, 0, _visible)


def _further_on(text: str) -> Value:
    return Value(before=plain(text).before, differs_further_on=True)


def _without_hash(text: str) -> str:
    return text[:-33] if len(text) > _LONG and _CUT.search(text) else text


def _same_start(one: str, other: str) -> int:
    """How many characters both begin with; an accent stays with its letter."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    while count and any(_is_accent(text[count : count + 1]) for text in (one, other)):
        count -= 1
    return count


def _same_end(one: str, other: str, start: int) -> int:
    """How many characters both end with after their common start."""
    most = min(len(one), len(other)) - start
    count = 0
    while count < most and one[-1 - count] == other[-1 - count]:
        count += 1
    while count and _is_accent(one[len(one) - count]):
        count -= 1
    return count


def _is_accent(character: str) -> bool:
    return bool(character) and unicodedata.combining(character) > 0


def _parts(text: str, start: int, end: int, say: Callable[[str], str]) -> Value:
    stop = len(text) - end
    before, marked, after = text[:start], text[start:stop], text[stop:]
    if len(before) > _AROUND:
        before = "…" + before[1 - _AROUND :]
    if len(after) > _AROUND:
        after = after[: _AROUND - 1] + "…"
    if len(marked) > _MOST_CHARACTERS:
        marked = marked[: _MOST_CHARACTERS - 1] + "…"
    return Value(before=before, marked=say(marked), after=after)


def _visible(text: str) -> str:
    """What differs must be seen: spaces at its ends, and whatever else draws nothing."""
    bare = text.strip()
    if not bare:
        return text.translate(_INVISIBLE)
    first = text.index(bare)
    before, after = text[:first], text[first + len(bare) :]
    return before.translate(_INVISIBLE) + _named(bare) + after.translate(_INVISIBLE)


def _named(text: str) -> str:
    """Characters that draw nothing, by their code."""
    return "".join(
        _code(one) if unicodedata.category(one) in _DRAW_NOTHING and one not in "\n\t\r" else one
        for one in text
    )


def _spelled(text: str) -> str:
    """Every character that is not plain, by its code: both sides look the same."""
    return "".join(one if one.isascii() else _code(one) for one in text)


def _code(character: str) -> str:
    return f"‹U+{ord(character):04X}›"
