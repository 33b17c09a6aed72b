"""What a comparison says of what it found: ranges of keys, and rows with their values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from runner.comparing.asking import Fields, Pair, copied
from runner.comparing.forms import Form
from runner.comparing.matching import is_near
from runner.comparing.search import Found, Segments, Sum, borders
from runner.comparing.sides import Sides
from runner.comparing.values import Change, Difference, Kind, Range
from runner.statements import comparing
from runner.statements.comparing import Place

Key = tuple[str | None, ...]
#: A key that is there many times has more rows than one looks through for an example.
_MOST_OF_A_KEY = 5_000
_MOST_TRIED = 100


def details(sides: Sides, pair: Pair, found: Found) -> tuple[Difference, ...]:
    """The rows of the sample with their values."""
    columns = sides.source.columns
    wanted = list({key: None for keys in found.sample.values() for key in keys})
    if not wanted:
        return ()
    source = _values(pair, sides.source, wanted)
    target = _values(pair, sides.target, wanted) if sides.table is not None else {}
    return tuple(
        _difference(kind, key, columns, source.get(key, []), target.get(key, []))
        for kind, keys in found.sample.items()
        for key in sorted(keys, key=lambda texts: [text or "" for text in texts])
    )


def _values(pair: Pair, place: Place, keys: list[Key]) -> dict[Key, list[Fields]]:
    rows = copied(pair.side(source=place.source), comparing.values_of(place, keys))
    width = len(place.key)
    found: dict[Key, list[Fields]] = {}
    for fields in rows:
        of_key = found.setdefault(tuple(fields[:width]), [])
        if len(of_key) < _MOST_OF_A_KEY:
            of_key.append(fields[width:])
    return found


def _difference(
    kind: Kind, key: Key, columns: Sequence[Form], source: list[Fields], target: list[Fields]
) -> Difference:
    """One row of a key: where that is there several times, one without an equal."""
    mine, theirs = _unlike(columns, source, target), _unlike(columns, target, source)
    if kind is Kind.DIFFERENT and mine and theirs:
        return Difference(kind=kind, key=key, changes=_changes(columns, mine[0], theirs[0]))
    alone = (mine or source) if kind is Kind.MISSING else (theirs or target)
    shown = alone[-1][::2] if alone else []
    return Difference(
        kind=kind,
        key=key,
        changes=tuple(
            Change(
                column=form.name,
                source=value if kind is Kind.MISSING else None,
                target=value if kind is Kind.EXTRA else None,
            )
            for form, value in zip(columns, shown, strict=False)
        ),
    )


def _unlike(columns: Sequence[Form], rows: list[Fields], others: list[Fields]) -> list[Fields]:
    """Rows without an equal one among the others, as far as an example needs them."""
    whole = {tuple(other[1::2]) for other in others}
    left = [row for row in rows if tuple(row[1::2]) not in whole]
    if all(form.tolerance is None for form in columns):
        return left
    some, few = left[:_MOST_TRIED], others[:_MOST_TRIED]
    return [row for row in some if not any(_are_equal(columns, row, other) for other in few)]


def _changes(columns: Sequence[Form], source: Fields, target: Fields) -> tuple[Change, ...]:
    """The columns that are not equal. Of each there is what is shown, then what is compared."""
    return tuple(
        Change(column=form.name, source=source[2 * i], target=target[2 * i])
        for i, form in enumerate(columns)
        if not is_near(source[2 * i + 1], target[2 * i + 1], form.tolerance)
    )


def _are_equal(columns: Sequence[Form], source: Fields, target: Fields) -> bool:
    return not _changes(columns, source, target)


def ranges_of(segments: Segments, found: Found | None, *, most: int) -> tuple[Range, ...]:
    """Both sides by range of keys, neighbours put together until there are at most `most`."""
    ranges = segments.sides.source.ranges
    count = len(ranges.bounds) + 1
    step = -(-count // most)
    differing = {number // ranges.parts for number in segments.differing}
    return tuple(
        _range(segments, found, differing, first, min(first + step, count) - 1)
        for first in range(0, count, step)
    )


def _range(
    segments: Segments, found: Found | None, differing: set[int], first: int, last: int
) -> Range:
    ranges = segments.sides.source.ranges
    low, high = borders(ranges, first, last)
    numbers = range(first, last + 1)
    inside = [n * ranges.parts + part for n in numbers for part in range(ranges.parts)]
    none = Sum()
    empty = Range(
        low=low,
        high=high,
        source=sum(segments.source.get(n, none).rows for n in inside),
        target=sum(segments.target.get(n, none).rows for n in inside),
        differs=not differing.isdisjoint(numbers),
    )
    if found is None:
        return empty
    counted: Counter[Kind] = Counter()
    for number in found.by_range.keys() & numbers:
        counted.update(found.by_range[number])
    return replace(
        empty,
        missing=counted[Kind.MISSING],
        extra=counted[Kind.EXTRA],
        different=counted[Kind.DIFFERENT],
        differs=counted.total() > 0,
    )
