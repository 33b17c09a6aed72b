"""Wishes of people, and signals, against faults (F14, F16-F18, F29)."""

import signal
import threading

import psycopg
import pytest
from django.db import connection
from django.db.models import ProtectedError

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.lifecycle import TransitionRefused
from pipelines.models import Connection, Pipeline
from pipelines.states import RunStatus
from tests.control.standing import events, row, status
from tests.waiting import until
from tests.whole.faults import points
from tests.whole.faults.ground import TABLE, Ground
from tests.whole.gates import Gate


@pytest.fixture
def held(ground: Ground) -> tuple[Pipeline, Gate]:
    """A pipeline whose second batch waits at a gate of the target."""
    ground.fill()
    points.at_insert(ground.target, TABLE, "new.id = 8")
    gate = ground.gate("target")
    return ground.ask(ground.pipeline("incremental")), gate


# Pause


def test_a_dead_workers_pause_is_paused_only_when_nothing_can_write_any_more(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    zombie = ground.start()
    gate.until_waited_at()
    zombie.signal(signal.SIGSTOP)
    proxy = ground.servers.target.proxy
    proxy.refusing.set()
    lifecycle.request_pause(pipeline.pk, by=None)
    worker = ground.start()

    # The claim is taken, and without a fence the pause has to wait.
    until(lambda: "(generation 2) ends, failed" in worker.output, what=lambda: worker.output)
    assert status(pipeline) == "PAUSE_REQUESTED"
    proxy.refusing.clear()
    ground.until(pipeline, "PAUSED")
    gate.open()

    assert ground.runs(pipeline) == [RunStatus.FAILED]
    paused = row(pipeline)
    zombie.signal(signal.SIGCONT)
    until(lambda: "superseded" in zombie.output, what=lambda: zombie.output)
    assert ground.committed(pipeline) == 1
    assert row(pipeline) == paused
    ground.settle(pipeline)


def test_a_pause_and_a_transient_error_end_in_a_pause(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    ground.start(RUNNER_LEASE_SECONDS=30)
    gate.until_waited_at()

    lifecycle.request_pause(pipeline.pk, by=None)
    ground.servers.target.end_sessions("application_name = 'etl_admin:write'")
    gate.open()

    ground.until(pipeline, "PAUSED")
    assert ground.runs(pipeline) == [RunStatus.FAILED]
    ground.settle(pipeline)


def test_two_requests_at_once_are_one_run(ground: Ground) -> None:
    ground.fill()
    pipeline = ground.pipeline("merge")
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
        connection.close()

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    ground.start()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.SUCCESS]
    assert sorted(events(pipeline)[:8]) == ["run"] + ["run again"] * 7
    ground.settle(pipeline)


# Edits


def test_a_run_keeps_the_definition_of_its_claim(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    ground.start()
    gate.until_waited_at()

    pipeline.batch_size = 20
    lifecycle.edit(pipeline, {"batch_size"}, by=None)
    gate.open()
    ground.until(pipeline, "IDLE", "FAILED")
    ground.source.execute("UPDATE public.things SET modified = modified + interval '1 day'")
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")

    runs = pipeline.runs.order_by("generation").values_list("batches", flat=True)
    assert list(runs) == [8, 2], ground.story(pipeline)
    ground.settle(pipeline)


def test_what_a_run_needs_cannot_be_changed_or_deleted_under_it(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    ground.start()
    gate.until_waited_at()

    pipeline.source_query = "SELECT 1 AS id"
    with pytest.raises(TransitionRefused):
        lifecycle.edit(pipeline, {"source_query"}, by=None)
    with pytest.raises(TransitionRefused):
        lifecycle.delete(pipeline.pk)
    with pytest.raises(TransitionRefused):
        lifecycle.reset_checkpoint(pipeline.pk, by=None)
    with pytest.raises(ProtectedError):
        Connection.objects.get(name="fault_target").delete()

    gate.open()
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


# Signals


def lock_table(ground: Ground) -> psycopg.Connection:
    """Another session that holds the target's table, as a migration would."""
    other = ground.servers.target.admin()
    other.execute(f"BEGIN; LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    return other


def test_a_stopping_worker_abandons_a_batch_that_waits_for_a_lock(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    worker = ground.start()
    gate.until_waited_at()

    worker.signal(signal.SIGTERM)

    assert worker.wait(25) == 0
    assert status(pipeline) == "RUN_REQUESTED"
    assert ground.runs(pipeline) == [RunStatus.INTERRUPTED]
    assert Pipeline.objects.get(pk=pipeline.pk).attempt == 0
    assert ground.committed(pipeline) == 1
    gate.open()
    ground.start()
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


def test_a_second_signal_ends_a_worker_that_waits_for_a_lock(ground: Ground) -> None:
    ground.fill()
    pipeline = ground.ask(ground.pipeline("swap"))
    points.at_checkpoint(ground.target, "new.phase = 'loading' AND new.seq = 1")
    gate = ground.gate("target")
    worker = ground.start()
    gate.until_waited_at()
    other = lock_table(ground)
    gate.open()
    ground.until_target_waits()

    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)  # two of a kind may arrive as one

    assert worker.wait(10) == 0
    assert ground.runs(pipeline) == [RunStatus.INTERRUPTED], ground.story(pipeline)
    assert status(pipeline) == "RUN_REQUESTED"
    other.close()
    ground.start()
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_second_signal_ends_a_worker_that_waits_for_a_server_to_answer(
    ground: Ground, side: str
) -> None:
    ground.fill()
    pipeline = ground.pipeline("swap")
    proxy = getattr(ground.servers, side).proxy
    proxy.stalled.set()
    worker = ground.start(RUNNER_LEASE_SECONDS=30)
    ground.ask(pipeline)
    until(lambda: ground.runs(pipeline) == [RunStatus.RUNNING], what=lambda: worker.output)

    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)  # two of a kind may arrive as one

    assert worker.wait(10) == 0
    assert ground.runs(pipeline) == [RunStatus.INTERRUPTED], ground.story(pipeline)
    proxy.clear()
    ground.start()
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)


def test_a_cancel_is_obeyed_by_whoever_comes_after_a_dead_worker(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    victim = ground.start()
    gate.until_waited_at()
    lifecycle.request_cancel(pipeline.pk, by=None)
    ground.kill(victim)
    gate.open()

    ground.start()

    ground.until(pipeline, "IDLE", "FAILED")
    assert status(pipeline) == "IDLE"
    assert ground.runs(pipeline) == [RunStatus.CANCELLED]
    assert ground.committed(pipeline) == 1
    ground.settle(pipeline)
