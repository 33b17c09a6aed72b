"""Real worker processes: waking, ending, handing over, and taking over from the dead."""

import re
import signal
import statistics
from collections.abc import Callable
from datetime import timedelta
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.models import Connection, Pipeline, Worker
from pipelines.states import (
    FAILED,
    IDLE,
    PAUSE_REQUESTED,
    PAUSED,
    RUN_REQUESTED,
    RUNNING,
    RunStatus,
)
from tests import cluster
from tests.control.standing import status
from tests.factories import PipelineFactory
from tests.fixtures.processes import WorkerProcess
from tests.waiting import until
from tests.whole.gates import Gated, ask, gated_batches, gated_load

Start = Callable[..., WorkerProcess]
Run = Callable[..., CompletedProcess[str]]
Session = psycopg.Connection[Any]

#: Long enough that only NOTIFY can have woken a worker in time.
NEVER_POLLS = {"RUNNER_POLL_SECONDS": 3600}
SHORT_LEASE = {"RUNNER_LEASE_SECONDS": 1, "RUNNER_POLL_SECONDS": 1}


@pytest.fixture
def load(
    source_connection: Connection, target_connection: Connection, source: Session, target: Session
) -> Gated:
    """A full load whose first row is kept back."""
    return gated_load(
        source_connection, target_connection, source_session=source, target_session=target
    )


@pytest.fixture
def batches(
    source_connection: Connection, target_connection: Connection, source: Session, target: Session
) -> Gated:
    """An incremental load, one row a batch, whose second batch is held."""
    return gated_batches(
        source_connection, target_connection, source_session=source, target_session=target
    )


def load_of(rows: int, **facts: Any) -> Pipeline:
    """A full load through the built-in connection, which leads to the test's own target."""
    return PipelineFactory(
        source_query=f"SELECT g AS id FROM generate_series(1, {rows}) AS g", **facts
    )


def runs(pipeline: Pipeline) -> list[str]:
    return list(pipeline.runs.order_by("generation").values_list("status", flat=True))


def until_status(pipeline: Pipeline, *wanted: str) -> None:
    until(
        lambda: status(pipeline) in wanted,
        what=lambda: (
            f"{pipeline} is {status(pipeline)}, not {wanted}; its runs: "
            f"{list(pipeline.runs.values('status', 'error_message', 'sqlstate'))}"
        ),
    )


def until_listening(number: int = 1) -> None:
    """Wait until so many workers wait for the bell."""
    with cluster.superuser() as session:
        until(lambda: listeners(session) >= number, what="no worker listens")


def listeners(session: Session) -> int:
    row = session.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'idle'"
        " AND application_name = 'etl_admin:listen' AND query ~* '^LISTEN'",
        [settings.DATABASES["default"]["NAME"]],
    ).fetchone()
    return row[0] if row else 0


# Waking


def test_a_request_wakes_an_idle_worker(start_worker: Start, target_url: str) -> None:
    start_worker(**NEVER_POLLS)
    until_listening()
    pipeline = load_of(10)

    ask(pipeline)

    until_status(pipeline, IDLE)
    assert runs(pipeline) == [RunStatus.SUCCESS]


def test_an_idle_worker_claims_within_milliseconds(start_worker: Start, target_url: str) -> None:
    start_worker(**NEVER_POLLS)
    until_listening()
    pipeline = load_of(1)

    for _ in range(15):
        ask(pipeline)
        until_status(pipeline, IDLE, FAILED)

    waits = [(run.started_at - run.requested_at).total_seconds() for run in pipeline.runs.all()]
    assert len(waits) == 15
    # The promise is 0.05 s on an idle machine (measured in bench); here other tests run too.
    assert statistics.median(waits) < 0.5


def test_a_retry_that_comes_due_wakes_a_worker_without_a_bell(
    start_worker: Start, target_url: str
) -> None:
    pipeline = load_of(10)
    due = Now() + timedelta(seconds=1)
    Pipeline.objects.filter(pk=pipeline.pk).update(status=RUN_REQUESTED, next_attempt_at=due)

    start_worker(**NEVER_POLLS)

    until_status(pipeline, IDLE)


def test_a_worker_that_lost_its_sessions_goes_on(start_worker: Start, target_url: str) -> None:
    worker = start_worker(RUNNER_POLL_SECONDS=1)
    until_listening()

    connection.ensure_connection()
    with cluster.superuser() as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> %s",
            [settings.DATABASES["default"]["NAME"], connection.connection.info.backend_pid],
        )
    pipeline = load_of(10)
    ask(pipeline)

    until_status(pipeline, IDLE)
    assert "Traceback" not in worker.output
    assert worker.stop() == 0


# --once


def test_once_without_work_ends_well(run_worker: Run) -> None:
    assert run_worker("--once", "--processes=1").returncode == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_once_runs_everything_that_waits(run_worker: Run, target_url: str, processes: int) -> None:
    pipelines = [load_of(10) for _ in range(3)]
    for pipeline in pipelines:
        ask(pipeline)

    done = run_worker("--once", f"--processes={processes}")

    assert done.returncode == 0, done.stderr
    assert [status(pipeline) for pipeline in pipelines] == [IDLE, IDLE, IDLE]
    assert [runs(pipeline) for pipeline in pipelines] == [[RunStatus.SUCCESS]] * 3


@pytest.mark.parametrize("processes", [1, 2])
def test_once_tells_by_its_exit_code_that_a_run_failed(
    run_worker: Run, target_url: str, processes: int
) -> None:
    good, bad = load_of(10), PipelineFactory(source_query="SELECT * FROM missing.table_")
    ask(good)
    ask(bad)

    done = run_worker("--once", f"--processes={processes}")

    assert done.returncode == 1
    assert (status(good), status(bad)) == (IDLE, FAILED)


def test_once_says_in_a_sentence_that_the_metadata_database_is_away(run_worker: Run) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"

    done = run_worker("--once", "--processes=1", DATABASE_URL=nowhere)

    assert done.returncode == 1
    assert "The metadata database cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_of_processes_that_makes_no_sense_gets_a_sentence(
    run_worker: Run, number: str
) -> None:
    done = run_worker(f"--processes={number}")

    assert done.returncode != 0
    assert "not a number of processes: give 1 or more" in done.stderr


def test_the_log_names_run_and_pipeline_at_start_and_end(run_worker: Run, target_url: str) -> None:
    pipeline = load_of(10, name="film_dim")
    ask(pipeline)

    done = run_worker()

    run = pipeline.runs.get()
    lines = [line for line in done.stderr.splitlines() if str(run.pk) in line]
    assert re.search(r"film_dim.*starts", lines[0])
    assert re.search(r"film_dim.*ends: rows read 10, written 10", lines[-1])


# Ending


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_ends_at_once_when_asked(
    start_worker: Start, number: signal.Signals, processes: int
) -> None:
    worker = start_worker(f"--processes={processes}", **NEVER_POLLS)
    until_listening(processes)

    worker.signal(number)

    assert worker.wait(10) == 0
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("processes", [1, 2])
def test_signals_that_come_while_it_ends_do_not_spoil_the_exit_code(
    start_worker: Start, processes: int
) -> None:
    worker = start_worker(f"--processes={processes}")
    until_listening(processes)

    def has_ended() -> bool:
        worker.signal(signal.SIGINT)
        return worker.process.poll() is not None

    until(has_ended, what="the worker's end")

    assert worker.wait() == 0, worker.output
    assert "Traceback" not in worker.output


def test_a_stopping_worker_finishes_its_batch_and_hands_the_pipeline_back(
    start_worker: Start,
    batches: Gated,
) -> None:
    pipeline = batches.pipeline
    batches.gate.close()
    worker = start_worker()
    ask(pipeline)
    batches.gate.until_waited_at()

    worker.signal(signal.SIGTERM)
    batches.gate.open()

    assert worker.wait() == 0
    pipeline.refresh_from_db()
    assert (pipeline.status, pipeline.attempt) == (RUN_REQUESTED, 0)
    assert runs(pipeline) == [RunStatus.INTERRUPTED]
    assert batches.rows() == 2


def test_the_next_worker_goes_on_where_the_stopped_one_left(
    start_worker: Start,
    run_worker: Run,
    batches: Gated,
) -> None:
    pipeline = batches.pipeline
    batches.gate.close()
    worker = start_worker()
    ask(pipeline)
    batches.gate.until_waited_at()
    worker.signal(signal.SIGTERM)
    batches.gate.open()
    worker.wait()

    assert run_worker().returncode == 0

    second = pipeline.runs.order_by("generation").last()
    assert runs(pipeline) == [RunStatus.INTERRUPTED, RunStatus.SUCCESS]
    assert (second.resumed, second.trigger, second.rows_read) == (True, Trigger.HANDOVER, 8)
    assert batches.rows() == 10


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_signal_rolls_the_batch_back_at_once(
    start_worker: Start,
    batches: Gated,
    processes: int,
) -> None:
    pipeline = batches.pipeline
    batches.gate.close()
    worker = start_worker(f"--processes={processes}")
    ask(pipeline)
    batches.gate.until_waited_at()

    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)

    assert worker.wait(10) == 0
    assert status(pipeline) == RUN_REQUESTED
    assert runs(pipeline) == [RunStatus.INTERRUPTED]
    assert batches.rows() == 1


def test_a_worker_that_waits_for_the_first_row_stops_at_once(
    start_worker: Start,
    load: Gated,
) -> None:
    pipeline = load.pipeline
    load.gate.close()
    worker = start_worker()
    ask(pipeline)
    load.gate.until_waited_at()

    worker.signal(signal.SIGTERM)

    assert worker.wait(10) == 0
    assert status(pipeline) == RUN_REQUESTED
    assert runs(pipeline) == [RunStatus.INTERRUPTED]


# Wishes of people


def test_a_pause_is_seen_while_the_worker_waits_for_the_first_row(
    start_worker: Start,
    load: Gated,
) -> None:
    pipeline = load.pipeline
    load.gate.close()
    start_worker()
    ask(pipeline)
    load.gate.until_waited_at()

    lifecycle.request_pause(pipeline.pk, by=None)

    until_status(pipeline, PAUSED)
    assert runs(pipeline) == [RunStatus.PAUSED]
    until(lambda: not load.gate.is_waited_at(), what="the query still runs")


def test_a_pause_between_two_batches_keeps_what_is_committed(
    start_worker: Start,
    batches: Gated,
) -> None:
    pipeline = batches.pipeline
    batches.gate.close()
    start_worker(**SHORT_LEASE)
    ask(pipeline)
    batches.gate.until_waited_at()

    lifecycle.request_pause(pipeline.pk, by=None)
    renewed = Pipeline.objects.get(pk=pipeline.pk).lease_until
    until(lambda: Pipeline.objects.get(pk=pipeline.pk).lease_until > renewed, what="no renewal")
    assert status(pipeline) == PAUSE_REQUESTED
    batches.gate.open()

    until_status(pipeline, PAUSED)
    assert runs(pipeline) == [RunStatus.PAUSED]
    assert batches.rows() == 2


def test_a_cancel_rolls_the_open_batch_back(
    start_worker: Start,
    batches: Gated,
) -> None:
    pipeline = batches.pipeline
    batches.gate.close()
    start_worker()
    ask(pipeline)
    batches.gate.until_waited_at()

    lifecycle.request_cancel(pipeline.pk, by=None)

    until_status(pipeline, IDLE)
    assert runs(pipeline) == [RunStatus.CANCELLED]
    assert batches.rows() == 1


def test_a_pause_that_no_worker_had_claimed_is_made_by_the_next(start_worker: Start) -> None:
    pipeline = load_of(10)
    ask(pipeline)
    lifecycle.request_pause(pipeline.pk, by=None)

    start_worker()

    until_status(pipeline, PAUSED)
    assert runs(pipeline) == []


# The dead


def test_another_worker_takes_over_from_a_killed_one_after_the_lease(
    start_worker: Start,
    batches: Gated,
) -> None:
    pipeline = batches.pipeline
    batches.gate.close()
    first = start_worker(**SHORT_LEASE)
    ask(pipeline)
    batches.gate.until_waited_at()

    first.signal(signal.SIGKILL)
    first.wait()
    batches.gate.open()
    start_worker(**SHORT_LEASE)

    until_status(pipeline, IDLE)
    lost, ours = pipeline.runs.order_by("generation")
    assert (lost.status, lost.error_class) == (RunStatus.FAILED, "WorkerLost")
    assert (ours.status, ours.trigger, ours.resumed) == (RunStatus.SUCCESS, Trigger.RESCUE, True)
    assert lost.worker_id != ours.worker_id
    assert batches.rows() == 10


def test_a_pause_of_a_killed_workers_pipeline_is_made_by_another(
    start_worker: Start,
    load: Gated,
) -> None:
    pipeline = load.pipeline
    load.gate.close()
    first = start_worker(**SHORT_LEASE)
    ask(pipeline)
    load.gate.until_waited_at()

    first.signal(signal.SIGKILL)
    first.wait()
    lifecycle.request_pause(pipeline.pk, by=None)
    start_worker(**SHORT_LEASE)

    until_status(pipeline, PAUSED)
    assert runs(pipeline) == [RunStatus.FAILED]


def test_a_frozen_worker_that_wakes_after_the_takeover_changes_nothing(
    start_worker: Start,
    load: Gated,
) -> None:
    pipeline = load.pipeline
    load.gate.close()
    zombie = start_worker(**SHORT_LEASE)
    ask(pipeline)
    load.gate.until_waited_at()

    zombie.signal(signal.SIGSTOP)
    second = start_worker(**SHORT_LEASE)
    until(lambda: runs(pipeline) == [RunStatus.FAILED, RunStatus.RUNNING], what="no takeover")
    load.gate.open()
    until_status(pipeline, IDLE)
    before = list(pipeline.runs.order_by("generation").values())
    zombie.signal(signal.SIGCONT)
    until(lambda: "superseded" in zombie.output, what=lambda: zombie.output)

    assert zombie.stop() == 0
    assert second.stop() == 0
    assert runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS]
    assert list(pipeline.runs.order_by("generation").values()) == before
    assert load.rows() == 10


def test_a_worker_outlives_its_lease_as_long_as_it_lives(
    start_worker: Start,
    load: Gated,
) -> None:
    pipeline = load.pipeline
    load.gate.close()
    start_worker("--processes=2", **SHORT_LEASE)
    ask(pipeline)
    load.gate.until_waited_at()
    first = Pipeline.objects.get(pk=pipeline.pk).lease_until

    until(
        lambda: Pipeline.objects.get(pk=pipeline.pk).lease_until > first + timedelta(seconds=3),
        what="the lease is not renewed",
    )

    assert status(pipeline) == RUNNING
    load.gate.open()
    until_status(pipeline, IDLE)
    assert runs(pipeline) == [RunStatus.SUCCESS]


# Sharing


def test_two_workers_run_each_pipeline_once(start_worker: Start, target_url: str) -> None:
    workers = [start_worker(**NEVER_POLLS) for _ in range(2)]
    until_listening(2)
    pipelines = [load_of(100) for _ in range(12)]

    for pipeline in pipelines:
        ask(pipeline)

    for pipeline in pipelines:
        until_status(pipeline, IDLE)
        assert runs(pipeline) == [RunStatus.SUCCESS]
    assert {worker.pid for worker in workers} == set(Worker.objects.values_list("pid", flat=True))


def test_a_long_load_does_not_keep_the_other_process_from_working(
    start_worker: Start,
    load: Gated,
) -> None:
    short = load_of(10)
    long = load.pipeline
    load.gate.close()
    start_worker("--processes=2")
    ask(long)
    load.gate.until_waited_at()

    ask(short)

    until_status(short, IDLE)
    assert status(long) == RUNNING
