"""A comparison changes nothing, ends in time, and leaves no session behind."""

import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from etl_admin.database.throwaway import throwaway_cluster
from runner import watchdog
from runner.comparing.compare import compare, opened
from runner.comparing.values import Done, Level, Request
from runner.control import CancelSeen
from runner.errors import RunError, Side, classify, side_of
from runner.plan import Identity
from runner.preflight.values import Rejected
from tests.data.comparing import compared, request_of
from tests.data.hostile import ADDRESSED, QUERIES, World
from tests.data.loading import Loads, address, definition, meanwhile, wait_for_session
from tests.waiting import until

ME = Identity(pipeline=uuid4(), installation=uuid4(), generation=0, epoch=0, definition_hash="")
SLEEPS = "pg_sleep(600) IS NOT NULL"


@pytest.fixture
def loads(loads: Loads) -> Iterator[Loads]:
    """After each test no session of ours is left at either server."""
    yield loads
    for session in (loads.source, loads.target):
        until(lambda session=session: sessions_of(session) == 0, what="sessions end")


@pytest.fixture
def soon() -> Iterator[None]:
    """The test takes a few seconds, however long the servers would."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


def sessions_of(session: psycopg.Connection[Any]) -> int:
    row = session.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'etl_admin:%'"
    ).fetchone()
    assert row is not None
    return int(row[0])


class Blocked:
    """A target of which reading does not come to an end while this is entered, and its pipeline.

    The table itself can be locked; a partition of it cannot.
    """

    def __init__(self, loads: Loads, condition: str = "true") -> None:
        loads.target.execute("CREATE TABLE analytics.t (id int, v int) PARTITION BY LIST (v)")
        loads.target.execute("CREATE TABLE analytics.t1 PARTITION OF analytics.t DEFAULT")
        loads.target.execute("INSERT INTO analytics.t SELECT g, g FROM generate_series(1, 3) g")
        self.pipeline = loads.define(
            f"SELECT g AS id, g AS v FROM generate_series(1, 3) g WHERE {condition}",
            key_columns=["id"],
        )
        self._session = psycopg.connect(loads.target.info.dsn, password=loads.target.info.password)

    def __enter__(self) -> Any:
        self._session.execute("LOCK analytics.t1")
        return self.pipeline

    def __exit__(self, *_error: object) -> None:
        self._session.close()


@pytest.mark.parametrize("level", Level)
def test_no_query_changes_anything(level: Level) -> None:
    with throwaway_cluster(major=16) as cluster:
        world = World(cluster)
        source = address("source", cluster.url(ADDRESSED[0]))
        target = address("target", cluster.url(ADDRESSED[1]))
        with world.session(ADDRESSED[1]) as session:
            session.execute("CREATE TABLE analytics.t (a text PRIMARY KEY, b int)")
            session.execute("INSERT INTO analytics.t VALUES ('1', 1), ('2', 2)")
        with world.unchanged():
            for query in QUERIES:
                asked = definition(query, source=source, target=target, key_columns=("a",))
                request = Request(definition=asked, identity=ME, level=level, seconds=5)
                with suppress(Rejected, psycopg.Error, RunError):
                    compare(request)


@pytest.mark.parametrize("level", Level)
def test_a_source_that_takes_too_long_is_cancelled(loads: Loads, level: Level, soon: None) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    pipeline = loads.define(f"SELECT g AS id FROM generate_series(1, 3) g WHERE {SLEEPS}")
    with pytest.raises(psycopg.errors.QueryCanceled) as raised:
        compared(pipeline, level=level, seconds=0.7)
    assert side_of(raised.value) is Side.SOURCE


@pytest.mark.parametrize("level", Level)
def test_a_target_that_takes_too_long_is_cancelled(loads: Loads, level: Level, soon: None) -> None:
    with Blocked(loads) as pipeline, pytest.raises(psycopg.errors.QueryCanceled) as raised:
        compared(pipeline, level=level, seconds=0.7)
    assert side_of(raised.value) is Side.TARGET


def test_a_table_that_somebody_else_holds_is_not_waited_for_longer(
    loads: Loads, soon: None
) -> None:
    with Blocked(loads) as pipeline:
        loads.target.execute("CREATE TABLE analytics.other (id int PRIMARY KEY)")
        pipeline.target_table = "analytics.t1"
        pipeline.save(update_fields=["target_table"])
        with pytest.raises(psycopg.errors.QueryCanceled):
            compared(pipeline, seconds=0.7)


@pytest.mark.parametrize("level", Level)
def test_a_source_that_swallows_cancels_loses_its_session(
    loads: Loads, level: Level, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_GRACE_SECONDS", 0.5)
    loads.source.execute(
        "CREATE FUNCTION stubborn() RETURNS int VOLATILE LANGUAGE plpgsql AS $$ BEGIN"
        " FOR i IN 1..100 LOOP"
        "   BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;"
        " END LOOP; RETURN 1; END $$"
    )
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    with pytest.raises(psycopg.errors.QueryCanceled):
        compared(loads.define("SELECT stubborn() AS id"), level=level, seconds=0.5)


@pytest.mark.parametrize("level", [Level.COUNT, Level.CHECKSUM])
def test_a_tick_that_ends_it_ends_both_statements(loads: Loads, level: Level, soon: None) -> None:
    with Blocked(loads, SLEEPS) as pipeline:
        threads = set()

        def tick() -> None:
            threads.add(threading.get_ident())
            busy = [
                session.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                    " AND datname = current_database() AND application_name LIKE 'etl_admin:%'"
                ).fetchone()
                for session in (loads.source, loads.target)
            ]
            if busy == [(1,), (1,)]:
                raise CancelSeen

        with pytest.raises(CancelSeen):
            compare(request_of(pipeline, level=level), tick=tick)
        assert threads == {threading.get_ident()}
        for session in (loads.source, loads.target):
            until(lambda session=session: sessions_of(session) == 0, what="sessions end")


@pytest.mark.parametrize("level", [Level.COUNT, Level.CHECKSUM])
def test_a_source_that_fails_does_not_wait_for_the_target(
    loads: Loads, level: Level, soon: None
) -> None:
    with Blocked(loads, "1 / (g - 2) IS NOT NULL") as pipeline:
        with pytest.raises(psycopg.errors.DivisionByZero) as raised:
            compared(pipeline, level=level)
        assert side_of(raised.value) is Side.SOURCE
        until(lambda: sessions_of(loads.target) == 0, what="the target's session ends")


@pytest.mark.parametrize("level", Level)
def test_a_target_that_is_lost_does_not_wait_for_the_source(
    loads: Loads, level: Level, soon: None
) -> None:
    with Blocked(loads, SLEEPS) as pipeline:

        def lose() -> None:
            pid = wait_for_session(loads.target, "wait_event_type = 'Lock'")
            loads.target.execute("SELECT pg_terminate_backend(%s)", [pid])

        with pytest.raises(psycopg.OperationalError) as raised, meanwhile(lose):
            compared(pipeline, level=level)
        assert side_of(raised.value) is Side.TARGET
        until(lambda: sessions_of(loads.source) == 0, what="the source's session ends")


def test_a_source_that_cannot_be_reached_does_not_wait_for_the_target(loads: Loads) -> None:
    pipeline = loads.define("SELECT 1 AS id")
    loads.source_connection.dbname = "nowhere"
    loads.source_connection.save()
    with pytest.raises(RunError):
        compared(pipeline)


def test_rows_that_keep_coming_do_not_hold_off_a_tick(loads: Loads, soon: None) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    pipeline = loads.define("SELECT g AS id FROM generate_series(1, 100000) g")
    ticks = []
    report = compare(request_of(pipeline), tick=lambda: ticks.append(1))
    assert report.missing == 100000
    assert len(ticks) > 10


def test_sentences_about_errors_hold_no_values(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    with pytest.raises(psycopg.DataError) as raised:
        compared(loads.define("SELECT 'secret'::text AS id"))
    assert "secret" not in classify(raised.value, side_of(raised.value)).sentence


def test_a_comparison_can_only_read_and_holds_no_lock_afterwards(loads: Loads) -> None:
    pipeline = loads.define("SELECT 1 AS id, pg_advisory_lock(99)::text AS v")
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY, v text)")
    with opened(request_of(pipeline), lambda: None) as (pair, _sides):
        for session in (pair.source, pair.target):
            assert session.execute("SHOW transaction_read_only").fetchone() == ("on",)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                session.execute("CREATE TABLE public.x ()")
    compared(pipeline)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert loads.source.execute(held).fetchone() == (0,)


def test_progress_is_told(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    pipeline = loads.define("SELECT g AS id FROM generate_series(1, 50000) g")
    told: list[Done] = []
    compare(request_of(pipeline), progress=told.append)
    assert {done.phase for done in told} == {"counting", "summing", "looking at rows"}
    assert told[-1] == Done(phase="looking at rows", rows=50000, of=50000)
    rows = [done.rows for done in told if done.phase == "looking at rows"]
    assert rows == sorted(rows)
    assert len(rows) > 3


@pytest.mark.parametrize("table", ["other", "empty", "none"])
def test_a_hundred_thousand_differing_rows_take_little_memory(loads: Loads, table: str) -> None:
    loads.source.execute(
        "CREATE TABLE s AS SELECT g AS id, 'a value of some length ' || g AS v"
        " FROM generate_series(1, 100000) g"
    )
    if table != "none":
        loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY, v text)")
    if table == "other":
        loads.target.execute(
            "INSERT INTO analytics.t SELECT g, 'other' FROM generate_series(1, 100000) g"
        )
    pipeline = loads.define("SELECT id, v FROM s", key_columns=["id"])
    tracemalloc.start()
    try:
        report = compared(pipeline)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report.different or 0) + (report.missing or 0) == 100000
    assert peak < 12 * 1024 * 1024


@pytest.mark.parametrize("level", list(Level))
def test_a_schema_that_is_allowed_no_more_is_not_looked_at(loads: Loads, level: Level) -> None:
    pipeline = loads.define("SELECT 1 AS id", key_columns=["id"])
    loads.succeed(pipeline)
    where = pipeline.target_connection
    where.target_schemas = ["other"]
    where.save(update_fields=["target_schemas"])
    with pytest.raises(Rejected, match="may not write to the schema “analytics”"):
        compared(pipeline, level=level)


def test_a_role_that_is_refused_is_refused_to_compare(loads: Loads, settings: Any) -> None:
    pipeline = loads.define("SELECT 1 AS id", key_columns=["id"])
    loads.succeed(pipeline)
    settings.PRIVILEGED_ROLES = "refuse"
    with pytest.raises(Rejected) as refused:
        compared(pipeline)
    assert refused.value.code == "privileged_role"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id, n FROM generate_series(1, 3000) AS n",
        "SELECT repeat('x', 60000) || n AS id, n FROM generate_series(1, 3) AS n",
    ],
)
def test_rows_that_nothing_tells_apart_do_not_fill_the_memory(
    loads: Loads, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.comparing.search._MOST_CHARACTERS", 50_000)
    loads.target.execute("CREATE TABLE analytics.t (id text, n int)")
    loads.target.execute("INSERT INTO analytics.t VALUES ('1', 0)")
    pipeline = loads.define(query.replace("1 AS id", "'1' AS id"), key_columns=["id"])
    with pytest.raises(Rejected, match="Too many rows have the same key"):
        compared(pipeline)
    assert not compared(pipeline, level=Level.CHECKSUM).equal
