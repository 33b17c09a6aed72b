"""Tens of thousands of rows with one value of the incremental key, and workers that die (F23)."""

from pipelines.states import RunStatus
from tests.whole.faults import points
from tests.whole.faults.ground import Ground

ROWS, BATCH = 30_000, 1000
_TIES = f"""
INSERT INTO public.things
SELECT g, '2020-01-01 00:00:00.123456Z', g, NULL, NULL FROM generate_series(1, {ROWS}) AS g
"""


def test_ties_over_many_batches_and_dead_workers_arrive_once(ground: Ground) -> None:
    ground.source.execute(_TIES)
    pipeline = ground.ask(ground.pipeline("incremental", batch_size=BATCH))
    for seq in (4, 11, 23):
        points.at_checkpoint(ground.target, f"new.seq = {seq}")
        gate = ground.gate("target")
        worker = ground.start()
        gate.until_waited_at()
        ground.kill(worker)
        gate.open()
        points.remove(ground.target, "etl.checkpoint")  # waits until the dead one's session ends
        assert ground.committed(pipeline) in (seq - 1, seq)

    ground.start()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [*[RunStatus.FAILED] * 3, RunStatus.SUCCESS]
    assert ground.committed(pipeline) == ROWS // BATCH
    # A second run goes on inside the ties: what is later by its key alone.
    ground.source.execute(_TIES.replace("(1, ", f"({ROWS + 1}, {ROWS} + "))
    ground.settle(pipeline)
    assert ground.committed(pipeline) == 2 * ROWS // BATCH
