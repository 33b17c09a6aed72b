"""Rows that are equal within tolerances: which of one side have a partner on the other."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from runner.comparing.asking import Fields
from runner.preflight.values import Rejected

#: Pairs of rows that are tried where several columns have a tolerance.
_MOST_PAIRS = 250_000


def unmatched(
    left: Sequence[Fields], right: Sequence[Fields], tolerances: Sequence[float | None]
) -> tuple[list[Fields], list[Fields]]:
    """Rows without a partner: of each its hash, which must be the same, then its near values.

    With one tolerance as many as possible have one. Raises Rejected where there are too many.
    """
    sides: dict[str | None, tuple[list[Fields], list[Fields]]] = defaultdict(lambda: ([], []))
    for number, rows in enumerate((left, right)):
        for row in rows:
            sides[row[0]][number].append(row)
    alone: tuple[list[Fields], list[Fields]] = ([], [])
    for mine, theirs in sides.values():
        match = _in_order if len(tolerances) == 1 else _one_by_one
        for rest, found in zip(alone, match(mine, theirs, tolerances), strict=True):
            rest.extend(found)
    return alone


def is_near(mine: str | None, theirs: str | None, tolerance: float | None) -> bool:
    """Whether two numbers, as text, are at most so far apart; without a tolerance, whether two
    texts are equal."""
    if mine == theirs:
        return True
    if mine is None or theirs is None or tolerance is None:
        return False
    try:
        # As people read them: 1.1 is no further than 0.1 from 1.0.
        return abs(Fraction(mine) - Fraction(theirs)) <= Fraction(repr(tolerance))
    except ValueError:  # NaN, and what is infinite
        return False


def _in_order(
    mine: list[Fields], theirs: list[Fields], tolerances: Sequence[float | None]
) -> tuple[list[Fields], list[Fields]]:
    """Along the numbers on both sides, smallest first: nobody is left who could have a partner."""
    apart = Fraction(repr(tolerances[0]))
    left, strange = _sorted(mine)
    right, foreign = _sorted(theirs)
    alone, others = _without_twins(strange, foreign)
    i = j = 0
    while i < len(left) and j < len(right):
        distance = left[i][0] - right[j][0]
        if abs(distance) <= apart:
            i, j = i + 1, j + 1
        elif distance < 0:
            alone.append(left[i][1])
            i += 1
        else:
            others.append(right[j][1])
            j += 1
    alone += [row for _number, row in left[i:]]
    others += [row for _number, row in right[j:]]
    return alone, others


def _sorted(rows: list[Fields]) -> tuple[list[tuple[Fraction, Fields]], list[Fields]]:
    """Rows with a number in its order, and those whose value is none (NULL, NaN, infinite)."""
    numbered, strange = [], []
    for row in rows:
        try:
            numbered.append((Fraction(row[1] or ""), row))
        except ValueError:
            strange.append(row)
    numbered.sort(key=lambda pair: pair[0])
    return numbered, strange


def _without_twins(mine: list[Fields], theirs: list[Fields]) -> tuple[list[Fields], list[Fields]]:
    """Values that are no numbers are near to the same ones only."""
    by_value: dict[str | None, tuple[list[Fields], list[Fields]]] = defaultdict(lambda: ([], []))
    for number, rows in enumerate((mine, theirs)):
        for row in rows:
            by_value[row[1]][number].append(row)
    alone: list[Fields] = []
    others: list[Fields] = []
    for left, right in by_value.values():
        both = min(len(left), len(right))
        alone += left[both:]
        others += right[both:]
    return alone, others


def _one_by_one(
    mine: list[Fields], theirs: list[Fields], tolerances: Sequence[float | None]
) -> tuple[list[Fields], list[Fields]]:
    if len(mine) * len(theirs) > _MOST_PAIRS:
        raise Rejected({"tolerances": [_TOO_MANY]})
    alone, rest = [], list(theirs)
    for row in mine:
        match = next((i for i, other in enumerate(rest) if _is_equal(row, other, tolerances)), None)
        if match is None:
            alone.append(row)
        else:
            del rest[match]
    return alone, rest


def _is_equal(row: Fields, other: Fields, tolerances: Sequence[float | None]) -> bool:
    return all(
        is_near(mine, theirs, tolerance)
        for mine, theirs, tolerance in zip(row[1:], other[1:], tolerances, strict=True)
    )


_TOO_MANY = (
    "Too many rows are alike but for the columns with a tolerance. Name key columns that tell rows "
    "apart, or give one column a tolerance."
)
