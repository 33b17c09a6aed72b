"""Who reads or locks the target while a full load is published."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pipelines import lifecycle
from runner import publish
from runner.control import Progress
from tests.data.loading import Loads, meanwhile, wait_for_session
from tests.data.people import QUERY
from tests.waiting import until

Session = psycopg.Connection[Any]
Connect = Callable[[], Session]


@pytest.fixture
def another(target_url: str) -> Iterator[Connect]:
    """More sessions with the target."""
    sessions: list[Session] = []

    def connect() -> Session:
        sessions.append(psycopg.connect(target_url, autocommit=True))
        return sessions[-1]

    yield connect
    for session in sessions:
        session.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that are given up after a tenth of a second instead of three."""
    monkeypatch.setattr(publish, "LOCK_SECONDS", 0.1)


VERSIONS = 8


@pytest.mark.parametrize("method", ["swap", "merge", "replace"])
def test_no_reader_ever_sees_a_mixture(loads: Loads, another: Connect, method: str) -> None:
    loads.target.execute(
        "CREATE TABLE analytics.t AS SELECT g AS id, 0 AS version FROM generate_series(1, 2000) g;"
        " ALTER TABLE analytics.t ADD PRIMARY KEY (id)"
    )
    loads.source.execute("CREATE TABLE version AS SELECT 0 AS n")
    pipeline = loads.define(
        "SELECT g AS id, n AS version FROM version, generate_series(1, 2000) g",
        publish=method,
        batch_size=700,
    )
    done, seen = threading.Event(), set[Any]()

    def read() -> None:
        session = another()
        while not done.is_set():
            seen.add(
                session.execute(
                    "SELECT count(*), min(version), max(version) FROM analytics.t"
                ).fetchone()
            )

    with meanwhile(read):
        try:
            for version in range(1, VERSIONS):
                loads.source.execute("UPDATE version SET n = %s", [version])
                loads.succeed(pipeline)
        finally:
            done.set()

    assert len(seen) > 1
    assert seen <= {(2000, version, version) for version in range(VERSIONS)}


@pytest.mark.parametrize("method", ["merge", "replace"])
def test_an_older_snapshot_sees_the_old_rows_even_at_its_first_look(
    table: Loads, another: Connect, method: str
) -> None:
    reader = another()
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT 1 FROM pg_class LIMIT 1")

    table.succeed(table.define(QUERY, publish=method))

    assert reader.execute("SELECT DISTINCT name FROM analytics.t").fetchall() == [("old",)]
    assert reader.execute("SELECT count(*) FROM analytics.t").fetchone() == (10,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM analytics.t WHERE name = 'old'").fetchone() == (0,)


@pytest.mark.parametrize("method", ["merge", "replace"])
def test_a_reader_in_a_long_transaction_does_not_hold_up_a_merge_or_replace(
    table: Loads, another: Connect, method: str
) -> None:
    reader = another()
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT count(*) FROM analytics.t")
    table.succeed(table.define(QUERY, publish=method))
    assert reader.execute("SELECT DISTINCT name FROM analytics.t").fetchall() == [("old",)]


def test_an_older_snapshot_finds_a_swapped_table_empty_never_mixed(
    table: Loads, another: Connect
) -> None:
    reader = another()
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT 1 FROM pg_class LIMIT 1")
    table.succeed(table.define(QUERY, publish="swap"))
    assert reader.execute("SELECT count(*) FROM analytics.t").fetchone() == (0,)


@pytest.mark.parametrize("method", ["swap", "merge", "replace"])
def test_a_lock_that_somebody_holds_for_a_while_does_not_fail_the_load(
    table: Loads, another: Connect, impatient: None, method: str
) -> None:
    holder, watcher, reader = another(), another(), another()
    mode = "ACCESS SHARE" if method == "swap" else "ROW EXCLUSIVE"
    holder.execute(f"BEGIN; LOCK TABLE analytics.t IN {mode} MODE")
    waits: list[int] = []

    def hold() -> None:
        for _ in range(3):
            waits.append(wait_for_session(watcher, "wait_event_type = 'Lock'"))
            until(lambda: not _waiting(watcher), what="the lock is given up")
            # Between two tries nobody waits behind us.
            reader.execute("SET statement_timeout = '5s'")
            reader.execute("SELECT count(*) FROM analytics.t")
        holder.execute("COMMIT")

    with meanwhile(hold):
        run = table.succeed(table.define(QUERY, publish=method))

    assert len(waits) == 3
    assert run.publish == method
    assert table.assert_equal(QUERY) == 10
    assert table.leftovers() == []


def _waiting(session: Session) -> bool:
    return bool(
        session.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'etl_admin:%'"
            " AND wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchall()
    )


def test_a_lock_that_is_never_given_up_puts_the_load_off(
    table: Loads, another: Connect, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "LOCK_TRIES", 2)
    another().execute("BEGIN; LOCK TABLE analytics.t IN ACCESS SHARE MODE")
    pipeline = table.define(QUERY)

    run = table.put_off(pipeline)

    assert run.sqlstate == "55P03"
    assert "lock" in run.error_message
    assert "Next try" in run.error_message
    assert table.rows("SELECT DISTINCT name FROM analytics.t") == [("old",)]


def test_a_cancel_is_obeyed_while_the_publish_waits_for_a_lock(
    table: Loads, another: Connect
) -> None:
    another().execute("BEGIN; LOCK TABLE analytics.t IN ACCESS SHARE MODE")
    watcher = another()
    pipeline = table.define(QUERY)
    control = table.control()

    def cancel() -> None:
        wait_for_session(watcher, "wait_event_type = 'Lock'")
        control.cancel = True

    with meanwhile(cancel):
        run = table.run(pipeline, control)

    assert run.status == "CANCELLED"
    assert table.status(pipeline) == "IDLE"
    assert table.rows("SELECT DISTINCT name FROM analytics.t") == [("old",)]


def test_finishing_wins_over_a_pause_that_comes_with_the_publish(
    table: Loads, another: Connect, impatient: None
) -> None:
    holder, watcher = another(), another()
    holder.execute("BEGIN; LOCK TABLE analytics.t IN ACCESS SHARE MODE")
    pipeline = table.define(QUERY)
    held = table.claim(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)
    control = table.control()

    def pause() -> None:
        wait_for_session(watcher, "wait_event_type = 'Lock'")
        control.pause = True
        until(lambda: not _waiting(watcher))
        holder.execute("COMMIT")

    with meanwhile(pause):
        run = table.execute(held, control)

    assert run.status == "SUCCESS"
    assert table.status(pipeline) == "IDLE"
    assert table.assert_equal(QUERY) == 10


def test_a_writer_that_uses_the_table_meanwhile_is_overruled_not_broken(
    table: Loads, another: Connect, impatient: None
) -> None:
    """What another session commits before the publish is replaced as a whole by it."""
    writer, watcher = another(), another()
    writer.execute("BEGIN; INSERT INTO analytics.t VALUES (77, 'foreign'), (1, 'foreign')")

    def write() -> None:
        wait_for_session(watcher, "wait_event_type = 'Lock'")
        writer.execute("UPDATE analytics.t SET name = 'foreign' WHERE id = 6; COMMIT")

    with meanwhile(write):
        table.succeed(table.define(QUERY, publish="merge"))

    assert table.assert_equal(QUERY) == 10


def test_what_is_attached_to_the_table_just_before_a_swap_is_not_lost(
    table: Loads, another: Connect
) -> None:
    """What hangs on the table is looked at when nobody else can change it any more."""
    other, watcher = another(), another()
    other.execute("BEGIN; CREATE INDEX late ON analytics.t (name)")
    pipeline = table.define(QUERY, publish="swap")

    def attach() -> None:
        wait_for_session(watcher, "wait_event_type = 'Lock'")
        other.execute("COMMIT")

    with meanwhile(attach):
        assert table.put_off(pipeline).error_class == "TargetChanged"

    table.succeed(pipeline)
    assert table.value("SELECT to_regclass('analytics.late') IS NOT NULL")
    assert table.assert_equal(QUERY) == 10


def test_progress_names_the_phase(table: Loads) -> None:
    control = table.control(progress=Progress())
    table.run(table.define(QUERY), control)
    assert control.progress.phase == "publish"
    assert (control.progress.rows_read, control.progress.rows_written) == (10, 10)
