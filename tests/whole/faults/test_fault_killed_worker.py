"""A worker that is killed at every point of a run (F1), or by every try of a pipeline (F30).

SIGKILL alone is no rollback: a server may finish what a dead client sent, so one of the points is
a COMMIT whose client dies while its session lives on.
"""

import signal
from collections.abc import Callable

import pytest

from pipelines.models import Pipeline
from pipelines.states import RunStatus
from tests.control.standing import status
from tests.waiting import until
from tests.whole.faults import points
from tests.whole.faults.ground import TABLE, Ground
from tests.whole.gates import Gate

Point = Callable[[Ground], Gate]
MODES = ("swap", "merge", "replace", "incremental")


def claiming(ground: Ground) -> Gate:
    """The claim is made and not committed."""
    points.at_insert(ground.metadata, "pipelines_pipelinerun", "true")
    return ground.gate("metadata")


def fencing(ground: Ground) -> Gate:
    """Claimed; the generation is raised in the target and not committed."""
    points.at_checkpoint(ground.target, "new.generation > old.generation")
    return ground.gate("target")


def reading(ground: Ground) -> Gate:
    """Batches are committed, and the next one is open: rows of it are on their way."""
    return ground.gate("source")


def before_commit(ground: Ground) -> Gate:
    """The third batch is written, its checkpoint too."""
    points.at_checkpoint(ground.target, "new.seq = 3")
    return ground.gate("target")


def in_commit(ground: Ground) -> Gate:
    """The third batch has sent its COMMIT, which its server is about to obey."""
    points.at_checkpoint(ground.target, "new.seq = 3", deferred=True)
    return ground.gate("target")


def publishing(ground: Ground) -> Gate:
    """The last transaction of the load holds every lock it needs."""
    points.at_checkpoint(ground.target, "new.phase = 'done'")
    return ground.gate("target")


def settling(ground: Ground) -> Gate:
    """All is in the target, and the metadata does not know it."""
    points.at_update(ground.metadata, "pipelines_pipeline", "new.status = 'IDLE'")
    return ground.gate("metadata")


def upserting(ground: Ground) -> Gate:
    """Half of the second batch is in the table."""
    points.at_insert(ground.target, TABLE, "new.id = 8")
    return ground.gate("target")


EVERYWHERE = (claiming, fencing, before_commit, in_commit, publishing, settling)
CASES = [
    *((point, mode) for mode in MODES for point in EVERYWHERE),
    *((reading, mode) for mode in ("swap", "merge", "replace")),
    (upserting, "incremental"),
]
# In every change: each point once, and each way to publish where it is most in danger.
QUICK = {
    (claiming, "incremental"),
    (fencing, "incremental"),
    (reading, "swap"),
    (upserting, "incremental"),
    (before_commit, "incremental"),
    (in_commit, "incremental"),
    (in_commit, "swap"),
    (publishing, "swap"),
    (publishing, "merge"),
    (settling, "incremental"),
}


def case(point: Point, mode: str) -> object:
    """Quick ones with every change, the others in the soak."""
    marks = () if (point, mode) in QUICK else (pytest.mark.soak,)
    return pytest.param(point, mode, id=f"{point.__name__}-{mode}", marks=marks)


@pytest.mark.parametrize(("point", "mode"), [case(*pair) for pair in CASES])
def test_a_killed_workers_load_is_finished_by_another(
    ground: Ground, point: Point, mode: str
) -> None:
    ground.fill()
    gate = point(ground)
    pipeline = ground.pipeline(mode, hold_at=18 if point is reading else 0)
    victim = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    ground.start()

    ground.kill(victim)
    gate.open()

    ground.until(pipeline, "IDLE", "FAILED")
    lost = [] if point is claiming else [RunStatus.FAILED]
    assert ground.runs(pipeline) == [*lost, RunStatus.SUCCESS], ground.story(pipeline)
    if lost:
        assert ground.errors(pipeline) == ["WorkerLost"]
    ground.judge(pipeline)
    ground.settle(pipeline)


def test_a_batch_that_commits_after_its_workers_death_is_counted_once(ground: Ground) -> None:
    """The machine died without a word: its session lives on, inside COMMIT."""
    ground.fill()
    gate = in_commit(ground)
    ground.servers.target.proxy.outliving.set()
    pipeline = ground.pipeline("incremental")
    victim = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    ground.start()

    ground.kill(victim)
    ground.until_target_waits()  # the next one's fence: a plain look would say that it is at 2
    assert ground.committed(pipeline) == 2
    gate.open()

    ground.until(pipeline, "IDLE", "FAILED")
    ground.judge(pipeline)
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    taken = pipeline.runs.order_by("generation").last()
    assert (taken.resumed, taken.rows_read) == (True, 25)
    ground.servers.target.proxy.outliving.clear()
    ground.settle(pipeline)


def test_a_batch_that_was_committed_without_the_metadata_knowing_is_not_read_again(
    ground: Ground,
) -> None:
    ground.fill()
    gate = in_commit(ground)
    pipeline = ground.pipeline("incremental")
    victim = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    ground.start()

    victim.signal(signal.SIGSTOP)
    gate.open()
    until(lambda: ground.committed(pipeline) == 3, what=lambda: ground.story(pipeline))
    ground.kill(victim)

    ground.until(pipeline, "IDLE", "FAILED")
    taken = pipeline.runs.order_by("generation").last()
    assert (taken.resumed, taken.rows_read) == (True, 25), ground.story(pipeline)
    ground.settle(pipeline)


def others(ground: Ground) -> Pipeline:
    """A pipeline beside the poisonous one, into a table of its own."""
    return ground.pipeline("merge", target_table="analytics.beside")


def test_a_pipeline_that_kills_each_worker_fails_and_the_others_go_on(ground: Ground) -> None:
    ground.fill()
    gate = ground.gate("source")
    poison = ground.pipeline("merge", hold_at=1)
    healthy = others(ground)
    ground.ask(poison)
    worker = ground.start()

    for _ in range(6):
        until(
            lambda: gate.is_waited_at() or status(poison) == "FAILED",
            what=lambda: ground.story(poison),
        )
        if status(poison) == "FAILED":
            break
        following = ground.start()
        ground.kill(worker)
        until(lambda: not gate.is_waited_at(), what="the dead worker's query still runs")
        worker = following

    ground.until(poison, "FAILED")
    assert ground.errors(poison) == ["WorkerLost"] * 6
    last = poison.runs.order_by("generation").last()
    assert "5 workers in a row were lost" in last.error_message
    assert ground.runs(poison) == [RunStatus.FAILED] * 6
    ground.ask(healthy)
    ground.until(healthy, "IDLE", "FAILED")
    assert ground.runs(healthy) == [RunStatus.SUCCESS]
    gate.open()
    ground.settle(poison, healthy)
