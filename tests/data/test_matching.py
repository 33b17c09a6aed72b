"""Rows within tolerances: whoever could have a partner has one, and many rows take no hours."""

from time import monotonic

import pytest

from runner.comparing.matching import unmatched
from runner.preflight.values import Rejected


def rows(*values: str | None, of: str = "h") -> list[list[str | None]]:
    return [[of, value] for value in values]


@pytest.mark.parametrize("order", [("1.1", "0.9"), ("0.9", "1.1")])
def test_the_order_of_rows_does_not_matter(order: tuple[str, str]) -> None:
    assert unmatched(rows("1.0", "1.2"), rows(*order), [0.1]) == ([], [])


def test_equal_values_are_not_taken_from_those_who_need_them() -> None:
    assert unmatched(rows("0", "1"), rows("1", "2"), [1.0]) == ([], [])


def test_who_is_too_far_away_is_left() -> None:
    assert unmatched(rows("0", "5"), rows("1", "9", "9"), [1.0]) == (rows("5"), rows("9", "9"))


def test_rows_that_differ_otherwise_are_no_partners() -> None:
    assert unmatched(rows("1"), rows("1", of="other"), [1.0]) == (rows("1"), rows("1", of="other"))


def test_what_is_no_number_is_near_to_itself() -> None:
    odd = rows(None, "NaN", "Infinity")
    assert unmatched(odd, list(reversed(odd)), [1.0]) == ([], [])
    assert unmatched(rows(None), rows("NaN"), [1.0]) == (rows(None), rows("NaN"))


def test_fifty_thousand_alike_rows_are_matched_at_once() -> None:
    mine = rows(*(str(number / 7) for number in range(50_000)))
    theirs = rows(*(str(number / 7 + 0.001) for number in reversed(range(50_000))))
    begun = monotonic()
    assert unmatched(mine, theirs, [0.01]) == ([], [])
    assert monotonic() - begun < 20  # one by one it would be many minutes


def test_several_tolerances_are_tried_one_by_one_up_to_a_number() -> None:
    mine = [["h", "1", "1"], ["h", "2", "2"]]
    assert unmatched(mine, [["h", "2.1", "1.9"], ["h", "1", "1"]], [0.2, 0.2]) == ([], [])
    many = [["h", str(number), "1"] for number in range(501)]
    with pytest.raises(Rejected, match="Too many rows are alike"):
        unmatched(many, [*many[1:], ["h", "9999", "1"]], [0.2, 0.2])
