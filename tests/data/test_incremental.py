"""An incremental load: what changed since the last row sent, every row once, ties included."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from pipelines import lifecycle
from pipelines.models import Pipeline, PipelineRun, PipelineState, RunEvent
from pipelines.states import PipelineStatus
from runner import moving
from runner.addresses import address_of
from runner.connections import reading
from runner.control import Control, clock
from runner.preflight.order import basis_of
from runner.preflight.query import describe_query
from tests import cluster
from tests.data.loading import LEASE, Loads
from tests.waiting import until

QUERY = "SELECT id, name, modified FROM s"
START = "timestamptz '2026-01-01 00:00:00+00'"


@pytest.fixture
def feed(loads: Loads) -> Loads:
    """A source of a hundred rows, a second apart, and a target made like it."""
    loads.source.execute(
        "CREATE TABLE s (id int PRIMARY KEY, name text, modified timestamptz);"
        f" INSERT INTO s SELECT g, 'n' || g, {START} + g * interval '1 second'"
        " FROM generate_series(1, 100) g; CREATE INDEX ON s (modified, id)"
    )
    loads.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, name text, modified timestamptz)"
    )
    return loads


def define(loads: Loads, query: str = QUERY, **fields: Any) -> Pipeline:
    """Incremental on `modified`, key `id`, seven rows a batch."""
    return loads.follow(query, **{"batch_size": 7, **fields})


# From run to run


def test_the_first_load_takes_everything_in_batches(feed: Loads) -> None:
    pipeline = define(feed)

    run = feed.succeed(pipeline)

    assert feed.assert_equal(QUERY) == 100
    assert (run.rows_read, run.rows_written, run.batches, run.resumed) == (100, 100, 15, False)
    checkpoint = feed.checkpoint(pipeline)
    assert (checkpoint["seq"], checkpoint["rows"], checkpoint["phase"]) == (15, 100, "done")
    assert checkpoint["cursor_text"] == "2026-01-01 00:01:40+00"
    assert checkpoint["cursor_type"] == "timestamp with time zone"
    assert checkpoint["key_text"] == ["100"]
    assert feed.leftovers() == []


def test_a_run_with_nothing_changed_reads_no_row(feed: Loads) -> None:
    pipeline = define(feed)
    feed.succeed(pipeline)
    before = feed.checkpoint(pipeline)

    run = feed.succeed(pipeline)

    assert (run.rows_read, run.rows_written, run.batches, run.resumed) == (0, 0, 0, False)
    after = feed.checkpoint(pipeline)
    assert {name for name in before if before[name] != after[name]} <= {
        "generation",
        "updated_at",
        "backend_pid",
        "backend_start",
    }


def test_a_run_reads_what_changed_and_nothing_else(feed: Loads) -> None:
    pipeline = define(feed)
    feed.succeed(pipeline)
    feed.source.execute(
        f"UPDATE s SET name = 'changed', modified = {START} + id * interval '1 minute'"
        " WHERE id IN (3, 50, 51);"
        f" INSERT INTO s VALUES (101, 'new', {START} + interval '1 day')"
    )
    run = feed.succeed(pipeline)
    assert (run.rows_read, run.rows_written, run.batches) == (4, 4, 1)
    assert feed.assert_equal(QUERY) == 101
    assert feed.checkpoint(pipeline)["seq"] == 16


def test_state_is_shown_as_json_would_show_it(feed: Loads) -> None:
    pipeline = define(feed)
    feed.source.execute("UPDATE s SET modified = '2026-06-01 12:30:00.123456+05' WHERE id = 7")
    feed.succeed(pipeline)
    state = feed.state(pipeline)
    assert state.last_processed_value == "2026-06-01T07:30:00.123456Z"
    assert state.last_processed_id == "7"
    assert (state.seq, state.rows) == (15, 100)
    feed.succeed(pipeline)
    assert feed.state(pipeline).last_processed_value == "2026-06-01T07:30:00.123456Z"
    assert feed.state(pipeline).last_processed_id == "7"


def test_a_composite_key_is_shown_as_a_json_array(feed: Loads) -> None:
    query = "SELECT id, 'a\"b' || id AS name, modified FROM s"
    pipeline = define(feed, query, key_columns=["id", "name"], target_table="analytics.new")
    for _ in range(2):
        feed.succeed(pipeline)
        shown = feed.state(pipeline).last_processed_id
        assert shown is not None
        assert json.loads(shown) == ["100", 'a"b100']


def test_a_key_that_is_its_own_incremental_key_is_shown(feed: Loads) -> None:
    pipeline = feed.define(
        "SELECT id, name FROM s",
        mode="incremental",
        incremental_key="id",
        key_columns=["id"],
        target_table="analytics.new",
    )
    for _ in range(2):
        feed.succeed(pipeline)
        state = feed.state(pipeline)
        assert (state.last_processed_value, state.last_processed_id) == ("100", "100")
    assert feed.assert_equal("SELECT id, name FROM s", "analytics.new") == 100


def test_a_missing_table_is_created_with_the_key(feed: Loads) -> None:
    feed.target.execute("DROP SCHEMA analytics CASCADE")
    pipeline = define(feed)
    feed.succeed(pipeline)
    assert feed.assert_equal(QUERY) == 100
    assert feed.rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'analytics.t'::regclass AND contype = 'p'"
    ) == [("t_pkey", "PRIMARY KEY (id)")]


def test_a_table_that_vanished_under_a_checkpoint_is_not_begun_in_the_middle(feed: Loads) -> None:
    pipeline = define(feed)
    feed.succeed(pipeline)
    feed.target.execute("DROP TABLE analytics.t")
    feed.source.execute(f"INSERT INTO s VALUES (101, 'new', {START} + interval '1 day')")

    run = feed.fail(pipeline)

    assert "analytics.t" in run.error_message
    assert "reset" in run.error_message
    assert feed.value("SELECT to_regclass('analytics.t')") is None
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    pipeline.refresh_from_db()
    feed.succeed(pipeline)
    assert feed.assert_equal(QUERY) == 101


# Ties


@pytest.mark.parametrize("batch_size", [1, 999, 1000, 5000])
def test_thousands_of_equal_values_pass_batch_borders(loads: Loads, batch_size: int) -> None:
    count = 40 if batch_size == 1 else 5000
    loads.source.execute(
        "CREATE TABLE s AS SELECT md5(g::text)::uuid AS id, 'n' || g AS name,"
        f" {START} AS modified FROM generate_series(1, {count}) g"
    )
    pipeline = loads.follow(QUERY, batch_size=batch_size)
    run = loads.succeed(pipeline)
    assert loads.assert_equal(QUERY) == count
    assert run.rows_read == count
    assert loads.succeed(pipeline).rows_read == 0


def test_equal_values_pass_from_one_run_to_the_next(loads: Loads) -> None:
    loads.source.execute(
        f"CREATE TABLE s AS SELECT g AS id, 'n' AS name, {START} AS modified"
        " FROM generate_series(1, 3000) g"
    )
    pipeline = loads.follow(QUERY, batch_size=1000)
    for batches in range(3):
        run = one_batch(loads, pipeline)
        assert run.rows_read == 1000
        assert run.resumed == (batches > 0)
        if batches < 2:
            assert run.status == "PAUSED"
    assert loads.succeed(pipeline).rows_read == 0
    assert loads.assert_equal(QUERY) == 3000
    assert loads.checkpoint(pipeline)["seq"] == 3
    # The same value again, with larger keys, is after the position.
    loads.source.execute(f"INSERT INTO s SELECT g, 'm', {START} FROM generate_series(3001, 3005) g")
    assert loads.succeed(pipeline).rows_read == 5
    assert loads.assert_equal(QUERY) == 3005


class Pausing(Control):
    """Wants a pause as soon as one batch is committed."""

    # A field of Control, which this one answers from its progress.
    @property
    def pause(self) -> bool:  # type: ignore[override]
        return self.progress.batches > 0

    @pause.setter
    def pause(self, value: bool) -> None:
        """What a heartbeat would write does not matter."""


def one_batch(loads: Loads, pipeline: Pipeline) -> PipelineRun:
    """A run that is paused after its first batch."""
    held = loads.claim(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)
    return loads.execute(held, Pausing(lease=LEASE, trusted_until=clock() + LEASE))


def test_composite_keys_break_ties_column_by_column(loads: Loads) -> None:
    query = "SELECT a, b, c, v, modified FROM s"
    loads.source.execute(
        "CREATE TABLE s AS SELECT g % 7 AS a, 'k' || g % 11 AS b, g AS c, md5(g::text) AS v,"
        f" {START} + (g % 3) * interval '1 us' AS modified FROM generate_series(1, 900) g"
    )
    pipeline = loads.follow(query, key_columns=["b", "a", "c"], batch_size=101)
    run = loads.succeed(pipeline)
    assert (run.rows_read, run.batches) == (900, 9)
    assert loads.assert_equal(query) == 900
    assert loads.succeed(pipeline).rows_read == 0


def test_microseconds_are_kept_apart(loads: Loads) -> None:
    loads.source.execute(
        f"CREATE TABLE s AS SELECT g AS id, 'n' AS name, {START} + g * interval '1 us' AS modified"
        " FROM generate_series(1, 50) g"
    )
    pipeline = loads.follow(QUERY, batch_size=1)
    assert loads.succeed(pipeline).batches == 50
    assert loads.assert_equal(QUERY) == 50
    assert loads.state(pipeline).last_processed_value == "2026-01-01T00:00:00.00005Z"


def test_a_target_with_fewer_digits_does_not_move_the_position(loads: Loads) -> None:
    """The position is what the source sent, not what the target made of it."""
    loads.source.execute(
        f"CREATE TABLE s AS SELECT g AS id, {START} + g * interval '0.3 s' AS modified"
        " FROM generate_series(1, 20) g"
    )
    loads.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, modified timestamptz, seen timestamptz(0))"
    )
    query = "SELECT id, modified, modified AS seen FROM s"
    pipeline = loads.follow(query, batch_size=3)
    loads.succeed(pipeline)
    loads.source.execute(f"INSERT INTO s VALUES (21, {START} + interval '6.000001 s')")
    assert loads.succeed(pipeline).rows_read == 1
    assert loads.value("SELECT count(*) FROM analytics.t") == 21


# Every type that can be an incremental key


@pytest.mark.parametrize(
    ("kind", "values", "shown"),
    [
        (
            "timestamptz",
            ["2026-01-01 00:00:00.000001+00", "2026-01-01 00:00:00.000002+00"],
            "2026-01-01T00:00:00.000002Z",
        ),
        (
            "timestamptz(0)",
            ["2026-01-01 00:00:01+00", "2026-01-01 00:00:02+00"],
            "2026-01-01T00:00:02Z",
        ),
        ("timestamptz", ["4713-01-01 00:00:00+00 BC", "0001-01-01 00:00:00+00"], None),
        (
            "timestamp",
            ["2026-01-01 00:00:00.000001", "2026-01-01 00:00:00.000002"],
            "2026-01-01T00:00:00.000002",
        ),
        ("date", ["2026-01-01", "2026-01-02"], "2026-01-02"),
        ("smallint", ["-32768", "0", "32767"], "32767"),
        ("integer", ["-5", "2147483647"], "2147483647"),
        (
            "bigint",
            ["9007199254740992", "9007199254740993", "9223372036854775807"],
            "9223372036854775807",
        ),
        (
            "numeric",
            ["-1e30", "0.1000000000000000055", "0.10000000000000001", "1e40"],
            "10000000000000000000000000000000000000000",
        ),
        ("numeric(20,3)", ["1.000", "1.001"], "1.001"),
        ("double precision", ["0.1", "0.30000000000000004", "1e308"], "1e+308"),
        ("real", ["0.1", "0.2", "3.4e38"], "3.4e+38"),
        (
            "uuid",
            ["00000000-0000-0000-0000-000000000001", "f0000000-0000-0000-0000-000000000000"],
            "f0000000-0000-0000-0000-000000000000",
        ),
        ("text", ["", "a'b\\c\n\t%s", "ж"], None),
        ("varchar(40)", ["a", "B", "c"], None),
        ("char(5)", ["a", "b  "], None),
        ("interval", ["1 day", "1 mon", "100 years"], "100 years"),
        ("xid8", ["1", "5"], "5"),
        ("pg_lsn", ["0/1", "16/B374D848"], "16/B374D848"),
        ("oid", ["1", "4000000000"], "4000000000"),
        ("inet", ["10.0.0.2/24", "10.0.0.1"], None),
        ("time", ["00:00:00", "23:59:59.999999"], "23:59:59.999999"),
        ("bytea", ["\\x00", "\\xff"], None),
    ],
)
def test_every_ordered_type_can_be_the_incremental_key(
    loads: Loads, kind: str, values: list[str], shown: str | None
) -> None:
    loads.source.execute(f"CREATE TABLE s (id int, modified {kind})")
    insert = "INSERT INTO s SELECT %s + g, %s FROM generate_series(1, 3) g"
    for number, value in enumerate(values[:-1]):
        loads.source.execute(insert, [number * 10, value])
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query, batch_size=2)
    first = loads.succeed(pipeline)
    assert first.rows_read == 3 * (len(values) - 1)
    loads.source.execute(insert, [len(values) * 10, values[-1]])

    assert loads.succeed(pipeline).rows_read == (3 if kind != "date" else 6)

    assert loads.assert_equal(query) == 3 * len(values)
    if shown is not None:
        assert loads.state(pipeline).last_processed_value == shown
    again = loads.succeed(pipeline)
    assert again.rows_read == (0 if kind != "date" else 6)
    assert again.rows_written == 0


def test_an_enum_can_be_the_incremental_key(loads: Loads) -> None:
    for session in (loads.source, loads.target):
        session.execute("CREATE TYPE public.size AS ENUM ('small', 'medium', 'large')")
    loads.source.execute("CREATE TABLE s (id int, modified size)")
    loads.source.execute("INSERT INTO s VALUES (1, 'small'), (2, 'medium'), (3, 'small')")
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query, batch_size=1)
    assert loads.succeed(pipeline).rows_read == 3
    loads.source.execute("INSERT INTO s VALUES (4, 'large'), (5, 'medium')")
    assert loads.succeed(pipeline).rows_read == 2
    assert loads.assert_equal(query) == 5


def test_text_is_ordered_by_the_collation_of_its_column(loads: Loads) -> None:
    loads.source.execute('CREATE TABLE s (id int, modified text COLLATE "C")')
    loads.source.execute("INSERT INTO s VALUES (1, 'B'), (2, 'a'), (3, 'Z'), (4, 'ж'), (5, '')")
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query, batch_size=2)
    assert loads.succeed(pipeline).rows_read == 5
    loads.source.execute("INSERT INTO s VALUES (6, 'я')")
    assert loads.succeed(pipeline).rows_read == 1
    assert loads.assert_equal(query) == 6


TEXTS = "SELECT id, modified FROM s"


@pytest.fixture
def texts(loads: Loads) -> Loads:
    """A source whose incremental key is text."""
    loads.source.execute("CREATE TABLE s (id int, modified text)")
    loads.source.execute("INSERT INTO s SELECT g, 'n' || g FROM generate_series(1, 9) g")
    return loads


@pytest.mark.parametrize(
    "change",
    [
        'ALTER TABLE s ALTER modified TYPE text COLLATE "C"',
        'ALTER TABLE s ALTER modified TYPE text COLLATE "POSIX"',
    ],
)
def test_a_position_is_not_used_in_another_order(texts: Loads, change: str) -> None:
    pipeline = texts.follow(TEXTS, batch_size=2)
    texts.succeed(pipeline)
    assert texts.succeed(pipeline).rows_read == 0
    texts.source.execute(change)

    run = texts.fail(pipeline)

    assert run.error_class == "SchemaChanged"
    assert "Reset the checkpoint" in run.error_message
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    assert texts.succeed(pipeline).rows_read == 9
    assert texts.succeed(pipeline).rows_read == 0


def test_a_new_version_of_a_collation_is_another_order(texts: Loads) -> None:
    pipeline = texts.follow(TEXTS)
    texts.succeed(pipeline)
    basis = texts.checkpoint(pipeline)["basis"]
    assert basis.startswith('modified "default"')
    # As the operating system's next one will look; its rules cannot be changed here.
    texts.target.execute("UPDATE etl.checkpoint SET basis = basis || '.1'")

    run = texts.fail(pipeline)

    assert run.error_class == "SchemaChanged"
    assert f"is: {basis})" in run.error_message


def test_a_text_among_the_key_columns_is_part_of_the_order(loads: Loads) -> None:
    loads.source.execute(
        'CREATE TABLE s AS SELECT g::text COLLATE "C" AS id, g AS modified'
        " FROM generate_series(1, 9) g"
    )
    pipeline = loads.follow(TEXTS, batch_size=2)
    loads.succeed(pipeline)
    assert loads.checkpoint(pipeline)["basis"] == 'id "C" '


def test_an_order_in_which_different_texts_are_equal_is_refused(texts: Loads) -> None:
    texts.source.execute('CREATE COLLATION loose FROM "C"')
    with cluster.superuser(texts.source.info.dbname) as superuser:
        # Only ICU has such collations, which the test's servers come without.
        superuser.execute(
            "UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'loose'"
        )
    texts.source.execute("ALTER TABLE s ALTER modified TYPE text COLLATE loose")
    assert "“modified” has a collation" in texts.fail(texts.follow(TEXTS)).error_message
    strict = 'SELECT id, modified COLLATE "C" AS modified FROM s'
    assert texts.succeed(texts.follow(strict)).rows_read == 9


def test_asking_for_the_order_computes_no_row(texts: Loads) -> None:
    with reading(address_of(texts.source_connection)) as session:
        (column,) = describe_query(session, "SELECT 'x'::text AS modified")
        broken = "SELECT (1 / (id - id))::text || pg_sleep(60) AS modified FROM s"
        assert basis_of(session, broken, (column,)).startswith('modified "default"')


# What is written


def test_rows_that_did_not_change_are_not_written(loads: Loads) -> None:
    """Compared as they are stored: json and point have no equality, and 1.0 equals 1.00."""
    loads.source.execute(
        "CREATE TABLE s (id int, modified timestamptz, j json, p point, n numeric, x text, a int[])"
    )
    loads.source.execute(
        f"INSERT INTO s SELECT g, {START}, '{{\"a\": 1}}', '(1,2)', 1.0, NULL, '{{1,NULL}}'"
        " FROM generate_series(1, 5) g"
    )
    query = "SELECT id, j, p, n, x, a, modified FROM s"
    pipeline = loads.follow(query)
    loads.succeed(pipeline)
    versions = loads.rows("SELECT id, ctid::text FROM analytics.t ORDER BY 1")
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    pipeline.refresh_from_db()
    run = loads.succeed(pipeline)
    assert (run.rows_read, run.rows_written) == (5, 0)
    assert loads.rows("SELECT id, ctid::text FROM analytics.t ORDER BY 1") == versions

    loads.source.execute("UPDATE s SET n = 1.00 WHERE id = 1; UPDATE s SET x = '' WHERE id = 2;")
    loads.source.execute("UPDATE s SET j = '{\"a\":1}' WHERE id = 3")
    loads.source.execute("UPDATE s SET modified = modified + interval '1 day'")
    run = loads.succeed(pipeline)
    assert (run.rows_read, run.rows_written) == (5, 5)
    assert loads.assert_equal(query) == 5


def test_of_a_key_twice_in_a_batch_the_last_sent_wins(loads: Loads) -> None:
    loads.source.execute(
        f"CREATE TABLE s AS SELECT g % 3 AS id, 'n' || g AS name, {START} + g * interval '1 s'"
        " AS modified FROM generate_series(1, 30) g"
    )
    for size in (100, 30, 4, 1):
        pipeline = loads.follow(QUERY, batch_size=size, target_table=f"analytics.t{size}")
        run = loads.succeed(pipeline)
        assert run.rows_read == 30
        assert loads.rows(f"SELECT id, name FROM analytics.t{size} ORDER BY 1") == [
            (0, "n30"),
            (1, "n28"),
            (2, "n29"),
        ]


def test_a_table_of_nothing_but_its_key_is_filled(loads: Loads) -> None:
    query = "SELECT g AS a, g AS b FROM generate_series(1, 10) g"
    pipeline = loads.define(query, mode="incremental", incremental_key="a", key_columns=["a", "b"])
    assert loads.succeed(pipeline).rows_written == 10
    assert loads.assert_equal(query) == 10
    assert loads.succeed(pipeline).rows_read == 0


def test_a_key_of_numbers_that_are_equal_and_differ_is_written_as_sent(loads: Loads) -> None:
    loads.source.execute(f"CREATE TABLE s AS SELECT 1.0 AS id, 'n' AS name, {START} AS modified")
    loads.target.execute(
        "CREATE TABLE analytics.t (id numeric PRIMARY KEY, name text, modified timestamptz)"
    )
    pipeline = loads.follow(QUERY)
    loads.succeed(pipeline)
    loads.source.execute("UPDATE s SET id = 1.000, modified = modified + interval '1 s'")
    loads.succeed(pipeline)
    assert loads.assert_equal(QUERY) == 1


def test_columns_the_query_leaves_out_stay_as_they_are(feed: Loads) -> None:
    feed.target.execute("ALTER TABLE analytics.t ADD note text DEFAULT 'fresh'")
    pipeline = define(feed)
    feed.succeed(pipeline)
    feed.target.execute("UPDATE analytics.t SET note = 'mine' WHERE id = 5")
    feed.source.execute(f"UPDATE s SET modified = {START} + interval '1 day' WHERE id IN (5, 6)")
    feed.succeed(pipeline)
    assert feed.rows("SELECT id, note FROM analytics.t WHERE id IN (5, 6) ORDER BY 1") == [
        (5, "mine"),
        (6, "fresh"),
    ]


def test_an_identity_column_takes_the_values_of_the_query(feed: Loads) -> None:
    feed.target.execute(
        "ALTER TABLE analytics.t ALTER id ADD GENERATED ALWAYS AS IDENTITY,"
        " ADD n int GENERATED BY DEFAULT AS IDENTITY"
    )
    pipeline = define(feed)
    feed.succeed(pipeline)
    assert feed.assert_equal(QUERY) == 100
    feed.source.execute(f"UPDATE s SET name = 'x', modified = {START} + interval '1 day'")
    feed.succeed(pipeline)
    assert feed.assert_equal(QUERY) == 100


def test_wider_types_of_the_target_hold_the_values(loads: Loads) -> None:
    loads.source.execute(
        "CREATE TABLE s AS SELECT g::smallint AS id, g::int AS n, 'x'::varchar(5) AS name,"
        f" ({START} + g * interval '1 s')::timestamptz(0) AS modified FROM generate_series(1, 9) g"
    )
    loads.target.execute(
        "CREATE TABLE analytics.t"
        " (modified timestamptz, name text, n bigint, id bigint PRIMARY KEY)"
    )
    query = "SELECT id, n, name, modified FROM s"
    pipeline = loads.follow(query, batch_size=4)
    assert loads.succeed(pipeline).rows_read == 9
    assert loads.assert_equal(query) == 9
    assert loads.checkpoint(pipeline)["cursor_type"] == "timestamp(0) with time zone"
    assert loads.succeed(pipeline).rows_read == 0


@pytest.mark.parametrize(
    "index",
    [
        "CREATE UNIQUE INDEX ON analytics.t (id) INCLUDE (name)",
        "ALTER TABLE analytics.t ADD UNIQUE (id)",
    ],
)
def test_any_plain_unique_index_serves(feed: Loads, index: str) -> None:
    feed.target.execute("ALTER TABLE analytics.t DROP CONSTRAINT t_pkey")
    feed.target.execute(index)
    feed.succeed(define(feed))
    assert feed.assert_equal(QUERY) == 100


def test_a_partitioned_table_is_filled(feed: Loads) -> None:
    feed.target.execute(
        "DROP TABLE analytics.t; CREATE TABLE analytics.t (id int PRIMARY KEY, name text,"
        " modified timestamptz) PARTITION BY RANGE (id);"
        " CREATE TABLE analytics.low PARTITION OF analytics.t FOR VALUES FROM (0) TO (50);"
        " CREATE TABLE analytics.rest PARTITION OF analytics.t DEFAULT"
    )
    pipeline = define(feed)
    feed.succeed(pipeline)
    feed.source.execute(f"UPDATE s SET name = 'x', modified = {START} + interval '1 day'")
    feed.succeed(pipeline)
    assert feed.assert_equal(QUERY) == 100


# Rows without a place in the order


@pytest.fixture
def gaps(feed: Loads) -> Loads:
    """Three rows of the source have no place in the order."""
    feed.source.execute(
        "UPDATE s SET modified = NULL WHERE id = 10; UPDATE s SET modified = 'infinity'"
        " WHERE id = 20; UPDATE s SET modified = '-infinity' WHERE id = 30"
    )
    return feed


def test_rows_without_a_place_fail_the_run_and_are_counted(gaps: Loads) -> None:
    run = gaps.fail(define(gaps))
    assert run.error_class == "NullKey"
    assert "In 3 rows" in run.error_message
    assert gaps.value("SELECT count(*) FROM analytics.t") == 0


@pytest.mark.parametrize("modified", ["NULL", "'infinity'", "'-infinity'"])
def test_each_of_them_alone_fails_the_run(feed: Loads, modified: str) -> None:
    feed.source.execute(f"UPDATE s SET modified = {modified} WHERE id = 10")
    assert "In 1 row" in feed.fail(define(feed)).error_message


def test_rows_without_a_place_can_be_left_out(gaps: Loads) -> None:
    pipeline = define(gaps, null_policy="exclude")
    assert gaps.succeed(pipeline).rows_read == 97
    assert gaps.assert_equal(f"{QUERY} WHERE isfinite(modified)") == 97
    assert gaps.succeed(pipeline).rows_read == 0


def test_rows_without_a_place_can_come_along_in_every_run(gaps: Loads) -> None:
    pipeline = define(gaps, null_policy="include")
    assert gaps.succeed(pipeline).rows_read == 100
    assert gaps.assert_equal(QUERY) == 100
    again = gaps.succeed(pipeline)
    assert (again.rows_read, again.rows_written) == (3, 0)
    assert gaps.checkpoint(pipeline)["cursor_text"] == "2026-01-01 00:01:40+00"
    gaps.source.execute("UPDATE s SET name = 'changed' WHERE id IN (10, 20)")
    again = gaps.succeed(pipeline)
    assert (again.rows_read, again.rows_written) == (3, 2)
    assert gaps.assert_equal(QUERY) == 100


@pytest.mark.parametrize("kind", ["numeric", "double precision", "real"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_beyond_all_numbers_have_no_place_either(
    loads: Loads, kind: str, value: str
) -> None:
    loads.source.execute(f"CREATE TABLE s (id int, modified {kind})")
    loads.source.execute("INSERT INTO s VALUES (1, 5), (2, %s)", [value])
    query = "SELECT id, modified FROM s"
    assert "In 1 row" in loads.fail(loads.follow(query)).error_message
    pipeline = loads.follow(query, null_policy="include")
    loads.succeed(pipeline)
    loads.source.execute("INSERT INTO s VALUES (3, 6)")
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 3


def test_a_null_in_a_key_column_fails_the_run(loads: Loads) -> None:
    loads.source.execute(
        f"CREATE TABLE s AS SELECT NULL::int AS id, 'n' AS name, {START} AS modified"
    )
    run = loads.fail(loads.follow(QUERY))
    assert run.sqlstate == "23502"
    assert "“id”" in run.error_message


# What must not pass unnoticed


@pytest.mark.parametrize("key", [["id"], ["id", "name"]])
def test_a_null_in_the_key_beside_the_position_is_no_row_to_pass_over(
    loads: Loads, key: list[str]
) -> None:
    loads.source.execute("CREATE TABLE s (id int, name text, modified timestamptz)")
    loads.source.execute(f"INSERT INTO s VALUES (1, 'a', {START}), (2, 'b', {START})")
    pipeline = define(loads, key_columns=key)
    loads.succeed(pipeline)
    loads.source.execute(f"INSERT INTO s VALUES (NULL, 'c', {START}), (3, 'd', {START})")

    for _ in range(2):
        run = loads.fail(pipeline)
        assert run.error_class == "NullKey"
        assert "In 1 rows a key column" in run.error_message

    loads.source.execute("UPDATE s SET id = 4, modified = now() WHERE id IS NULL")
    loads.succeed(pipeline)
    assert loads.assert_equal(QUERY) == 4


def test_a_null_in_the_key_fails_each_run_until_it_is_filled(loads: Loads) -> None:
    loads.source.execute(
        "CREATE TABLE s AS SELECT nullif(g, 3) AS id, 'n' AS name,"
        f" {START} + g % 2 * interval '1 s' AS modified FROM generate_series(1, 25) g"
    )
    pipeline = define(loads, batch_size=2)
    assert loads.fail(pipeline).sqlstate == "23502"
    assert loads.fail(pipeline).error_class in ("NullKey", "NotNullViolation")
    assert loads.fail(pipeline).error_class in ("NullKey", "NotNullViolation")
    loads.source.execute("UPDATE s SET id = 3, modified = now() WHERE id IS NULL")
    loads.succeed(pipeline)
    assert loads.assert_equal(QUERY) == 25


@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM analytics.t",
        "DROP TABLE analytics.t;"
        " CREATE TABLE analytics.t (id int PRIMARY KEY, name text, modified timestamptz)",
    ],
)
def test_a_table_that_lost_its_rows_is_not_filled_from_the_middle(feed: Loads, loss: str) -> None:
    pipeline = define(feed)
    feed.succeed(pipeline)
    feed.target.execute(loss)

    run = feed.fail(pipeline)

    assert run.error_class == "TargetEmptied"
    assert "100 rows had been loaded" in run.error_message
    Pipeline.objects.filter(pk=pipeline.pk).update(allow_empty=True)
    assert feed.succeed(pipeline).rows_read == 0
    Pipeline.objects.filter(pk=pipeline.pk).update(allow_empty=False)
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    feed.succeed(pipeline)
    assert feed.assert_equal(QUERY) == 100


def test_a_schema_that_is_not_allowed_any_more_fails_the_run(feed: Loads) -> None:
    pipeline = define(feed)
    feed.target_connection.target_schemas = ["other"]
    feed.target_connection.save()

    run = feed.fail(pipeline)

    assert "may not write to the schema “analytics”" in run.error_message
    assert "Allowed: other." in run.error_message
    assert feed.value("SELECT count(*) FROM analytics.t") == 0


# What clears the position


@pytest.mark.parametrize(
    "change",
    [
        {"key_columns": ["id", "name"]},
        {"incremental_key": "id"},
        {"target_table": "analytics.other"},
    ],
)
def test_another_definition_starts_from_nothing_and_says_so(
    feed: Loads, change: dict[str, Any]
) -> None:
    feed.target.execute("CREATE UNIQUE INDEX ON analytics.t (id, name)")
    pipeline = define(feed)
    feed.succeed(pipeline)
    Pipeline.objects.filter(pk=pipeline.pk).update(**change)
    pipeline.refresh_from_db()

    run = feed.succeed(pipeline)

    assert run.rows_read == 100
    assert feed.assert_equal(QUERY, str(pipeline.target_table)) == 100
    assert _said(run) == [True]
    assert feed.checkpoint(pipeline)["seq"] == 15


def test_a_cleared_position_is_not_shown_though_no_new_one_follows(feed: Loads) -> None:
    pipeline = define(feed)
    feed.succeed(pipeline)
    assert feed.state(pipeline).last_processed_id == "100"
    Pipeline.objects.filter(pk=pipeline.pk).update(incremental_key="id")
    feed.source.execute("DELETE FROM s")
    pipeline.refresh_from_db()

    assert feed.succeed(pipeline).rows_read == 0

    assert not PipelineState.objects.filter(pipeline=pipeline).exists()
    assert feed.checkpoint(pipeline)["cursor_text"] is None


def test_another_query_keeps_the_position(feed: Loads) -> None:
    pipeline = define(feed)
    feed.succeed(pipeline)
    Pipeline.objects.filter(pk=pipeline.pk).update(
        source_query="SELECT id, upper(name) AS name, modified FROM s"
    )
    pipeline.refresh_from_db()
    run = feed.succeed(pipeline)
    assert run.rows_read == 0
    assert _said(run) == [False]


def test_a_reset_starts_from_nothing_and_says_so(feed: Loads) -> None:
    pipeline = define(feed)
    feed.succeed(pipeline)
    lifecycle.reset_checkpoint(pipeline.pk, by=None)
    pipeline.refresh_from_db()
    run = feed.succeed(pipeline)
    assert (run.rows_read, run.rows_written) == (100, 0)
    assert _said(run) == [True]
    checkpoint = feed.checkpoint(pipeline)
    assert (checkpoint["epoch"], checkpoint["seq"], checkpoint["rows"]) == (1, 15, 100)
    assert feed.succeed(pipeline).rows_read == 0


def test_a_position_is_not_used_for_another_type_of_the_key(loads: Loads) -> None:
    loads.source.execute(
        "CREATE TABLE s AS SELECT g AS id, g AS modified FROM generate_series(1, 20) g"
    )
    pipeline = loads.follow("SELECT id, modified FROM s")
    loads.succeed(pipeline)
    # As text “15” comes before “20”, where the position is.
    loads.source.execute("ALTER TABLE s ALTER modified TYPE text; INSERT INTO s VALUES (21, '15')")
    loads.target.execute("ALTER TABLE analytics.t ALTER modified TYPE text")

    run = loads.fail(pipeline)

    assert run.error_class == "SchemaChanged"
    assert "Reset" in run.error_message


def _said(run: Any) -> list[bool]:
    """Whether the run's last event speaks of a cleared checkpoint."""
    events = RunEvent.objects.filter(run=run, event="finish")
    return [bool(re.search("cleared", event.message)) for event in events]


# What may be read: L and H


def test_a_source_that_went_back_in_time_is_noticed(feed: Loads) -> None:
    """As after a restore from a backup: what comes next would be before the position."""
    pipeline = define(feed)
    feed.succeed(pipeline)
    assert "reset the checkpoint" not in _message(feed.succeed(pipeline))
    feed.source.execute("DELETE FROM s WHERE id > 60")
    assert "reset the checkpoint" in _message(feed.succeed(pipeline))


def _message(run: Any) -> str:
    return str(RunEvent.objects.get(run=run, event="finish").message)


def test_a_row_that_commits_late_arrives_in_a_later_run(feed: Loads, source_url: str) -> None:
    pipeline = define(feed, late_margin=None)
    with psycopg.connect(source_url) as late:
        late.execute("INSERT INTO s VALUES (500, 'late', now())")
        feed.source.execute("INSERT INTO s VALUES (501, 'early', clock_timestamp())")
        first = feed.succeed(pipeline)
        assert first.rows_read == 100
        late.commit()
    assert feed.succeed(pipeline).rows_read == 2
    assert feed.assert_equal(QUERY) == 102
    assert "none that commits late is lost" in first.promise


def test_a_future_value_waits_for_its_time(feed: Loads) -> None:
    pipeline = define(feed)
    feed.source.execute("INSERT INTO s VALUES (500, 'ahead', now() + interval '1 hour')")
    run = feed.succeed(pipeline)
    assert run.rows_read == 100
    assert "Rows that wait for a later run: 1 (" in _message(run)
    feed.source.execute("UPDATE s SET modified = now() - interval '1 s' WHERE id = 500")
    run = feed.succeed(pipeline)
    assert run.rows_read == 1
    assert "wait" not in _message(run)


def test_rows_that_wait_are_counted_within_a_limit(
    feed: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_MOST_WAITING", 5)
    pipeline = define(feed, null_policy="exclude")
    feed.source.execute(
        "INSERT INTO s SELECT g, 'ahead', now() + interval '1 hour'"
        " FROM generate_series(200, 299) g"
    )
    feed.source.execute("INSERT INTO s VALUES (500, 'never', 'infinity')")
    assert "Rows that wait for a later run: 5 or more (" in _message(feed.succeed(pipeline))


def test_counting_rows_that_wait_takes_no_longer_than_it_is_worth(
    feed: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_LOOK_SECONDS", 0.1)
    feed.source.execute("INSERT INTO s VALUES (500, 'ahead', now() + interval '1 hour')")
    slow = f"{QUERY} WHERE id < 500 OR pg_sleep(30) IS NULL"
    run = feed.succeed(define(feed, slow))
    assert run.rows_read == 100
    assert "wait" not in _message(run)


def test_our_own_readers_do_not_hold_back_the_horizon(feed: Loads, source_url: str) -> None:
    with psycopg.connect(source_url, application_name="etl_admin:read") as reader:
        reader.execute("SELECT 1")
        feed.source.execute("INSERT INTO s VALUES (501, 'new', clock_timestamp())")
        assert feed.succeed(define(feed)).rows_read == 101


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz(0)", "timestamptz(3)"])
def test_the_horizon_serves_each_type_of_timestamp(
    loads: Loads, source_url: str, kind: str
) -> None:
    zone = f"ALTER ROLE {cluster.SOURCE} IN DATABASE {loads.source.info.dbname} SET TimeZone = "
    loads.source.execute(f"{zone} 'Asia/Tokyo'; SET TimeZone = 'Asia/Tokyo'")
    loads.source.execute(f"CREATE TABLE s (id int, modified {kind})")
    pipeline = loads.follow("SELECT id, modified FROM s")
    with psycopg.connect(source_url) as late:
        late.execute("INSERT INTO s VALUES (1, now())")
        loads.source.execute(
            "INSERT INTO s VALUES (2, clock_timestamp()), (3, now() - interval '1 day'),"
            " (4, now() + interval '1 hour')"
        )
        assert loads.succeed(pipeline).rows_read == 1
        late.commit()
    # A type without fractions is held back by a second.
    until(lambda: loads.succeed(pipeline).rows_read, what="the rows of now")
    until(lambda: loads.value("SELECT count(*) = 3 FROM analytics.t"), what="the late row")
    assert loads.value("SELECT array_agg(id ORDER BY id) FROM analytics.t") == [1, 2, 3]


def test_a_late_margin_reads_again_and_never_moves_back(feed: Loads) -> None:
    pipeline = define(feed, late_margin="10 seconds")
    feed.succeed(pipeline)
    before = feed.checkpoint(pipeline)
    feed.source.execute(f"INSERT INTO s VALUES (500, 'late', {START} + interval '95.5 s')")
    feed.source.execute(f"INSERT INTO s VALUES (501, 'too late', {START} + interval '80 s')")

    run = feed.succeed(pipeline)

    assert (run.rows_read, run.rows_written) == (12, 1)
    assert feed.assert_equal(f"{QUERY} WHERE id <> 501") == 101
    after = feed.checkpoint(pipeline)
    assert (after["cursor_text"], after["key_text"]) == (before["cursor_text"], ["100"])
    assert after["seq"] == before["seq"] + 2
    assert "10 seconds" in run.promise
    feed.source.execute(f"INSERT INTO s VALUES (502, 'new', {START} + interval '2 min')")
    run = feed.succeed(pipeline)
    assert feed.checkpoint(pipeline)["key_text"] == ["502"]
    assert feed.state(pipeline).last_processed_id == "502"


def test_a_pause_while_rows_are_read_again_does_not_move_the_position_back(feed: Loads) -> None:
    pipeline = define(feed, late_margin="30 seconds")
    feed.succeed(pipeline)
    before = feed.checkpoint(pipeline)

    run = one_batch(feed, pipeline)

    assert (run.status, run.rows_read) == ("PAUSED", 7)
    after = feed.checkpoint(pipeline)
    assert (after["cursor_text"], after["key_text"]) == (before["cursor_text"], ["100"])
    assert feed.state(pipeline).last_processed_id == "100"


def test_a_margin_for_numbers_is_a_number(loads: Loads) -> None:
    loads.source.execute(
        "CREATE TABLE s AS SELECT g AS id, g AS modified FROM generate_series(1, 50) g"
    )
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query, late_margin="10")
    loads.succeed(pipeline)
    run = loads.succeed(pipeline)
    assert (run.rows_read, run.rows_written) == (11, 0)


def test_a_margin_may_reach_below_the_smallest_value_of_the_type(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE s AS SELECT 1 AS id, (-32760)::smallint AS modified")
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query, late_margin="1000")
    loads.succeed(pipeline)
    loads.source.execute("INSERT INTO s VALUES (2, -32768)")
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 2


def test_a_date_is_read_again_for_a_day(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE s (id int, modified date)")
    loads.source.execute("INSERT INTO s VALUES (5, '2026-01-02'), (6, '2026-01-01')")
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query)
    assert loads.succeed(pipeline).rows_read == 2
    loads.source.execute("INSERT INTO s VALUES (1, '2026-01-02'), (2, '2026-01-01')")
    run = loads.succeed(pipeline)
    assert loads.assert_equal(query) == 4
    assert "1 day" in run.promise


@pytest.fixture
def stranger(feed: Loads) -> Iterator[str]:
    """A role of the source that may only read, and sees nothing of other sessions."""
    name = cluster.own("stranger")
    with cluster.superuser(feed.source.info.dbname) as superuser:
        superuser.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        superuser.execute(f"GRANT SELECT ON s TO {name}")
        yield name
        superuser.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_without_the_right_to_see_other_sessions_ten_minutes_are_read_again(
    feed: Loads, stranger: str
) -> None:
    feed.source_connection.user = stranger
    feed.source_connection.set_password(stranger)
    feed.source_connection.save()
    pipeline = define(feed)
    run = feed.succeed(pipeline)
    assert "pg_read_all_stats" in run.promise
    assert "10 minutes" in run.promise
    feed.source.execute(f"INSERT INTO s VALUES (500, 'late', {START} + interval '5 s')")
    run = feed.succeed(pipeline)
    assert (run.rows_read, run.rows_written) == (101, 1)
    assert feed.assert_equal(QUERY) == 101


def test_prepared_transactions_of_the_source_make_the_horizon_invalid(feed: Loads) -> None:
    feed.source.execute(
        "BEGIN; INSERT INTO s VALUES (500, 'prepared', now()); PREPARE TRANSACTION 'p'"
    )
    pipeline = define(feed)
    assert "prepared" in feed.succeed(pipeline).promise
    feed.source.execute("COMMIT PREPARED 'p'")
    feed.succeed(pipeline)
    assert feed.assert_equal(QUERY) == 101


def test_xid8_is_exact(transactional_db: None, loads: Loads, source_url: str) -> None:
    loads.source.execute("CREATE TABLE s (id int, modified xid8 DEFAULT pg_current_xact_id())")
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query)
    with psycopg.connect(source_url) as late:
        late.execute("INSERT INTO s VALUES (1)")
        loads.source.execute("INSERT INTO s VALUES (2)")
        run = loads.succeed(pipeline)
        assert run.rows_read == 0
        assert "Exact" in run.promise
        identifier = loads.source.execute(
            "SELECT system_identifier::text FROM pg_control_system()"
        ).fetchone()
        late.commit()
    # Transactions of other databases of the server hold it back too.
    read = 0
    while read < 2:
        read += until(lambda: loads.succeed(pipeline).rows_read, what="older transactions end")
    assert read == 2
    assert loads.assert_equal(query) == 2
    assert loads.succeed(pipeline).rows_read == 0
    # Transaction ids mean nothing in another cluster, into which the source was restored.
    assert loads.checkpoint(pipeline)["basis"] == f"cluster {identifier[0]}"
    loads.target.execute("UPDATE etl.checkpoint SET basis = 'cluster 1'")
    assert loads.fail(pipeline).error_class == "SchemaChanged"


def test_a_number_as_key_says_what_it_does_not_promise(loads: Loads) -> None:
    run = loads.succeed(loads.follow("SELECT 1 AS id, 1 AS modified"))
    assert "late margin" in run.promise
    assert loads.status(run.pipeline) == PipelineStatus.IDLE
    assert run.started_at < datetime.now(UTC)
