"""The target is lost at COMMIT, so that nobody knows whether it happened (F8)."""

import pytest
from psycopg import errors

from pipelines.states import RunStatus
from tests.waiting import until
from tests.whole.faults import points
from tests.whole.faults.ground import Ground
from tests.whole.faults.proxy import AtCommit
from tests.whole.gates import Gate


def third_batch(ground: Ground) -> Gate:
    """The third batch is written and about to be committed."""
    points.at_checkpoint(ground.target, "new.seq = 3")
    return ground.gate("target")


def publish(ground: Ground) -> Gate:
    """So is the publish."""
    points.at_checkpoint(ground.target, "new.phase = 'done'")
    return ground.gate("target")


@pytest.mark.parametrize(
    ("what", "read_again"), [(AtCommit.BEFORE, 30), (AtCommit.AFTER, 25), (AtCommit.HOLD, 25)]
)
def test_a_batch_whose_commit_got_no_answer_is_neither_lost_nor_doubled(
    ground: Ground, what: AtCommit, read_again: int
) -> None:
    ground.fill()
    gate = third_batch(ground)
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    proxy = ground.servers.target.proxy

    proxy.arm(what)
    gate.open()
    assert proxy.met.wait(20)
    if what is AtCommit.HOLD:
        # The answer is looked for while the COMMIT is still on its way.
        until(lambda: len(ground.runs(pipeline)) == 1, what=lambda: ground.story(pipeline))
        ground.hurry(pipeline)
        ground.until_target_waits()
        assert ground.committed(pipeline) == 2
        proxy.let_through()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    assert ground.errors(pipeline) == ["UnknownOutcome"]
    last = pipeline.runs.order_by("generation").last()
    assert (last.resumed, last.rows_read) == (True, read_again)
    ground.settle(pipeline)


def test_a_commit_that_arrives_after_the_next_fence_is_refused(ground: Ground) -> None:
    """The session that may still commit is ended by the fence, which then reads the truth."""
    ground.fill()
    gate = third_batch(ground)
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    proxy = ground.servers.target.proxy

    proxy.arm(AtCommit.HOLD)
    gate.open()
    assert proxy.met.wait(20)
    ground.until(pipeline, "IDLE", "FAILED")
    proxy.let_through()

    last = pipeline.runs.order_by("generation").last()
    assert (last.resumed, last.rows_read) == (True, 30), ground.story(pipeline)
    ground.settle(pipeline)


@pytest.mark.parametrize("what", [AtCommit.BEFORE, AtCommit.AFTER, AtCommit.HOLD])
@pytest.mark.parametrize("mode", ["swap", pytest.param("merge", marks=pytest.mark.soak)])
def test_a_publish_whose_commit_got_no_answer_leaves_a_whole_table(
    ground: Ground, what: AtCommit, mode: str
) -> None:
    ground.fill()
    gate = publish(ground)
    pipeline = ground.pipeline(mode)
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    proxy = ground.servers.target.proxy

    proxy.arm(what)
    gate.open()
    assert proxy.met.wait(20)
    if what is AtCommit.HOLD:
        until(lambda: len(ground.runs(pipeline)) == 1, what=lambda: ground.story(pipeline))
        proxy.let_through()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    assert ground.errors(pipeline) == ["UnknownOutcome"]
    ground.settle(pipeline)


def test_a_session_ended_inside_its_commit_is_an_unknown_outcome(ground: Ground) -> None:
    ground.fill()
    points.at_checkpoint(ground.target, "new.seq = 3", deferred=True)
    gate = ground.gate("target")
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()

    ground.servers.target.end_sessions("application_name = 'etl_admin:write'")
    gate.open()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.errors(pipeline) == ["UnknownOutcome"]
    last = pipeline.runs.order_by("generation").last()
    assert (last.resumed, last.rows_read) == (True, 30)
    ground.settle(pipeline)


@pytest.mark.parametrize("error", [errors.CheckViolation, errors.SerializationFailure])
def test_a_commit_that_fails_with_an_sqlstate_is_a_known_rollback(
    ground: Ground, error: type[Exception]
) -> None:
    ground.fill()
    # psycopg sets it on each class of its errors when it is imported.
    sqlstate = error.sqlstate  # type: ignore[attr-defined]
    points.at_checkpoint(ground.target, "new.seq = 3", does=sqlstate, deferred=True)
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)

    until(lambda: ground.errors(pipeline), what=lambda: ground.story(pipeline))

    assert set(ground.errors(pipeline)) == {f"{error.__name__} {sqlstate}"}
    assert ground.committed(pipeline) == 2
    assert "secret-4711" not in pipeline.runs.first().error_message
    points.remove(ground.target, "etl.checkpoint")
    ground.until(pipeline, "IDLE", "FAILED")
    ground.settle(pipeline)
