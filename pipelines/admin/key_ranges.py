"""A comparison by ranges of keys: a bar for each, told apart by its pattern, and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from pipelines.admin import cells
from pipelines.admin.compared import KINDS
from pipelines.models import Reconciliation

#: A long key says no more than its beginning.
_MOST_CHARACTERS = 40
#: The lowest bar of a range that differs, in percent of the highest.
_LEAST_HEIGHT = 30


class Part(NamedTuple):
    """A piece of a bar: what is wrong with so many rows."""

    kind: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One range: `parts` are empty where nothing differs; `height` is in percent."""

    parts: tuple[Part, ...]
    height: int
    where: str
    counts: str
    what: str

    @property
    def title(self) -> str:
        """What the mouse finds there."""
        return "\n".join(filter(None, (self.where, self.counts, self.what)))

    @property
    def differs(self) -> bool:
        """Whether something is wrong in it."""
        return bool(self.parts)


def strip(row: Reconciliation, *, sees_keys: bool) -> dict[str, Any] | None:
    """The bars of a comparison and what is around them; without borders for who may see no keys."""
    if not row.ranges:
        return None
    column = row.key[0] if row.key else ""
    highest = max(_wrong(part) for part in row.ranges)
    bars = [_bar(part, highest, _where(column, part) if sees_keys else "") for part in row.ranges]
    return {
        "bars": bars,
        "differing": [bar for bar in bars if bar.differs] if sees_keys else [],
        "summary": _summary(bars),
        "kinds": [kind for kind in (*KINDS, "unknown") if _has(bars, kind)],
        "ends": _ends(column, row.ranges) if sees_keys else None,
    }


def _bar(part: Mapping[str, Any], highest: int, where: str) -> Bar:
    counts = _("source rows: %(source)s, target rows: %(target)s") % {
        "source": cells.number(part["source"]),
        "target": cells.number(part["target"]),
    }
    parts = tuple(Part(kind, part[kind]) for kind in KINDS if part[kind])
    if not parts and part["differs"]:
        # Sums differ, and nobody looked at rows.
        what = pgettext("a range of keys", "differs")
        return Bar(parts=(Part("unknown", 1),), height=100, where=where, counts=counts, what=what)
    share = sqrt(_wrong(part) / highest) if highest else 0
    return Bar(
        parts=parts,
        height=round(_LEAST_HEIGHT + (100 - _LEAST_HEIGHT) * share),
        where=where,
        counts=counts,
        what=", ".join(
            _("%(what)s: %(count)s") % {"what": KINDS[kind], "count": cells.number(count)}
            for kind, count in parts
        )
        or pgettext("a range of keys", "equal"),
    )


def _wrong(part: Mapping[str, Any]) -> int:
    return sum(part[kind] for kind in KINDS)


def _where(column: str, part: Mapping[str, Any]) -> str:
    facts = {"column": column, "low": _short(part["low"]), "high": _short(part["high"])}
    if part["low"] is None and part["high"] is None:
        return _("all keys")
    if part["low"] is None:
        return _("%(column)s below %(high)s") % facts
    if part["high"] is None:
        return _("%(column)s from %(low)s") % facts
    return _("%(column)s from %(low)s up to, without, %(high)s") % facts


def _ends(column: str, ranges: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """What is written below the first bar and below the last one."""
    if len(ranges) == 1:
        return None
    return _where(column, ranges[0]), _where(column, ranges[-1])


def _summary(bars: Sequence[Bar]) -> str:
    differing = sum(bar.differs for bar in bars)
    if not differing:
        return _("Nothing differs in any range of keys.")
    return ngettext(
        "%(differing)d of %(count)d range of keys differs.",
        "%(differing)d of %(count)d ranges of keys differ.",
        len(bars),
    ) % {"differing": differing, "count": len(bars)}


def _has(bars: Sequence[Bar], kind: str) -> bool:
    return any(part.kind == kind for bar in bars for part in bar.parts)


def _short(text: str | None) -> str:
    if text is None or len(text) <= _MOST_CHARACTERS:
        return text or ""
    return text[: _MOST_CHARACTERS - 1] + "…"


__all__ = ["Bar", "Part", "strip"]
