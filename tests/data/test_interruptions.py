"""How a run ends before its last row: pause, cancel, stop, an error that passes, one that stays."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import PipelineStatus, RunStatus
from runner import control as controls
from runner import fence as fences
from runner.control import Control, clock
from tests import cluster
from tests.data.loading import (
    LONG_AGO,
    Brake,
    Loads,
    gate_closed,
    meanwhile,
    wait_for_session,
)
from tests.data.people import GATED, QUERY
from tests.factories import WorkerFactory
from tests.waiting import until

#: Ten rows, in five batches of two.
ROWS = "SELECT g AS id, g AS modified, 'n' || g AS name FROM generate_series(1, 10) g"
#: No first row for an hour.
ENDLESS = f"{ROWS} WHERE pg_sleep(3600) IS NOT NULL"


@pytest.fixture
def rows(loads: Loads) -> Loads:
    """A target for ROWS."""
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY, modified int, name text)")
    return loads


def brake_at(loads: Loads, pipeline: Pipeline, act: Callable[[Control], None]) -> PipelineRun:
    """Run until the batch with row 5 is open, `act`, and let the batch go on."""
    control = loads.control()
    held = loads.claim(pipeline)
    with Brake(loads, 5) as brake:

        def then() -> None:
            brake.reached()
            act(control)
            brake.release()

        with meanwhile(then):
            return loads.execute(held, control)


def wait_while_silent(
    loads: Loads, pipeline: Pipeline, act: Callable[[Control], None]
) -> PipelineRun:
    """Run until the source works on its first row, then `act`."""
    control = loads.control()
    held = loads.claim(pipeline)

    def then() -> None:
        wait_for_session(loads.source, "query LIKE 'COPY%' AND state = 'active'")
        act(control)

    with meanwhile(then):
        run = loads.execute(held, control)
    until(lambda: not _sessions(loads), what="the query is cancelled")
    return run


def _sessions(loads: Loads) -> list[Any]:
    return loads.source.execute(
        "SELECT query FROM pg_stat_activity WHERE application_name = 'etl_admin:read'"
        " AND datname = current_database()"
    ).fetchall()


# Pause


def test_a_pause_is_obeyed_after_the_batch_and_the_next_run_goes_on(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    control = rows.control()
    held = rows.claim(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)
    with Brake(rows, 5) as brake:

        def pause() -> None:
            brake.reached()
            control.pause = True
            brake.release()

        with meanwhile(pause):
            run = rows.execute(held, control)

    assert (run.status, rows.status(pipeline)) == (RunStatus.PAUSED, PipelineStatus.PAUSED)
    assert (run.rows_read, run.rows_written, run.batches) == (6, 6, 3)
    assert rows.value("SELECT count(*) FROM analytics.t") == 6
    assert rows.state(pipeline).last_processed_value == "6"
    again = rows.succeed(pipeline)
    assert (again.rows_read, again.resumed) == (4, True)
    assert rows.assert_equal(ROWS) == 10
    assert rows.checkpoint(pipeline)["seq"] == 5
    assert rows.succeed(pipeline).resumed is False


def test_finishing_wins_over_a_pause_that_comes_in_the_last_batch(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=100)
    held = rows.claim(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)
    control = rows.control()
    with Brake(rows, 5) as brake:

        def pause() -> None:
            brake.reached()
            control.pause = True
            brake.release()

        with meanwhile(pause):
            run = rows.execute(held, control)

    assert (run.status, rows.status(pipeline)) == (RunStatus.SUCCESS, PipelineStatus.IDLE)
    assert rows.assert_equal(ROWS) == 10


def test_finishing_wins_over_a_pause_that_comes_behind_the_last_batch(rows: Loads) -> None:
    """Nothing is left to read when the end is marked in the target."""
    pipeline = rows.follow(ROWS)
    rows.succeed(pipeline)
    rows.target.execute(
        "CREATE FUNCTION analytics.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock_shared(7); RETURN new; END $$;"
        "CREATE TRIGGER wait BEFORE UPDATE ON etl.checkpoint FOR EACH ROW"
        " WHEN (new.phase = 'done' AND new.generation = old.generation)"
        " EXECUTE FUNCTION analytics.wait()"
    )
    held = rows.claim(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)
    control = rows.control()
    info = rows.target.info
    with psycopg.connect(info.dsn, password=info.password, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(7)")

        def pause() -> None:
            wait_for_session(gate, "wait_event_type = 'Lock'")
            control.pause = True
            asked = clock()
            until(lambda: control.last_tick > asked, what="nobody looks for the pause")
            gate.execute("SELECT pg_advisory_unlock(7)")

        with meanwhile(pause):
            run = rows.execute(held, control)

    assert (run.status, rows.status(pipeline)) == (RunStatus.SUCCESS, PipelineStatus.IDLE)


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_pause_is_obeyed_while_the_first_row_is_waited_for(rows: Loads, mode: str) -> None:
    pipeline = rows.follow(ENDLESS, mode=mode)
    held = rows.claim(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)
    control = rows.control()

    def pause() -> None:
        wait_for_session(rows.source, "state = 'active' AND wait_event = 'PgSleep'")
        control.pause = True

    with meanwhile(pause):
        run = rows.execute(held, control)

    assert (run.status, rows.status(pipeline)) == (RunStatus.PAUSED, PipelineStatus.PAUSED)
    until(lambda: not _sessions(rows), what="the query is cancelled")


def test_a_paused_full_load_starts_again(table: Loads) -> None:
    pipeline = table.define(GATED, batch_size=4)
    held = table.claim(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)
    control = table.control()
    opened = threading.Event()

    def pause() -> None:
        until(table.leftovers, what="a staging table")
        control.pause = True
        opened.set()

    with gate_closed(table, opened), meanwhile(pause):
        run = table.execute(held, control)

    assert run.status == RunStatus.PAUSED
    assert table.rows("SELECT DISTINCT name FROM analytics.t") == [("old",)]
    again = table.succeed(pipeline)
    assert (again.rows_read, again.resumed) == (10, False)
    assert table.assert_equal(QUERY) == 10
    assert table.leftovers() == []


# Cancel


def test_a_cancel_rolls_the_open_batch_back_and_keeps_the_others(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    control = rows.control()
    with Brake(rows, 5) as brake:

        def cancel() -> None:
            brake.reached()
            control.cancel = True
            until(lambda: not _writers(rows), what="the batch is cancelled")

        with meanwhile(cancel):
            run = rows.run(pipeline, control)

    assert (run.status, rows.status(pipeline)) == (RunStatus.CANCELLED, PipelineStatus.IDLE)
    assert rows.value("SELECT count(*) FROM analytics.t") == 4
    assert rows.checkpoint(pipeline)["seq"] == 2
    assert rows.succeed(pipeline).rows_read == 6
    assert rows.assert_equal(ROWS) == 10


def _writers(loads: Loads) -> list[Any]:
    return loads.rows(
        "SELECT query FROM pg_stat_activity WHERE application_name = 'etl_admin:write'"
        " AND datname = current_database() AND state <> 'idle'"
    )


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_cancel_is_obeyed_while_the_first_row_is_waited_for(rows: Loads, mode: str) -> None:
    pipeline = rows.follow(ENDLESS, mode=mode)

    def cancel(control: Control) -> None:
        control.cancel = True

    run = wait_while_silent(rows, pipeline, cancel)
    assert (run.status, rows.status(pipeline)) == (RunStatus.CANCELLED, PipelineStatus.IDLE)
    assert run.rows_read == 0


def test_a_cancel_of_a_lost_workers_run_is_obeyed_behind_the_fence(
    rows: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Obeyed before the fence is taken, the lost worker could still commit its batch."""
    monkeypatch.setattr(fences, "LOCK_SECONDS", 1.2)
    pipeline = rows.follow(ROWS, batch_size=2)
    rows.succeed(pipeline)
    lost = rows.claim(pipeline)
    lifecycle.request_cancel(pipeline.pk, by=None)
    Pipeline.objects.filter(pk=pipeline.pk).update(lease_until=LONG_AGO)
    info = rows.target.info
    with psycopg.connect(info.dsn, password=info.password) as zombie:
        zombie.execute(
            "UPDATE etl.checkpoint SET backend_pid = a.pid, backend_start = a.backend_start"
            " FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()"
        )
        zombie.commit()
        zombie.execute("UPDATE etl.checkpoint SET seq = seq + 1")
        held = lifecycle.claim(worker=WorkerFactory().pk, lease=60)
        assert held is not None
        assert held.is_rescue

        rows.execute(held, rows.control(cancel=True))

        with pytest.raises(psycopg.OperationalError):
            zombie.commit()
    assert lost.run is not None
    assert rows.status(pipeline) == PipelineStatus.IDLE
    assert PipelineRun.objects.get(pk=lost.run.pk).status == RunStatus.CANCELLED
    assert rows.checkpoint(pipeline)["generation"] == held.generation


# SIGTERM


def stop(control: Control) -> None:
    """What a first SIGTERM does."""
    control.stop.set()


def leave(control: Control) -> None:
    """What a second SIGTERM does."""
    control.leave.set()


def test_a_stop_finishes_the_batch_and_hands_back(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    run = brake_at(rows, pipeline, stop)
    assert (run.status, rows.status(pipeline)) == (
        RunStatus.INTERRUPTED,
        PipelineStatus.RUN_REQUESTED,
    )
    assert run.rows_read == 6
    pipeline.refresh_from_db()
    assert pipeline.attempt == 0
    assert pipeline.worker_id is None
    again = rows.succeed(pipeline)
    assert (again.rows_read, again.resumed) == (4, True)
    assert rows.assert_equal(ROWS) == 10


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_stop_is_obeyed_while_the_first_row_is_waited_for(rows: Loads, mode: str) -> None:
    pipeline = rows.follow(ENDLESS, mode=mode)
    run = wait_while_silent(rows, pipeline, stop)
    assert run.status == RunStatus.INTERRUPTED
    assert rows.status(pipeline) == PipelineStatus.RUN_REQUESTED


def test_a_second_stop_rolls_the_batch_back_at_once(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    control = rows.control()
    with Brake(rows, 5) as brake:

        def stop_twice() -> None:
            brake.reached()
            stop(control)
            leave(control)
            until(lambda: not _writers(rows), what="the batch is rolled back")

        with meanwhile(stop_twice):
            run = rows.run(pipeline, control)

    assert run.status == RunStatus.INTERRUPTED
    assert rows.value("SELECT count(*) FROM analytics.t") == 4
    assert rows.succeed(pipeline).rows_read == 6


def test_a_stop_that_cannot_finish_its_batch_in_time_abandons_it(
    rows: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "STOP_SECONDS", 0.5)
    pipeline = rows.follow(ROWS, batch_size=2)
    control = rows.control()
    with Brake(rows, 5) as brake:

        def stop_for_long() -> None:
            brake.reached()
            stop(control)
            until(lambda: not _writers(rows), what="the batch is rolled back")

        with meanwhile(stop_for_long):
            run = rows.run(pipeline, control)

    assert run.status == RunStatus.INTERRUPTED
    assert rows.value("SELECT count(*) FROM analytics.t") == 4


# Another worker holds it


def test_who_is_fenced_leaves_without_settling(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    control = rows.control()
    with Brake(rows, 5) as brake:

        def fence() -> None:
            brake.reached()
            control.fenced = True
            until(lambda: not _writers(rows), what="the batch is rolled back")

        with meanwhile(fence):
            run = rows.run(pipeline, control)

    assert (run.status, rows.status(pipeline)) == (RunStatus.RUNNING, PipelineStatus.RUNNING)
    assert rows.value("SELECT count(*) FROM analytics.t") == 4


def test_who_cannot_trust_its_lease_leaves_without_settling(rows: Loads) -> None:
    pipeline = rows.follow(ENDLESS)

    def expire(control: Control) -> None:
        control.trusted_until = clock() - 1

    run = wait_while_silent(rows, pipeline, expire)
    assert (run.status, rows.status(pipeline)) == (RunStatus.RUNNING, PipelineStatus.RUNNING)


# Errors that pass


def break_at(loads: Loads, row: int, state: str, message: str = "secret 4711") -> None:
    """The target raises `state` at that row."""
    loads.target.execute(
        "CREATE OR REPLACE FUNCTION analytics.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF new.id = tg_argv[0]::int THEN RAISE EXCEPTION '%', tg_argv[2] USING"
        " ERRCODE = tg_argv[1], DETAIL = 'Key (name)=(secret 4711)', HINT = 'secret 4711'; END IF;"
        " RETURN new; END $$"
    )
    loads.target.execute(
        f"CREATE TRIGGER breaks BEFORE INSERT ON analytics.t FOR EACH ROW"
        f" EXECUTE FUNCTION analytics.raise({row}, '{state}', '{message}')"
    )


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("40001", "40001"),
        ("40P01", "waited for each other"),
        ("55P03", "lock"),
        ("53100", "disk space"),
        ("53200", "Next try"),
        ("57014", "time limit"),
        ("58030", "58030"),
        ("XX000", "XX000"),
        ("99999", "99999"),
    ],
)
def test_an_error_that_may_pass_is_tried_again_from_the_checkpoint(
    rows: Loads, state: str, word: str
) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    break_at(rows, 5, state)

    run = rows.put_off(pipeline)

    assert run.sqlstate == state
    assert word in run.error_message
    assert "Next try at " in run.error_message
    assert (run.rows_read, rows.value("SELECT count(*) FROM analytics.t")) == (4, 4)
    rows.target.execute("DROP TRIGGER breaks ON analytics.t")
    again = rows.succeed(pipeline)
    assert (again.rows_read, again.resumed) == (6, True)
    assert rows.assert_equal(ROWS) == 10
    # What took too long is tried in steps of half the size.
    assert rows.checkpoint(pipeline)["seq"] == (8 if state == "57014" else 5)


def test_an_error_that_does_not_pass_ends_after_some_tries(rows: Loads) -> None:
    pipeline = rows.follow(ROWS, batch_size=100)
    break_at(rows, 5, "40001")
    rows.put_off(pipeline)
    for attempt in range(2, 6):
        Pipeline.objects.filter(pk=pipeline.pk).update(next_attempt_at=LONG_AGO)
        held = lifecycle.claim(worker=WorkerFactory().pk, lease=60)
        assert held is not None
        run = rows.execute(held, rows.control())
        assert run.attempt == attempt
    assert (run.status, rows.status(pipeline)) == (RunStatus.FAILED, PipelineStatus.FAILED)
    assert "Next try" not in run.error_message


@pytest.mark.parametrize(
    ("mode", "status"),
    [("incremental", PipelineStatus.RUN_REQUESTED), ("full", PipelineStatus.FAILED)],
)
def test_only_batches_that_are_kept_forgive_the_tries_before_them(
    rows: Loads, mode: str, status: PipelineStatus
) -> None:
    """The last try moves some batches, and then breaks: the next one need not do those again."""
    query = ROWS
    if mode == "incremental":  # whose rows are sorted before the first is sent
        break_at(rows, 7, "40001")
    else:
        rows.source.execute(
            "CREATE FUNCTION breaks(id int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
            " IF id = 7 THEN RAISE EXCEPTION 'broken' USING ERRCODE = '40001'; END IF;"
            " RETURN id; END $$"
        )
        query = ROWS.replace("g AS id", "breaks(g) AS id")
    pipeline = rows.follow(query, mode=mode, batch_size=2)
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
    Pipeline.objects.filter(pk=pipeline.pk).update(attempt=4, next_attempt_at=LONG_AGO)
    held = lifecycle.claim(worker=WorkerFactory().pk, lease=60)
    assert held is not None

    run = rows.execute(held, rows.control())

    assert (run.attempt, run.sqlstate, run.batches) == (5, "40001", 3)
    assert rows.status(pipeline) == status


def _kill(loads: Loads, session: Any, name: str) -> None:
    pid = wait_for_session(session, f"application_name = 'etl_admin:{name}'")
    with psycopg.connect(session.info.dsn, password=session.info.password) as killer:
        killer.execute("SELECT pg_terminate_backend(%s)", [pid])


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_that_ends_our_session_mid_stream_is_asked_again(rows: Loads, side: str) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    held = rows.claim(pipeline)
    with Brake(rows, 5) as brake:

        def kill() -> None:
            brake.reached()
            _kill(rows, getattr(rows, side), {"source": "read", "target": "write"}[side])
            brake.release()

        with meanwhile(kill):
            run = rows.execute(held, rows.control())

    if side == "source" and run.status == RunStatus.SUCCESS:
        # Everything had been sent already.
        assert rows.assert_equal(ROWS) == 10
        return
    assert rows.status(pipeline) == PipelineStatus.RUN_REQUESTED
    assert side in run.error_message
    rows.succeed(pipeline)
    assert rows.assert_equal(ROWS) == 10


def test_a_source_that_goes_before_its_first_row_is_named(rows: Loads) -> None:
    pipeline = rows.follow(ENDLESS)
    run = wait_while_silent(rows, pipeline, lambda _control: _kill(rows, rows.source, "read"))
    assert run.sqlstate == "57P01"
    assert "source" in run.error_message
    assert rows.status(pipeline) == PipelineStatus.RUN_REQUESTED


def test_a_source_that_goes_in_preflight_is_tried_again(table: Loads) -> None:
    """Describing a locked table waits; the session that waits is ended."""
    pipeline = table.define(QUERY)
    held = table.claim(pipeline)
    with table.source.transaction():
        table.source.execute("LOCK TABLE people")

        def kill() -> None:
            info = table.source.info
            with psycopg.connect(info.dsn, password=info.password, autocommit=True) as other:
                pid = wait_for_session(other, "wait_event_type = 'Lock'")
                other.execute("SELECT pg_terminate_backend(%s)", [pid])

        with meanwhile(kill):
            run = table.execute(held, table.control())
    assert table.status(pipeline) == PipelineStatus.RUN_REQUESTED
    assert run.sqlstate == "57P01"
    assert "source" in run.error_message


@pytest.mark.parametrize(
    ("side", "change", "status"),
    [
        ("source", {"port": 1}, "RUN_REQUESTED"),
        ("target", {"port": 1}, "RUN_REQUESTED"),
        ("source", {"dbname": "nowhere"}, "FAILED"),
        ("target", {"user": "nobody"}, "FAILED"),
        ("source", {"host": "nowhere.invalid"}, "RUN_REQUESTED"),
    ],
)
def test_a_server_out_of_reach_is_tried_again_and_a_refused_sign_in_is_not(
    table: Loads, side: str, change: dict[str, Any], status: str
) -> None:
    connection = getattr(table, f"{side}_connection")
    for name, value in change.items():
        setattr(connection, name, value)
    connection.save()
    pipeline = table.define(QUERY)
    run = table.run(pipeline)
    assert table.status(pipeline) == status
    assert f"The {side} connection “{side}”" in run.error_message
    for value in change.values():
        assert (
            str(value) not in run.error_message.replace("2026-", "").replace(":", "") or value == 1
        )


def test_a_target_that_became_read_only_is_tried_again(table: Loads) -> None:
    role = f"ALTER ROLE CURRENT_USER IN DATABASE {table.target.info.dbname}"
    pipeline = table.define(QUERY)
    table.succeed(pipeline)
    table.target.execute(f"{role} SET default_transaction_read_only = on")
    try:
        run = table.put_off(pipeline)
    finally:
        table.target.execute("SET default_transaction_read_only = off")
        table.target.execute(f"{role} RESET ALL")
    assert run.sqlstate == "25006"
    assert "target" in run.error_message


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_without_a_free_connection_is_tried_again(table: Loads, side: str) -> None:
    """libpq gives no SQLSTATE for a failed sign-in."""
    role = cluster.own("crowded")
    with cluster.superuser() as superuser:
        superuser.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}' CONNECTION LIMIT 0")
        try:
            connection = getattr(table, f"{side}_connection")
            connection.user = role
            connection.set_password(role)
            connection.save()
            run = table.put_off(table.define(QUERY))
        finally:
            superuser.execute(f"DROP ROLE {role}")
    assert f"The {side} connection" in run.error_message
    assert role not in run.error_message


# Errors that stay


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("23505", "constraint"),
        ("23514", "constraint"),
        ("22P02", "does not fit"),
        ("22003", "does not fit"),
        ("P0001", "trigger or function"),
        ("21000", "21000"),
        ("42501", "target"),
        ("0A000", "target"),
    ],
)
def test_an_error_that_stays_fails_at_once_and_keeps_what_is_committed(
    rows: Loads, state: str, word: str
) -> None:
    pipeline = rows.follow(ROWS, batch_size=2)
    break_at(rows, 5, state, "something" if state in ("42501", "0A000") else "secret 4711")

    run = rows.fail(pipeline)

    assert run.sqlstate == state
    assert word in run.error_message
    assert "secret" not in run.error_message
    assert "4711" not in run.error_message
    assert rows.value("SELECT count(*) FROM analytics.t") == 4
    assert rows.state(pipeline).last_processed_value == "4"
    rows.target.execute("DROP TRIGGER breaks ON analytics.t")
    assert rows.succeed(pipeline).rows_read == 6
    assert rows.assert_equal(ROWS) == 10


def test_a_row_that_breaks_the_source_says_so_without_its_value(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE s AS SELECT 'secret 4711'::text AS t")
    for query, words in (
        ("SELECT 1 AS id, t::int AS n FROM s", "invalid text representation"),
        ("SELECT 1 AS id, 1 / (length(t) - 11) AS n FROM s", "division by zero"),
    ):
        run = loads.fail(loads.define(query))
        assert "source" in run.error_message
        assert words in run.error_message
        assert "4711" not in run.error_message


def test_a_function_that_writes_to_the_source_is_refused_at_the_run(loads: Loads) -> None:
    loads.source.execute("CREATE SEQUENCE numbers")
    run = loads.fail(loads.define("SELECT nextval('numbers') AS id"))
    assert run.sqlstate == "25006"
    assert loads.source.execute("SELECT is_called FROM numbers").fetchone() == (False,)


def test_a_query_cannot_lift_its_own_limits(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE victims AS SELECT 1 AS id")
    loads.source.execute(
        "CREATE FUNCTION escape() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('default_transaction_read_only', 'off', false);"
        " PERFORM set_config('transaction_read_only', 'off', true);"
        " DELETE FROM victims; RETURN 1; END $$"
    )
    run = loads.fail(loads.define("SELECT escape() AS id"))
    assert run.sqlstate == "25001"
    assert loads.source.execute("SELECT count(*) FROM victims").fetchone() == (1,)


def test_what_became_wrong_since_fails_before_any_row_moves(table: Loads) -> None:
    pipeline = table.define(QUERY)
    table.succeed(pipeline)
    table.source.execute("ALTER TABLE people RENAME name TO label")
    run = table.fail(pipeline)
    assert 'column "name" does not exist' in run.error_message
    assert "(line 1, column 12)" in run.error_message
    table.source.execute("DROP TABLE people")
    run = table.fail(pipeline)
    assert 'relation "people" does not exist' in run.error_message
    assert (run.rows_read, run.error_class) == (0, "Preflight")
    assert table.value("SELECT count(*) FROM analytics.t") == 10


def test_a_password_that_cannot_be_opened_fails_with_a_sentence(table: Loads) -> None:
    table.source_connection.secret = "gAAAAAB-not-a-token"
    table.source_connection.save()
    run = table.fail(table.define(QUERY))
    assert "password" in run.error_message.lower() or "key" in run.error_message.lower()
    assert "gAAAA" not in run.error_message
