"""A worker that was taken for dead and is not (F2), also where it holds locks (F3)."""

import signal
from typing import Any

import pytest

from pipelines import lifecycle
from pipelines.models import Pipeline
from pipelines.states import RunStatus
from tests.control.standing import row, status
from tests.fixtures.processes import WorkerProcess
from tests.waiting import until
from tests.whole.faults import points
from tests.whole.faults.ground import ROWS, TABLE, Ground
from tests.whole.gates import Gate

#: A takeover waits for the lease and one lock time-out of the fence, 6 s; the rest is for machines
#: that are busy. Without an end of the frozen session it would be two minutes.
BOUND_SECONDS = 30.0
_SILENT_IN_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'etl_admin:write' AND wait_event = 'ClientRead'
    AND (state LIKE 'idle in transaction%' OR query LIKE 'COPY%')
"""


def holds_still(ground: Ground) -> bool:
    """The target waits for the frozen worker, whose transaction is open."""
    return ground.target.execute(_SILENT_IN_TRANSACTION).fetchone() == (1,)


def freeze(ground: Ground, zombie: WorkerProcess, gate: Gate) -> None:
    """SIGSTOP at the gate; then the server goes on as far as it can without the worker."""
    zombie.signal(signal.SIGSTOP)
    gate.open()
    until(lambda: holds_still(ground), what="the target does not wait for the frozen worker")


def wake(ground: Ground, zombie: WorkerProcess, pipeline: Pipeline) -> None:
    """SIGCONT; the zombie changes nothing, and works on as a worker like any other."""
    before = row(pipeline)
    zombie.signal(signal.SIGCONT)
    until(lambda: "superseded" in zombie.output, what=lambda: zombie.output)
    assert row(pipeline) == before
    assert zombie.stop() == 0


def in_batch(ground: Ground) -> Gate:
    """Rows of the second batch are in the table, locked."""
    points.at_insert(ground.target, TABLE, "new.id = 8")
    return ground.gate("target")


def at_end_of_batch(ground: Ground) -> Gate:
    """The checkpoint's row is locked too."""
    points.at_checkpoint(ground.target, "new.seq = 2")
    return ground.gate("target")


def in_publish(ground: Ground) -> Gate:
    """Everything is locked, the table against readers too."""
    points.at_checkpoint(ground.target, "new.phase = 'done'")
    return ground.gate("target")


@pytest.mark.parametrize(
    ("point", "mode"),
    [
        (in_batch, "incremental"),
        (at_end_of_batch, "incremental"),
        (in_publish, "swap"),
        pytest.param(at_end_of_batch, "merge", marks=pytest.mark.soak),
        pytest.param(in_publish, "merge", marks=pytest.mark.soak),
        pytest.param(in_publish, "replace", marks=pytest.mark.soak),
    ],
)
def test_a_takeover_is_bounded_though_the_frozen_worker_holds_locks(
    ground: Ground, point: Any, mode: str
) -> None:
    ground.fill()
    gate = point(ground)
    pipeline = ground.pipeline(mode)
    zombie = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    freeze(ground, zombie, gate)

    ground.start()

    ground.until(pipeline, "IDLE", "FAILED", seconds=BOUND_SECONDS)
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    ground.judge(pipeline)
    wake(ground, zombie, pipeline)
    ground.settle(pipeline)


def test_a_worker_frozen_in_the_middle_of_a_copy_is_overtaken(ground: Ground) -> None:
    """Its backend counts as active, so no time-out of idle transactions ends it."""
    ground.fill()
    gate = ground.gate("source")
    pipeline = ground.pipeline("swap", hold_at=18)
    zombie = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    until(lambda: holds_still(ground), what="no batch is open")
    freeze(ground, zombie, gate)

    ground.start()

    ground.until(pipeline, "IDLE", "FAILED", seconds=BOUND_SECONDS)
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    wake(ground, zombie, pipeline)
    ground.settle(pipeline)


def deceived(ground: Ground, point: Any, mode: str) -> tuple[WorkerProcess, Pipeline, Gate]:
    """A worker that believes in its lease while the metadata has it for dead.

    Its way to the metadata is stalled, and nobody can end its session with the target: only the
    fence is left between it and the rows.
    """
    ground.fill()
    gate = point(ground)
    pipeline = ground.pipeline(mode)
    zombie = ground.start(RUNNER_LEASE_SECONDS=60)
    ground.ask(pipeline)
    gate.until_waited_at()
    ground.servers.metadata.proxy.stalled.set()
    Pipeline.objects.filter(pk=pipeline.pk).update(lease_until="2020-01-01 00:00Z")
    ground.target.execute("UPDATE etl.checkpoint SET backend_pid = NULL")
    return zombie, pipeline, gate


def test_a_zombie_that_trusts_its_lease_is_stopped_by_the_fence(ground: Ground) -> None:
    zombie, pipeline, gate = deceived(ground, in_batch, "incremental")
    ground.start(direct=True)
    until(
        lambda: (
            ground.target.execute("SELECT max(generation) FROM etl.checkpoint").fetchone() == (2,)
        ),
        what="no takeover",
    )

    gate.open()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    taken = pipeline.runs.order_by("generation").last()
    assert (taken.resumed, taken.rows_read) == (True, 35)
    until(lambda: "superseded" in zombie.output, what=lambda: zombie.output)
    ground.servers.metadata.proxy.clear()
    ground.settle(pipeline)


@pytest.mark.parametrize("mode", ["swap", "merge"])
def test_a_zombie_that_trusts_its_lease_does_not_publish(ground: Ground, mode: str) -> None:
    """Both have staged everything; the older one comes to its publish last."""
    ground.fill()
    gate = ground.gate("source")
    pipeline = ground.pipeline(mode, hold_at=38)
    zombie = ground.start(RUNNER_LEASE_SECONDS=60)
    ground.ask(pipeline)
    gate.until_waited_at()
    until(
        lambda: ground.committed(pipeline) == 7 and holds_still(ground),
        what="the zombie's last batch is not open",
    )
    zombie.signal(signal.SIGSTOP)
    ground.servers.metadata.proxy.stalled.set()
    gate.open()
    Pipeline.objects.filter(pk=pipeline.pk).update(lease_until="2020-01-01 00:00Z")
    ground.target.execute("UPDATE etl.checkpoint SET backend_pid = NULL")

    ground.start(direct=True)
    ground.until(pipeline, "IDLE", "FAILED")
    ground.source.execute("UPDATE public.things SET amount = -1")
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")
    zombie.signal(signal.SIGCONT)

    until(lambda: "superseded" in zombie.output, what=lambda: zombie.output)
    ground.judge(pipeline)
    ground.servers.metadata.proxy.clear()
    ground.settle(pipeline)


@pytest.mark.parametrize(
    ("mode", "lock"),
    [("swap", "ACCESS SHARE"), pytest.param("merge", "ROW EXCLUSIVE", marks=pytest.mark.soak)],
)
def test_a_zombie_in_its_publish_is_stopped_by_the_fence(
    ground: Ground, mode: str, lock: str
) -> None:
    """Its last batch was committed in time; then it waits for the table, and all is paused."""
    ground.fill()
    points.at_checkpoint(ground.target, "new.phase = 'loading' AND new.seq = 1")
    gate = ground.gate("target")
    pipeline = ground.pipeline(mode, batch_size=ROWS)
    zombie = ground.start(RUNNER_LEASE_SECONDS=60)
    ground.ask(pipeline)
    gate.until_waited_at()
    holder = ground.servers.target.admin()
    holder.execute(f"BEGIN; LOCK TABLE {TABLE} IN {lock} MODE")
    gate.open()
    ground.until_target_waits()

    ground.servers.metadata.proxy.stalled.set()
    lifecycle.request_pause(pipeline.pk, by=None)
    Pipeline.objects.filter(pk=pipeline.pk).update(lease_until="2020-01-01 00:00Z")
    ground.target.execute("UPDATE etl.checkpoint SET backend_pid = NULL")
    ground.start(direct=True)
    ground.until(pipeline, "PAUSED")
    holder.close()

    until(lambda: "superseded" in zombie.output, what=lambda: zombie.output)
    assert ground.target.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (0,)
    ground.servers.metadata.proxy.clear()
    ground.settle(pipeline)


def test_a_zombie_whose_load_is_done_does_not_settle_another_workers_run(ground: Ground) -> None:
    """It has published, and wakes while the one that took over is in the middle."""
    ground.fill()
    points.at_checkpoint(ground.target, "new.phase = 'done' AND new.generation = 1", deferred=True)
    publishing = ground.gate("target")
    pipeline = ground.pipeline("merge", hold_at=18)
    zombie = ground.start()
    ground.ask(pipeline)
    publishing.until_waited_at()
    reading = ground.gate("source")
    zombie.signal(signal.SIGSTOP)
    publishing.open()
    ground.start()
    reading.until_waited_at()

    zombie.signal(signal.SIGCONT)
    until(lambda: "superseded" in zombie.output, what=lambda: zombie.output)

    assert status(pipeline) == "RUNNING"
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.RUNNING]
    reading.open()
    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    ground.settle(pipeline)


def test_a_checkpoint_that_moved_under_a_run_stops_it(ground: Ground) -> None:
    """As after a target's failover that lost the last batch: going on would leave a hole."""
    ground.fill()
    points.at_insert(ground.target, TABLE, "new.id = 13")
    gate = ground.gate("target")
    pipeline = ground.pipeline("incremental")
    worker = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()

    ground.target.execute(
        "UPDATE etl.checkpoint SET seq = 1, rows = 5, key_text = '{5}',"
        " cursor_text = (SELECT modified::text FROM analytics.things WHERE id = 5)"
    )
    gate.open()

    until(lambda: "superseded" in worker.output, what=lambda: worker.output)
    ground.until(pipeline, "IDLE", "FAILED")
    taken = pipeline.runs.order_by("generation").last()
    assert (taken.status, taken.rows_read) == (RunStatus.SUCCESS, 35), ground.story(pipeline)
    ground.settle(pipeline, moved_by_hand=True)
