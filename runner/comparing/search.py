"""Finding what differs: sums by segment first, then the rows of the segments whose sums differ."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby

from psycopg import sql

from runner.comparing.asking import Fields, Pair, copied, fields_of, lines, one_row
from runner.comparing.borders import borders_of
from runner.comparing.forms import Form
from runner.comparing.sides import Sides
from runner.comparing.values import Change, Difference, Done, Kind, Progress, Range
from runner.statements import comparing
from runner.statements.comparing import Place, Ranges

#: About so many rows of a table go into one segment.
_ROWS_IN_SEGMENT = 250
_MOST_SEGMENTS = 4096
#: With more conditions than this no index is asked.
_MOST_SPANS = 128


@dataclass(frozen=True)
class Sum:
    """The rows of a segment on one side."""

    rows: int = 0
    hashes: str = "0"


@dataclass(frozen=True, kw_only=True)
class Segments:
    """What both sides say of each segment."""

    sides: Sides
    source: dict[int, Sum]
    target: dict[int, Sum]

    @property
    def differing(self) -> list[int]:
        """The numbers of segments that are not equal, in order."""
        numbers = self.source.keys() | self.target.keys()
        none = Sum()
        return sorted(n for n in numbers if self.source.get(n, none) != self.target.get(n, none))


@dataclass(kw_only=True)
class Found:
    """Rows that differ: how many of each kind by range, and the first of them."""

    sample: dict[Kind, list[tuple[str | None, ...]]] = field(
        default_factory=lambda: {kind: [] for kind in Kind}
    )
    by_range: dict[int, Counter[Kind]] = field(default_factory=dict)

    def total(self, kind: Kind) -> int:
        """How many rows of that kind."""
        return sum(counter[kind] for counter in self.by_range.values())


def in_ranges(sides: Sides, pair: Pair) -> Sides:
    """Cut into segments of about equal size, by what the target's first key column is like."""
    first = next((form for form in sides.key[:1] if form.ranged), None)
    if sides.table is None:
        return sides
    pages = int(one_row(pair.target, comparing.pages(sides.table.oid))[0] or 0)
    bounds: tuple[str, ...] = ()
    wanted = max(1, min(_MOST_SEGMENTS, pages * 100 // _ROWS_IN_SEGMENT))
    if first is not None and wanted > 1:
        bounds = borders_of(sides, pair, first, pages=pages, wanted=wanted)
    parts = 1
    while (len(bounds) + 1) * 2 * parts <= wanted and not _is_unique(sides, bounds):
        parts *= 2
    return sides.with_ranges(Ranges(first=first, bounds=bounds, parts=parts))


def _is_unique(sides: Sides, bounds: Sequence[str]) -> bool:
    """One key column whose values alone give as many ranges as are wanted."""
    return len(sides.key) == 1 and bool(sides.key[0].width) and len(bounds) > 1


def sum_up(sides: Sides, pair: Pair, progress: Progress) -> Segments:
    """Count and hash everything once on both sides."""
    progress(Done(phase="summing"))
    source, target = _sums(sides, pair)
    found = Segments(sides=sides, source=source, target=target)
    rows = sum(s.rows for s in source.values()) + sum(s.rows for s in target.values())
    progress(Done(phase="summing", rows=rows, of=rows))
    return found


def _sums(sides: Sides, pair: Pair) -> tuple[dict[int, Sum], dict[int, Sum]]:
    on_source = comparing.segments(sides.source)
    if sides.table is None:
        return _by_number(copied(pair.source, on_source)), {}
    source, target = pair.both(on_source, comparing.segments(sides.target))
    return _by_number(source), _by_number(target)


def _by_number(rows: Iterator[Fields] | list[Fields]) -> dict[int, Sum]:
    return {int(n or 0): Sum(int(count or 0), hashes or "0") for n, count, hashes in rows}


def find_rows(segments: Segments, pair: Pair, *, sample: int, progress: Progress) -> Found:
    """Look at each row of the segments that differ; `sample` keys of each kind are kept."""
    wanted, found, sides = segments.differing, Found(), segments.sides
    if not wanted:
        return found
    none = Sum()
    of = sum(segments.source.get(n, none).rows + segments.target.get(n, none).rows for n in wanted)
    done = 0
    for number, on_source, on_target in _side_by_side(segments, pair, wanted):
        near = [form for form in sides.source.columns if form.tolerance is not None]
        counter = found.by_range.setdefault(number // sides.source.ranges.parts, Counter())
        for kind, key, times in _compare(on_source, on_target, near):
            counter[kind] += times
            kept = found.sample[kind]
            if len(kept) < sample:
                kept.append(key)
        before, done = done, done + len(on_source) + len(on_target)
        if done // 10_000 != before // 10_000:
            progress(Done(phase="looking at rows", rows=done, of=of))
    progress(Done(phase="looking at rows", rows=of, of=of))
    return found


def _side_by_side(
    segments: Segments, pair: Pair, wanted: Sequence[int]
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Segment after segment, the rows of both sides as lines. Both servers have begun before a
    row is read, and only one segment is held at a time."""
    sides = segments.sides
    source = _grouped(pair, sides.source, wanted)
    target = _grouped(pair, sides.target, wanted) if sides.table is not None else iter(())
    with ThreadPoolExecutor(max_workers=1) as pool:
        first = pool.submit(next, target, None)
        left, right = next(source, None), first.result()
    while left or right:
        number = min(group[0] for group in (left, right) if group)
        on_source = left[1] if left and left[0] == number else []
        on_target = right[1] if right and right[0] == number else []
        yield number, on_source, on_target
        left = next(source, None) if left and left[0] == number else left
        right = next(target, None) if right and right[0] == number else right


def _grouped(pair: Pair, place: Place, wanted: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    rows = lines(
        pair.side(source=place.source), comparing.rows_of(place, wanted, _spans(place, wanted))
    )
    for number, group in groupby(rows, key=lambda line: line[: line.index("\t")]):
        yield int(number), list(group)


def _spans(place: Place, wanted: Sequence[int]) -> list[sql.Composable]:
    """Conditions that an index on the first key column can answer, neighbours as one."""
    ranges = place.ranges
    if ranges.first is None or not ranges.bounds:
        return []
    numbers = sorted({n // ranges.parts for n in wanted})
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    if len(spans) > _MOST_SPANS:
        return []
    return [comparing.span(place, *borders(ranges, low, high)) for low, high in spans]


def borders(ranges: Ranges, first: int, last: int) -> tuple[str | None, str | None]:
    """Where the ranges of these numbers begin and end."""
    low = ranges.bounds[first - 1] if first > 0 else None
    high = ranges.bounds[last] if last < len(ranges.bounds) else None
    return low, high


def _compare(
    on_source: list[str], on_target: list[str], near: Sequence[Form]
) -> Iterator[tuple[Kind, tuple[str | None, ...], int]]:
    """What is wrong with the rows of one segment, key by key, and with how many of a key."""
    if not near:
        on_source, on_target = _unlike(on_source, on_target)
    left, right = _by_key(on_source, len(near)), _by_key(on_target, len(near))
    for key in left.keys() | right.keys():
        for kind, times in _kinds(left.get(key, []), right.get(key, []), near):
            yield kind, key, times


def _unlike(on_source: list[str], on_target: list[str]) -> tuple[list[str], list[str]]:
    """Without the rows that are on both sides, which are nearly all."""
    left, right = Counter(on_source), Counter(on_target)
    return list((left - right).elements()), list((right - left).elements())


def _by_key(rows: list[str], near: int) -> dict[tuple[str | None, ...], list[Fields]]:
    found: dict[tuple[str | None, ...], list[Fields]] = {}
    for line in rows:
        fields = fields_of(line)[1:]
        found.setdefault(tuple(fields[1 + near :]), []).append(fields[: 1 + near])
    return found


def _kinds(
    left: list[Fields], right: list[Fields], near: Sequence[Form]
) -> Iterator[tuple[Kind, int]]:
    """What is wrong with the rows of one key. A key may be there several times."""
    rest = list(right)
    unlike = 0
    for row in left:
        match = next((other for other in rest if _is_equal(row, other, near)), None)
        if match is None:
            unlike += 1
        else:
            rest.remove(match)
    different = min(unlike, len(rest))
    if different:
        yield Kind.DIFFERENT, different
    if unlike > different:
        yield Kind.MISSING, unlike - different
    if len(rest) > different:
        yield Kind.EXTRA, len(rest) - different


def _is_equal(row: Fields, other: Fields, near: Sequence[Form]) -> bool:
    if row[0] != other[0]:
        return False
    return all(
        is_near(mine, theirs, form.tolerance)
        for form, mine, theirs in zip(near, row[1:], other[1:], strict=True)
    )


def is_near(mine: str | None, theirs: str | None, tolerance: float | None) -> bool:
    """Whether two numbers, as text, are at most so far apart; without a tolerance, whether two
    texts are equal."""
    if mine == theirs:
        return True
    if mine is None or theirs is None or tolerance is None:
        return False
    return abs(float(mine) - float(theirs)) <= tolerance


def details(sides: Sides, pair: Pair, found: Found) -> tuple[Difference, ...]:
    """The rows of the sample with their values."""
    place = sides.source
    wanted = [key for keys in found.sample.values() for key in keys]
    if not wanted:
        return ()
    source = _values(pair, place, wanted)
    target = _values(pair, sides.target, wanted) if sides.table is not None else {}
    return tuple(
        Difference(
            kind=kind, key=key, changes=_changes(place.columns, source.get(key), target.get(key))
        )
        for kind, keys in found.sample.items()
        for key in sorted(keys, key=lambda texts: [text or "" for text in texts])
    )


def _values(
    pair: Pair, place: Place, keys: list[tuple[str | None, ...]]
) -> dict[tuple[str | None, ...], Fields]:
    rows = copied(pair.side(source=place.source), comparing.values_of(place, keys))
    width = len(place.key)
    return {tuple(fields[:width]): fields[width:] for fields in rows}


def _changes(
    columns: Sequence[Form], source: Fields | None, target: Fields | None
) -> tuple[Change, ...]:
    if source is None or target is None:
        given = source or target or [None] * len(columns)
        return tuple(
            Change(
                column=form.name,
                source=value if source is not None else None,
                target=value if target is not None else None,
            )
            for form, value in zip(columns, given, strict=True)
        )
    return tuple(
        Change(column=form.name, source=mine, target=theirs)
        for form, mine, theirs in zip(columns, source, target, strict=True)
        if not is_near(mine, theirs, form.tolerance)
    )


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
