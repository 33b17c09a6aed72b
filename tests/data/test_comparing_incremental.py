"""An incremental pipeline is compared up to its checkpoint: rows in flight raise no alarm."""

from typing import Any

import pytest

from pipelines import lifecycle
from runner.comparing import compare as comparing
from runner.comparing import sides
from runner.comparing.values import Kind, Level
from runner.preflight.values import Rejected
from tests.data.comparing import assert_equal, columns_of, compared, found
from tests.data.loading import Loads

QUERY = "SELECT id, name, modified FROM items"


@pytest.fixture
def items(loads: Loads) -> Loads:
    """A source of 100 rows, one a second."""
    loads.source.execute("CREATE TABLE items (id int PRIMARY KEY, name text, modified timestamptz)")
    loads.source.execute(
        "INSERT INTO items SELECT g, 'item ' || g, timestamptz '2026-01-01 00:00+00'"
        " + g * interval '1 s' FROM generate_series(1, 100) g"
    )
    return loads


def newer(loads: Loads, *ids: int, at: str = "2026-01-02 00:00+00") -> None:
    """Rows that are new, or there and touched, in the order of their ids."""
    for number in ids:
        loads.source.execute(
            "INSERT INTO items VALUES (%(id)s, 'newer', %(at)s::timestamptz + %(id)s * interval"
            " '1 ms') ON CONFLICT (id) DO UPDATE SET name = 'newer', modified = excluded.modified",
            {"id": number, "at": at},
        )


def test_rows_newer_than_the_checkpoint_raise_no_alarm(items: Loads, hashing: str) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    assert assert_equal(pipeline).waiting == 0
    newer(items, 5, 50, 101, 102)
    report = assert_equal(pipeline)
    assert report.waiting == 4
    assert (report.source_count, report.target_count) == (98, 98)
    items.succeed(pipeline)
    report = assert_equal(pipeline)
    assert (report.waiting, report.source_count) == (0, 102)


def test_what_differs_below_the_checkpoint_is_found_all_the_same(
    items: Loads, hashing: str
) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    newer(items, 5, 101)
    items.source.execute("INSERT INTO items VALUES (200, 'late', '2025-01-01')")
    items.source.execute("DELETE FROM items WHERE id = 7")
    items.source.execute("UPDATE items SET name = 'touched without a trace' WHERE id = 8")
    report = compared(pipeline)
    assert found(report) == {
        Kind.MISSING: {("200",)},
        Kind.EXTRA: {("7",)},
        Kind.DIFFERENT: {("8",)},
    }
    assert columns_of(report) == {("8",): {"name"}}
    assert report.waiting == 2


def test_rows_of_the_same_instant_are_parted_by_the_key(items: Loads) -> None:
    items.source.execute("UPDATE items SET modified = '2026-01-01 00:00+00'")
    items.source.execute("DELETE FROM items WHERE id > 60")
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    newer(items, *range(61, 71), at="2026-01-01 00:00+00")
    items.source.execute("UPDATE items SET modified = '2026-01-01 00:00+00' WHERE id > 60")
    assert assert_equal(pipeline).waiting == 10
    items.source.execute("INSERT INTO items VALUES (0, 'before', '2026-01-01 00:00+00')")
    assert found(compared(pipeline))[Kind.MISSING] == {("0",)}


@pytest.mark.parametrize("policy", ["fail", "include", "exclude"])
def test_rows_without_a_place_follow_the_policy(items: Loads, policy: str) -> None:
    pipeline = items.follow(QUERY, null_policy=policy)
    if policy != "fail":
        items.source.execute("INSERT INTO items VALUES (0, 'nowhere', NULL)")
        items.source.execute("INSERT INTO items VALUES (-1, 'never', 'infinity')")
    items.succeed(pipeline)
    expected = 102 if policy == "include" else 100
    assert assert_equal(pipeline).source_count == expected
    if policy == "fail":
        items.source.execute("INSERT INTO items VALUES (0, 'nowhere', NULL)")
        assert assert_equal(pipeline).source_count == 100
    if policy == "include":
        items.source.execute("UPDATE items SET name = 'elsewhere' WHERE id = 0")
        assert columns_of(compared(pipeline)) == {("0",): {"name"}}


def test_rows_that_are_read_again_are_left_out(items: Loads, hashing: str) -> None:
    pipeline = items.follow(QUERY, late_margin="10 seconds")
    items.succeed(pipeline)
    items.source.execute(
        "INSERT INTO items VALUES (200, 'late', timestamptz '2026-01-01 00:01:35+00')"
    )
    report = assert_equal(pipeline)
    assert report.waiting == 12
    items.source.execute(
        "INSERT INTO items VALUES (201, 'too late', timestamptz '2026-01-01 00:01:00+00')"
    )
    assert found(compared(pipeline))[Kind.MISSING] == {("201",)}


def test_a_margin_that_reaches_below_everything_leaves_nothing_out(items: Loads) -> None:
    items.source.execute("ALTER TABLE items ALTER modified TYPE int USING -10 - id")
    pipeline = items.follow(QUERY, late_margin="2147483647")
    items.succeed(pipeline)
    assert assert_equal(pipeline).source_count == 100
    items.source.execute("DELETE FROM items WHERE id = 50")
    assert found(compared(pipeline))[Kind.EXTRA] == {("50",)}


def test_more_rows_than_can_be_left_out_are_said_to_wait(
    items: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sides, "MOST_WAITING", 5)
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    newer(items, *range(101, 106))
    assert assert_equal(pipeline).waiting == 5
    newer(items, 106)
    report = compared(pipeline)
    assert report.missing == report.waiting == 6
    assert "More than 5 rows wait" in report.notes[0]


def test_ten_thousand_waiting_rows_raise_no_alarm(items: Loads) -> None:
    items.source.execute("ALTER TABLE items ADD region int DEFAULT 1")
    pipeline = items.follow(
        "SELECT id, region, name, modified FROM items", key_columns=["id", "region"]
    )
    items.source.execute(
        "INSERT INTO items SELECT g, 'item', '2026-01-01 12:00+00' FROM"
        " generate_series(1000, 30999) g"
    )
    items.succeed(pipeline)
    items.source.execute(
        "UPDATE items SET modified = '2026-01-03 00:00+00', name = 'x' WHERE id BETWEEN 2000 AND"
        " 21999"
    )
    report = assert_equal(pipeline, seconds=20)
    assert report.waiting == 20000
    assert report.target_count == 10100


def test_without_a_position_everything_is_compared(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    newer(items, 101)
    assert compared(pipeline).equal
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    report = compared(pipeline)
    assert (report.waiting, report.missing) == (0, 1)


def test_a_position_of_another_definition_is_none(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    newer(items, 101)
    pipeline.incremental_key = "id"
    pipeline.save(update_fields=["incremental_key"])
    report = compared(pipeline)
    assert (report.waiting, report.missing) == (0, 1)


def test_before_the_first_run_everything_is_missing(items: Loads) -> None:
    report = compared(items.follow(QUERY))
    assert (report.missing, report.waiting) == (100, 0)
    items.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, name text, modified timestamptz)"
    )
    assert compared(items.follow(QUERY)).missing == 100


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_rows_that_arrive_on_both_sides_meanwhile_raise_no_alarm(
    items: Loads, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = items.follow(QUERY, mode=mode)
    items.succeed(pipeline)
    wait = comparing.next_bounds

    def arrive(*arguments: Any) -> Any:
        # The target has its snapshot, the source does not.
        newer(items, 5, 101)
        items.target.execute("INSERT INTO analytics.t SELECT 101, 'newer', '2026-01-02'")
        return wait(*arguments)

    monkeypatch.setattr(comparing, "next_bounds", arrive)
    report = compared(pipeline)
    if mode == "incremental":
        assert report.equal
        assert report.waiting == 2
    else:
        assert (report.missing, report.extra, report.different) == (1, 0, 1)


def test_nobody_swaps_the_table_away_while_it_is_compared(
    items: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = items.define(QUERY, key_columns=["id"])
    items.succeed(pipeline)
    wait = comparing.next_bounds

    def swap(*arguments: Any) -> Any:
        items.target.execute("SET lock_timeout = '50ms'")
        with pytest.raises(Exception, match="lock timeout"):
            items.target.execute("ALTER TABLE analytics.t RENAME TO old")
        return wait(*arguments)

    monkeypatch.setattr(comparing, "next_bounds", swap)
    assert compared(pipeline).equal


@pytest.mark.parametrize(
    ("kind", "marks"), [("boolean", ["true"]), ("timestamptz", ["now()", "'infinity'"])]
)
def test_rows_marked_as_deleted_are_none(
    items: Loads, hashing: str, kind: str, marks: list[str]
) -> None:
    items.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, name text, modified timestamptz,"
        f" gone {kind})"
    )
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    for number, mark in enumerate(marks, start=10):
        items.target.execute(f"UPDATE analytics.t SET gone = {mark} WHERE id = {number}")
        items.source.execute(f"DELETE FROM items WHERE id = {number}")
    if kind == "boolean":
        items.target.execute("UPDATE analytics.t SET gone = false WHERE id = 20")
    assert_equal(pipeline, deleted="gone")
    assert compared(pipeline).extra == len(marks)
    items.target.execute(f"UPDATE analytics.t SET gone = {marks[0]} WHERE id = 30")
    assert found(compared(pipeline, deleted="gone"))[Kind.MISSING] == {("30",)}


def test_a_mark_that_the_table_lacks_is_refused(items: Loads) -> None:
    pipeline = items.follow(QUERY)
    items.succeed(pipeline)
    for level in Level:
        with pytest.raises(Rejected, match="no column “gone”"):
            compared(pipeline, deleted="gone", level=level)


CURSORS = {
    "timestamp(0)": "timestamp '2026-01-01' + g * interval '1 s'",
    "date": "date '2026-01-01' + g",
    "bigint": "g::bigint * 1000000007",
    "numeric": "g / 7.0",
    "text": "chr(60 + g % 60) || g",
    "double precision": "g / 7.0::float8",
    "uuid": "md5(g::text)::uuid",
}


@pytest.mark.parametrize("kind", CURSORS)
def test_each_type_of_incremental_key_has_its_place(loads: Loads, kind: str) -> None:
    loads.source.execute(f"CREATE TABLE items (id text PRIMARY KEY, name text, modified {kind})")
    insert = (
        f"INSERT INTO items SELECT 'k' || g, 'n', {CURSORS[kind]} FROM generate_series(1, 40) g"
    )
    loads.source.execute(insert)
    pipeline = loads.follow(QUERY)
    loads.succeed(pipeline)
    assert_equal(pipeline)
    loads.source.execute(
        "UPDATE items SET name = 'x'"
        " WHERE id = (SELECT id FROM items ORDER BY modified DESC LIMIT 1)"
    )
    loads.source.execute(
        "INSERT INTO items SELECT 'z', 'n', modified FROM items ORDER BY modified DESC LIMIT 1"
    )
    report = compared(pipeline)
    assert report.missing == 0
    if kind != "date":  # a day is read again
        assert (report.waiting, report.different) == (1, 1)
