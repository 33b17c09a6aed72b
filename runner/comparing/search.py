"""Finding what differs: sums by segment first, then the rows of the segments whose sums differ."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from psycopg import sql

from runner.comparing import matching
from runner.comparing.asking import Fields, Pair, copied, fields_of, lines, one_row
from runner.comparing.borders import borders_of
from runner.comparing.forms import Form
from runner.comparing.sides import Sides
from runner.comparing.values import Done, Kind, Progress
from runner.preflight.values import Rejected
from runner.statements import comparing
from runner.statements.comparing import Place, Ranges

#: About so many rows of a table go into one segment.
_ROWS_IN_SEGMENT = 250
_MOST_SEGMENTS = 4096
#: Of each side no more rows than about these are held, unless they have the same key.
_MOST_HELD = 5000
#: Of each side no more characters than these are held of rows that cannot be cut further apart.
_MOST_CHARACTERS = 50_000_000
_TOO_MUCH = (
    "Too many rows have the same key, or the keys are too long, to be told apart row by row. "
    "Compare by checksum, or name key columns that are short and tell rows apart."
)
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
    """Segment after segment, the rows of both sides as lines. Both servers compute at once, and
    only one segment (or a piece of it) is held at a time."""
    sides, pieces = segments.sides, _pieces(segments, wanted)
    asked = [
        comparing.rows_of(place, wanted, _spans(place, wanted), pieces=pieces)
        for place in (sides.source, sides.target)
    ]
    if sides.table is None:
        source, target = _grouped(lines(pair.source, asked[0])), _grouped(iter(()))
    else:
        source, target = map(_grouped, pair.begun(*asked))
    left, right = next(source, None), next(target, None)
    while left or right:
        number = min(group[0] for group in (left, right) if group)
        on_source = left[1] if left and left[0] == number else []
        on_target = right[1] if right and right[0] == number else []
        yield number // pieces, on_source, on_target
        left = next(source, None) if left and left[0] == number else left
        right = next(target, None) if right and right[0] == number else right


def _grouped(rows: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    for number, group in groupby(rows, key=lambda line: line[: line.index("\t")]):
        yield int(number), [*_held(group)]


def _held(group: Iterator[str]) -> Iterator[str]:
    """The lines, as long as they find room. Raises Rejected."""
    characters = 0
    for line in group:
        characters += len(line)
        if characters > _MOST_CHARACTERS:
            raise Rejected({"key_columns": [_TOO_MUCH]})
        yield line


def _pieces(segments: Segments, wanted: Sequence[int]) -> int:
    """Into how many pieces these segments are cut, since the target's borders say nothing of rows
    that only the source has."""
    none = Sum()
    sides = (segments.source, segments.target)
    largest = max((side.get(n, none).rows for side in sides for n in wanted), default=0)
    pieces = 1
    while pieces * _MOST_HELD < largest:
        pieces *= 2
    return pieces


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
    mine, theirs = unmatched(left, right, near)
    different = min(len(mine), len(theirs))
    if different:
        yield Kind.DIFFERENT, different
    if len(mine) > different:
        yield Kind.MISSING, len(mine) - different
    if len(theirs) > different:
        yield Kind.EXTRA, len(theirs) - different


def unmatched(
    left: list[Fields], right: list[Fields], near: Sequence[Form]
) -> tuple[list[Fields], list[Fields]]:
    """Rows without an equal one on the other side: of each its hash, then its near values."""
    on_left, on_right = Counter(map(tuple, left)), Counter(map(tuple, right))
    mine = [list(row) for row in (on_left - on_right).elements()]
    theirs = [list(row) for row in (on_right - on_left).elements()]
    if not near or not mine or not theirs:
        return mine, theirs
    return matching.unmatched(left, right, [form.tolerance for form in near])


def keys_of(
    segments: Segments, pair: Pair, wanted: Sequence[int]
) -> Iterator[tuple[Kind, tuple[str | None, ...]]]:
    """The keys of the rows that differ in these segments, with what is wrong with each."""
    near = [form for form in segments.sides.source.columns if form.tolerance is not None]
    for _number, on_source, on_target in _side_by_side(segments, pair, wanted):
        for kind, key, _times in _compare(on_source, on_target, near):
            yield kind, key


def parts_of(segments: Segments, *, rows: int) -> Iterator[list[int]]:
    """The segments that differ, some at a time, so that both sides have about `rows` rows each."""
    part: list[int] = []
    size, none = 0, Sum()
    for number in segments.differing:
        part.append(number)
        size += max(segments.source.get(number, none).rows, segments.target.get(number, none).rows)
        if size >= rows:
            yield part
            part, size = [], 0
    if part:
        yield part
