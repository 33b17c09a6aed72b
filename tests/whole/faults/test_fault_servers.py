"""Source and target: lost, crashed, silent, full, busy, read-only, changed (F6, F7, F9-F12, F26,
F31, F33). TLS, ICU collations, dblink and xml cannot be shown with the servers of the wheel, which
are built without them; a standby's recovery conflict is raised by a function.
"""

from typing import Any

import pytest

from pipelines.models import Pipeline
from pipelines.states import RunStatus
from tests.control.standing import status
from tests.waiting import until
from tests.whole.faults import points
from tests.whole.faults.ground import COLUMNS, TABLE, Ground
from tests.whole.faults.proxy import AtCommit

LOST = "OperationalError"


def streaming(ground: Ground, mode: str) -> Pipeline:
    """A run whose source has sent the first rows of three batches and keeps the others back."""
    ground.fill()
    if mode == "incremental":  # all rows are sorted before the first is sent
        points.at_insert(ground.target, TABLE, "new.id = 13")
        gate = ground.gate("target")
        pipeline = ground.pipeline(mode)
    else:
        gate = ground.gate("source")
        pipeline = ground.pipeline(mode, hold_at=18)
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    gate.session.close()
    return pipeline


def until_failed_once(ground: Ground, pipeline: Pipeline) -> str:
    """Wait for the first run to fail, and give its class and SQLSTATE."""
    until(lambda: ground.errors(pipeline), what=lambda: ground.story(pipeline), seconds=30)
    return ground.errors(pipeline)[0]


# Lost


@pytest.mark.parametrize("how", ["terminate", "close", "reset", "crash"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_that_is_lost_in_the_middle_is_tried_again(
    ground: Ground, side: str, how: str
) -> None:
    ground.fill()
    gate = ground.gate("source")
    pipeline = ground.pipeline("swap", hold_at=18)
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    ground.until_batch_is_open(pipeline, after=3)
    server = getattr(ground.servers, side)

    if how == "terminate":
        assert server.end_sessions("application_name ~ '^etl_admin:(read|write)'")
    elif how == "crash":
        server.crash()
        server.start()
    else:
        assert server.proxy.cut(reset=how == "reset")
    gate.session.close()

    error = until_failed_once(ground, pipeline)
    assert error in (LOST, "AdminShutdown 57P01", "CrashShutdown 57P02"), error
    assert side in pipeline.runs.last().error_message
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


def test_an_incremental_load_goes_on_from_its_checkpoint_after_a_crash_of_the_target(
    ground: Ground,
) -> None:
    ground.fill()
    points.at_insert(ground.target, TABLE, "new.id = 13")
    gate = ground.gate("target")
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()

    ground.servers.target.crash()
    ground.servers.target.start()

    ground.until(pipeline, "IDLE", "FAILED")
    last = pipeline.runs.order_by("generation").last()
    assert (last.resumed, last.rows_read) == (True, 30), ground.story(pipeline)
    ground.settle(pipeline)


@pytest.mark.parametrize("word", ["DECLARE", "NULL::bigint", "COPY ("])
def test_a_source_that_is_lost_in_preflight_is_no_fault_of_the_definition(
    ground: Ground, word: str
) -> None:
    ground.fill()
    pipeline = ground.pipeline("incremental", incremental_key="number", late_margin="5")
    Pipeline.objects.update(
        source_query=f"SELECT {COLUMNS}, id::bigint AS number FROM public.things"
    )
    ground.target.execute(f"ALTER TABLE {TABLE} ADD COLUMN number bigint")
    ground.servers.source.proxy.arm(AtCommit.BEFORE, word=word.encode())
    ground.start()
    ground.ask(pipeline)

    assert until_failed_once(ground, pipeline) == LOST
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


def test_a_server_that_is_away_for_long_uses_the_tries_up_and_says_so(ground: Ground) -> None:
    ground.fill()
    pipeline = ground.pipeline("swap")
    ground.servers.target.proxy.refusing.set()
    ground.start()
    ground.ask(pipeline)

    ground.until(pipeline, "FAILED")

    assert ground.runs(pipeline) == [RunStatus.FAILED] * 5
    last = pipeline.runs.order_by("generation").last()
    assert "cannot be reached" in last.error_message
    assert "Next try" not in last.error_message
    ground.servers.target.proxy.refusing.clear()
    ground.settle(pipeline)


def test_less_than_was_staged_is_never_published(ground: Ground) -> None:
    """As after a crash of the target that lost relaxed commits without our session noticing."""
    ground.fill()
    gate = ground.gate("source")
    pipeline = ground.pipeline("swap", hold_at=18)
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    until(lambda: ground.committed(pipeline) == 3, what=lambda: ground.story(pipeline))

    (staging,) = ground.target.execute("SELECT staging FROM etl.checkpoint").fetchone() or ("",)
    ground.target.execute(f'DELETE FROM etl."{staging}" WHERE id = 3')
    gate.open()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.errors(pipeline) == ["StagingLost"]
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS]
    ground.settle(pipeline)


# Silent


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_connection_that_died_without_a_word_is_noticed(ground: Ground, side: str) -> None:
    """Everything is swallowed, new connections too, and no kernel says that anybody is gone."""
    ground.fill()
    gate = ground.gate("source")
    pipeline = ground.pipeline("swap", hold_at=18)
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    ground.until_batch_is_open(pipeline, after=3)

    getattr(ground.servers, side).proxy.stalled.set()
    gate.session.close()

    error = until_failed_once(ground, pipeline)
    assert error == LOST
    assert f"The connection to the {side} was lost" in pipeline.runs.last().error_message
    getattr(ground.servers, side).proxy.clear()
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


def test_a_source_that_forgot_our_session_is_noticed(ground: Ground) -> None:
    """The way is open for new connections; the old one's end was never told to us."""
    ground.fill()
    gate = ground.gate("source")
    pipeline = ground.pipeline("swap", hold_at=18)
    worker = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()

    ground.servers.source.proxy.freeze_present()
    ground.servers.source.end_sessions("application_name = 'etl_admin:read'")
    gate.session.close()

    assert until_failed_once(ground, pipeline) == LOST
    assert "knows nothing of our session" in worker.output
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


def test_a_query_that_takes_its_time_is_left_alone(ground: Ground) -> None:
    """Many times longer silent than it takes until the server is asked."""
    ground.fill()
    slow = "WHERE id <> 18 OR pg_sleep(3) IS NOT NULL"
    pipeline = ground.pipeline("swap")
    Pipeline.objects.update(source_query=f"{pipeline.source_query} {slow}")
    worker = ground.start()
    ground.ask(pipeline)

    ground.until(pipeline, "IDLE", "FAILED")

    assert ground.runs(pipeline) == [RunStatus.SUCCESS], ground.story(pipeline)
    assert "Not a byte" not in worker.output
    ground.settle(pipeline)


# Errors of a server

TRANSIENT = {
    "53100": ("DiskFull", 4),
    "53200": ("OutOfMemory", 5),
    "40P01": ("DeadlockDetected", 5),
    "40001": ("SerializationFailure", 5),
    "55P03": ("LockNotAvailable", 5),
    "57014": ("QueryCanceled", 2),
    "25006": ("ReadOnlySqlTransaction", 5),
    "XX000": ("InternalError_", 2),
}
PERMANENT = {
    "22003": "NumericValueOutOfRange",
    "23514": "CheckViolation",
    "42501": "InsufficientPrivilege",
    "54000": "ProgramLimitExceeded",
    "P0001": "RaiseException",
}
#: In every change the ones with a treatment of their own.
QUICK = {"53100", "40P01", "57014", "23514"}


def cases(*sqlstates: str) -> list[Any]:
    marks = {s: () if s in QUICK else (pytest.mark.soak,) for s in sqlstates}
    return [pytest.param(s, marks=marks[s]) for s in sqlstates]


@pytest.mark.parametrize("sqlstate", cases(*TRANSIENT))
def test_an_error_that_may_pass_is_tried_again_so_often(ground: Ground, sqlstate: str) -> None:
    ground.fill()
    points.at_insert(ground.target, TABLE, "new.id = 13", does=sqlstate)
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)

    ground.until(pipeline, "FAILED")

    name, tries = TRANSIENT[sqlstate]
    assert set(ground.errors(pipeline)) == {f"{name} {sqlstate}"}
    # The first run's two batches are progress, and forgive one failure.
    assert len(ground.runs(pipeline)) in (tries, tries + 1), ground.story(pipeline)
    assert ground.committed(pipeline) in (2, 3)  # after a time limit the steps are smaller
    assert not any("secret-4711" in run.error_message for run in pipeline.runs.all())
    points.remove(ground.target, TABLE)
    ground.settle(pipeline)


def test_a_try_after_a_failed_one_takes_smaller_steps(ground: Ground) -> None:
    ground.fill()
    points.at_checkpoint(ground.target, "new.rows - old.rows > 3", does="57014")
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)

    ground.until(pipeline, "IDLE", "FAILED")

    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    assert ground.errors(pipeline) == ["QueryCanceled 57014"]
    points.remove(ground.target, "etl.checkpoint")
    ground.settle(pipeline)


@pytest.mark.parametrize("sqlstate", cases(*PERMANENT))
def test_an_error_that_stays_fails_the_run_at_once(ground: Ground, sqlstate: str) -> None:
    ground.fill()
    points.at_insert(ground.target, TABLE, "new.id = 13", does=sqlstate)
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)

    ground.until(pipeline, "FAILED")

    run = pipeline.runs.get()
    assert (run.error_class, run.sqlstate) == (PERMANENT[sqlstate], sqlstate)
    assert "secret-4711" not in run.error_message
    assert ground.committed(pipeline) == 2
    points.remove(ground.target, TABLE)
    ground.settle(pipeline)


def test_a_query_that_a_standby_cancelled_is_tried_again(ground: Ground) -> None:
    ground.fill()
    ground.source.execute(
        "CREATE SEQUENCE public.asked; GRANT ALL ON SEQUENCE public.asked TO source;"
        "CREATE FUNCTION public.conflict() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$"
        " BEGIN IF pg_sequence_last_value('public.asked') IS NULL THEN"
        " RAISE EXCEPTION 'canceling statement due to conflict with recovery'"
        " USING ERRCODE = '40001'; END IF; RETURN true; END $$"
    )
    pipeline = ground.pipeline("swap")
    Pipeline.objects.update(source_query=f"{pipeline.source_query} WHERE public.conflict()")
    ground.start()
    ground.ask(pipeline)

    assert until_failed_once(ground, pipeline) == "SerializationFailure 40001"
    ground.source.execute("SELECT nextval('public.asked')")
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


def test_a_lock_that_another_session_holds_is_waited_for_and_tried_again(ground: Ground) -> None:
    """Two sessions in each other's way: one of them is ended by the server, and nothing is lost."""
    ground.fill()
    ground.fill(41, 41)
    ground.target.execute(
        f"INSERT INTO {TABLE} (id, modified) VALUES (8, '2019-01-01Z'), (41, '2019-01-01Z')"
    )
    gate = ground.gate("target")
    points.at_update(ground.target, TABLE, "new.id = 8 AND new.modified > '2020-01-01Z'")
    pipeline = ground.pipeline("incremental", batch_size=41)
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()

    other = ground.servers.target.admin()
    other.execute("SET deadlock_timeout = '1min'; BEGIN")
    other.execute(f"UPDATE {TABLE} SET pad = 'mine' WHERE id = 41")
    other.execute("SET LOCAL lock_timeout = '30s'")
    gate.open()
    until(
        lambda: (
            ground.target.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'etl_admin:write'"
                " AND wait_event_type = 'Lock'"
            ).fetchone()
            == (1,)
        ),
        what=lambda: ground.story(pipeline),
    )
    other.execute(f"UPDATE {TABLE} SET pad = 'mine' WHERE id = 8")
    other.execute("COMMIT")
    other.close()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.errors(pipeline) == ["DeadlockDetected 40P01"], ground.story(pipeline)
    ground.settle(pipeline)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_without_a_free_slot_is_tried_again(ground: Ground, side: str) -> None:
    ground.fill()
    session = getattr(ground, side)
    session.execute(f"ALTER ROLE {side} CONNECTION LIMIT 0")
    pipeline = ground.pipeline("swap")
    ground.start()
    ground.ask(pipeline)

    until_failed_once(ground, pipeline)

    session.execute(f"ALTER ROLE {side} CONNECTION LIMIT -1")
    run = pipeline.runs.get()
    assert "no free connection slot" in run.error_message
    assert "Next try" in run.error_message
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


# A target that changed


def test_a_target_table_that_is_dropped_under_a_run_fails_it(ground: Ground) -> None:
    pipeline = streaming(ground, "incremental")

    ground.target.execute(f"DROP TABLE {TABLE}")

    ground.until(pipeline, "FAILED")
    assert ground.errors(pipeline) == ["UndefinedTable 42P01"], ground.story(pipeline)
    assert status(pipeline) == "FAILED"


def test_a_target_that_became_read_only_is_waited_for(ground: Ground) -> None:
    """As during a failover, when the name still leads to the old primary."""
    ground.fill()
    ground.target.execute("ALTER DATABASE target SET default_transaction_read_only = on")
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)

    assert until_failed_once(ground, pipeline) == "ReadOnlySqlTransaction 25006"

    ground.target.execute("ALTER DATABASE target RESET default_transaction_read_only")
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)
