"""A server that ignores our time limits is cancelled, and left when it ignores that too."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from runner import reconcile, watchdog
from runner.connections import Session, reading
from runner.contained import ask
from runner.plan import Address
from runner.preflight import Findings, Rejected
from runner.preflight import ask as asking
from runner.preflight import test_connection as try_out
from runner.watchdog import limited
from tests.data.comparing import counting
from tests.data.loading import definition
from tests.waiting import until

SHORT = 0.3
Check = Callable[..., Findings]


@pytest.fixture(autouse=True)
def _little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_GRACE_SECONDS", 0.5)


@pytest.fixture
def stubborn(source: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The source with functions that swallow so many cancels; one is run by the planner."""
    for name, kind in (("stubborn", "VOLATILE"), ("planned", "IMMUTABLE")):
        source.execute(
            f"CREATE FUNCTION {name}(cancels int) RETURNS int {kind} LANGUAGE plpgsql AS $$ BEGIN"
            " FOR i IN 1..cancels LOOP"
            "   BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;"
            " END LOOP; PERFORM pg_sleep(600); RETURN 1; END $$"
        )
    return source


@pytest.fixture
def session(source_address: Address, stubborn: object) -> Iterator[Session]:
    """Ours with the source."""
    with reading(source_address) as opened:
        yield opened


@pytest.fixture
def quick() -> Iterator[None]:
    """The test takes a few seconds, however long its query would."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


def test_what_takes_too_long_is_cancelled_and_the_session_goes_on(
    session: Session, quick: None
) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled), limited(session, SHORT):
        ask(session, sql.SQL("SELECT pg_sleep(600)"))
    assert session.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT stubborn(1)",
        "SELECT set_config('statement_timeout', '0', false), pg_sleep(600)",
        "WITH lifted AS MATERIALIZED (SELECT set_config('statement_timeout', '0', false))"
        " SELECT pg_sleep(600) FROM lifted",
        "SELECT count(*) FROM generate_series(1, 100000000000)",
        "SELECT pg_advisory_lock(42)",
    ],
)
def test_what_lifts_or_swallows_the_servers_limit_is_cancelled_by_us(
    session: Session, source: psycopg.Connection[Any], quick: None, query: str
) -> None:
    source.execute("SELECT pg_advisory_lock(42)")
    session.execute("SET statement_timeout = '100ms'")
    session.execute("SET lock_timeout = 0")
    with pytest.raises(psycopg.errors.QueryCanceled), limited(session, SHORT):
        ask(session, sql.SQL(query))
    assert session.execute("SHOW statement_timeout").fetchone() == ("100ms",)


def test_rows_that_keep_coming_do_not_hold_it_off(session: Session, quick: None) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled), limited(session, SHORT):
        for _row in session.cursor().stream("SELECT g FROM generate_series(1, 1000000000) g"):
            pass


def test_who_swallows_every_cancel_loses_the_session(
    session: Session, source: psycopg.Connection[Any], quick: None
) -> None:
    pid = session.info.backend_pid
    with pytest.raises(psycopg.errors.QueryCanceled), limited(session, SHORT):
        ask(session, sql.SQL("SELECT stubborn(1000000)"))
    assert session.closed
    alive = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s"
    until(lambda: source.execute(alive, [pid]).fetchone() == (True,), what="the backend ends")


def test_a_cancel_that_cannot_be_sent_ends_the_session_too(
    session: Session, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_options: object) -> None:
        raise psycopg.OperationalError("no way")

    monkeypatch.setattr(session, "cancel_safe", fails)
    with pytest.raises(psycopg.errors.QueryCanceled), limited(session, SHORT):
        ask(session, sql.SQL("SELECT pg_sleep(600)"))
    assert session.closed


def test_a_later_statement_is_never_met(session: Session) -> None:
    for number in range(20):
        with limited(session, number * 0.002):
            try:
                session.execute("SELECT pg_sleep(0.02)")
            except psycopg.errors.QueryCanceled:
                session.rollback()
        assert session.limit is None
        session.execute("SELECT pg_sleep(0.01)")
    with limited(session, 0.0):
        pass
    session.execute("SELECT pg_sleep(0.6)")


def test_no_thread_is_left_nor_made(session: Session) -> None:
    before = threading.active_count()
    with limited(session, 60):
        session.execute("SELECT 1")
        assert threading.active_count() == before
    assert threading.active_count() == before


def test_of_two_limits_the_nearer_one_holds(session: Session, quick: None) -> None:
    with (
        pytest.raises(psycopg.errors.QueryCanceled),
        limited(session, SHORT),
        limited(session, 600),
    ):
        session.execute("SELECT pg_sleep(600)")


def test_the_preflight_ends_though_planning_the_query_would_not(
    check: Check, stubborn: object, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LIMIT_SECONDS", 1)
    with pytest.raises(Rejected) as refusal:
        check("SELECT planned(1000000) AS id")
    assert refusal.value.code == "source_unavailable"
    assert "time limit" in refusal.value.errors["source_connection"][0]


@pytest.mark.parametrize("cancels", [0, 1, 1_000_000])
def test_a_count_ends_though_the_query_would_not(
    source_address: Address, target_address: Address, stubborn: object, quick: None, cancels: int
) -> None:
    query = f"SELECT stubborn({cancels}) AS id"
    with pytest.raises(reconcile.ReconcileFailed) as failed:
        counting(definition(query, source=source_address, target=target_address), seconds=0.5)
    assert failed.value.code == "reconcile_timeout"


def test_a_table_that_somebody_locks_does_not_hold_up_a_check(
    check: Check, source: psycopg.Connection[Any], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LIMIT_SECONDS", 1)
    source.execute("CREATE TABLE facts (id int)")
    with source.transaction():
        source.execute("LOCK TABLE facts")
        with pytest.raises(Rejected) as refusal:
            check("SELECT id FROM facts")
    assert refusal.value.code == "source_unavailable"


def test_a_connection_test_has_a_limit_of_its_own(
    source_address: Address, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LIMIT_SECONDS", 1)
    monkeypatch.setattr(asking, "_REPORT", "SELECT pg_sleep(600)")
    assert not try_out(source_address).ok
