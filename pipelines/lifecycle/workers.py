"""How a worker ends its claim.

Each verb guards by id, generation and status; a lost guard is Superseded.
"""

from dataclasses import replace
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Now

from pipelines.choices import Trigger
from pipelines.lifecycle.guard import (
    CANCELLED,
    ENABLED,
    NOT_CANCELLED,
    Way,
    record,
    settle,
    wake,
)
from pipelines.lifecycle.values import Claim, Failure, Result
from pipelines.models import Pipeline, PipelineRun, PipelineState
from pipelines.states import Move, RunStatus


def started(held: Claim, result: Result, *, cleared: bool) -> None:
    """What preflight decided, for people who watch the run; no transition.

    `cleared` when the target's checkpoint was: what is shown of the old one goes too.
    """
    if held.run is None:
        return
    with transaction.atomic():
        ours = PipelineRun.objects.filter(pk=held.run.pk, status=RunStatus.RUNNING)
        is_ours = ours.update(
            publish=result.publish, promise=result.promise, resumed=result.resumed
        )
        if is_ours and cleared:
            PipelineState.objects.filter(pipeline=held.pipeline.pk).delete()


def finish(held: Claim, result: Result) -> None:
    """The last row is committed or published: finishing wins over pausing and cancelling."""
    _end(held, result, None, Way("finish"))


def paused(held: Claim, result: Result) -> None:
    """The batch is committed (or no row had come yet) and nothing of ours can write any more.

    Cancelled when that was asked for meanwhile.
    """
    _end(held, result, None, Way("paused", NOT_CANCELLED), Way("cancelled", CANCELLED))


def cancelled(held: Claim, result: Result) -> None:
    """The query is cancelled and the open batch rolled back; committed batches stay."""
    _end(held, result, None, Way("cancelled"))


def fail(held: Claim, result: Result, failure: Failure) -> None:
    """A permanent error, or no retry left."""
    _end(held, result, failure, Way("fail"))


def retry_or_pause(held: Claim, result: Result, failure: Failure, *, seconds: float) -> None:
    """A transient error: due again after `seconds`, or PAUSED when a pause was asked for.

    Cancelled when that was asked for meanwhile; disabled meanwhile: FAILED, since no worker would
    claim it again.
    """
    later = {
        "next_attempt_at": Now() + timedelta(seconds=seconds),
        "trigger": Trigger.RETRY,
        "requested_at": Now(),
    }
    _end(
        held,
        result,
        failure,
        Way("retry", ENABLED | NOT_CANCELLED, later),
        Way("fail paused", NOT_CANCELLED),
        Way("cancelled", CANCELLED),
        Way("fail"),
    )


def hand_back(held: Claim, result: Result) -> None:
    """This worker stops: the pipeline waits for another at once, and no attempt is counted.

    PAUSED when a pause was asked for; IDLE, cancelled, when it was cancelled or disabled meanwhile.
    """
    again = {
        "attempt": Greatest(F("attempt") - 1, Value(0)),
        "next_attempt_at": Now(),
        "trigger": Trigger.HANDOVER,
        "requested_at": Now(),
    }
    with transaction.atomic():
        _end(
            held,
            result,
            None,
            Way("hand back", ENABLED | NOT_CANCELLED, again),
            Way("paused", NOT_CANCELLED),
            Way("cancelled"),
        )
        wake()


def _end(held: Claim, result: Result, failure: Failure | None, *ways: Way) -> None:
    with transaction.atomic():
        move = settle(held, *ways)
        if failure is not None and move.event == "retry":
            failure = _with_next_try(held, failure)
        _close(held, move, result, failure if move.run == RunStatus.FAILED else None)


def _with_next_try(held: Claim, failure: Failure) -> Failure:
    """When, by the clock that decides it; only a pipeline that really waits for it says so."""
    due = Pipeline.objects.values_list("next_attempt_at", flat=True).get(pk=held.pipeline.pk)
    sentence = f"{failure.sentence} Next try at {due:%Y-%m-%d %H:%M:%S} UTC."
    return replace(failure, sentence=sentence)


def _close(held: Claim, move: Move, result: Result, failure: Failure | None) -> None:
    """Settle our run and the checkpoint's copy beside the pipeline."""
    if held.run is None or move.run is None:
        raise ValueError(f"“{move.event}” ends a run, and none was started under this claim.")
    PipelineRun.objects.filter(pk=held.run.pk, status=RunStatus.RUNNING).update(
        status=move.run,
        finished_at=Now(),
        rows_read=result.rows_read,
        rows_written=result.rows_written,
        batches=result.batches,
        phase=result.phase,
        publish=result.publish,
        promise=result.promise,
        resumed=result.resumed,
        error_message=failure.sentence if failure else None,
        error_class=failure.error_class if failure else "",
        sqlstate=failure.sqlstate if failure else "",
    )
    if result.value is not None:
        PipelineState.objects.update_or_create(
            pipeline_id=held.pipeline.pk,
            defaults={
                "last_processed_value": result.value,
                "last_processed_id": result.key,
                "epoch": held.pipeline.checkpoint_epoch,
                "seq": result.seq,
                "rows": result.checkpoint_rows,
                "promise": result.promise,
                "updated_at": Now(),
            },
        )
    message = failure.sentence if failure else " ".join(result.notes)
    record(held.pipeline.pk, move, run=held.run, worker=held.pipeline.worker_id, message=message)
