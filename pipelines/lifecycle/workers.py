"""Verbs of workers: each guards by id, generation and status; a lost guard is Superseded."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Now

from pipelines.choices import Trigger
from pipelines.definition import freeze
from pipelines.lifecycle.guard import change, record, wake
from pipelines.lifecycle.values import LOST, Claim, Failure, Result, Superseded
from pipelines.models import Pipeline, PipelineRun, PipelineState
from pipelines.states import ACTIVE, RUN_REQUESTED, Move, PipelineStatus, RunStatus, moves


def claim(*, worker: UUID, lease: float) -> Claim | None:
    """Take one pipeline for `lease` seconds, or None when nothing waits."""
    with transaction.atomic():
        taken = Pipeline.objects.claim(worker=worker, lease=lease)
        if taken is None:
            return None
        was = PipelineStatus(taken.was)
        frozen = freeze(taken)
        run = None
        if was == RUN_REQUESTED:
            run = _start_run(taken, frozen, trigger=Trigger(taken.trigger or Trigger.COMMAND))
            record(taken.pk, moves("claim"), run=run, worker=worker)
        # A pause of a claimed pipeline has a run that nobody settled; one of a queued has none.
        lost = (
            run is None
            and PipelineRun.objects.filter(pipeline=taken, status=RunStatus.RUNNING).exists()
        )
    return Claim(
        pipeline=taken,
        was=was,
        generation=taken.generation,
        run=run,
        frozen=frozen,
        is_rescue=lost,
    )


def pause_unclaimed(held: Claim) -> None:
    """A pause that no worker had claimed: PAUSED, and no run was started."""
    with transaction.atomic():
        _settle(held, moves("pause unclaimed"))


def replace_lost_run(held: Claim) -> PipelineRun:
    """After the fence: close the lost worker's run and open ours."""
    with transaction.atomic():
        _hold(held)
        _close_lost(held)
        run = _start_run(held.pipeline, held.frozen, trigger=Trigger.RESCUE)
        record(held.pipeline.pk, moves("rescue"), run=run, worker=held.pipeline.worker_id)
    return run


def rescue_paused(held: Claim) -> None:
    """After the fence: the lost worker had been asked to pause, and now nobody can write."""
    with transaction.atomic():
        _settle(held, moves("rescue paused"))
        _close_lost(held)


def rescue_cancelled(held: Claim) -> None:
    """After the fence: the lost worker had been asked to cancel."""
    with transaction.atomic():
        _settle(held, moves("cancelled"))
        _close_lost(held, status=RunStatus.CANCELLED)


def postpone_rescue(held: Claim, *, seconds: float) -> None:
    """The fence could not be taken: keep the lease so that nobody tries again before then."""
    _ours(held).update(lease_until=Now() + timedelta(seconds=seconds))


def finish(held: Claim, result: Result) -> None:
    """The last row is committed or published: finishing wins over pausing and cancelling."""
    _end(held, moves("finish"), result)


def paused(held: Claim, result: Result) -> None:
    """The batch is committed (or no row had come yet) and nothing of ours can write any more."""
    _end(held, moves("paused"), result)


def cancelled(held: Claim, result: Result) -> None:
    """The query is cancelled and the open batch rolled back; committed batches stay."""
    _end(held, moves("cancelled"), result)


def fail(held: Claim, result: Result, failure: Failure) -> None:
    """A permanent error, or no retry left."""
    _end(held, moves("fail"), result, failure)


def retry_or_pause(held: Claim, result: Result, failure: Failure, *, seconds: float) -> None:
    """A transient error: due again after `seconds`, or PAUSED when a pause was asked for.

    Disabled meanwhile: FAILED, since no worker would claim it again.
    """
    later = {
        "next_attempt_at": Now() + timedelta(seconds=seconds),
        "trigger": Trigger.RETRY,
        "requested_at": Now(),
    }
    with transaction.atomic():
        if _settle(held, moves("retry"), required={"enabled": True}, **later):
            return _close(held, moves("retry"), result, failure)
        if _settle(held, moves("fail paused")):
            return _close(held, moves("fail paused"), result, failure)
        _settle_or_leave(held, moves("fail"))
        return _close(held, moves("fail"), result, failure)


def hand_back(held: Claim, result: Result) -> None:
    """This worker stops: the pipeline waits for another at once, and no attempt is counted.

    PAUSED when a pause was asked for; IDLE, cancelled, when it was disabled meanwhile.
    """
    fewer = {"attempt": Greatest(F("attempt") - 1, Value(0))}
    again = {"next_attempt_at": Now(), "trigger": Trigger.HANDOVER, "requested_at": Now()}
    with transaction.atomic():
        if _settle(held, moves("hand back"), required={"enabled": True}, **fewer, **again):
            _close(held, moves("hand back"), result)
            return wake()
        if _settle(held, moves("paused")):
            return _close(held, moves("paused"), result)
        _settle_or_leave(held, moves("cancelled"))
        return _close(held, moves("cancelled"), result)


def adopt_generation(held: Claim, generation: int) -> Claim:
    """The target knows a higher generation (metadata restored from a backup): take `generation`.

    A compare-and-set: raises Superseded unless we still hold what we claimed.
    """
    with transaction.atomic():
        if not _ours(held).update(generation=generation):
            raise Superseded
        if held.run is not None:
            PipelineRun.objects.filter(pk=held.run.pk).update(generation=generation)
    return replace(held, generation=generation)


def _ours(held: Claim) -> Any:
    return Pipeline.objects.filter(
        pk=held.pipeline.pk, generation=held.generation, status__in=ACTIVE
    )


def _hold(held: Claim) -> None:
    """Lock our row for this transaction. Raises Superseded."""
    if not _ours(held).filter(lease_until__isnull=False).update(generation=held.generation):
        raise Superseded


def _settle(
    held: Claim, move: Move, *, required: dict[str, Any] | None = None, **columns: Any
) -> bool:
    """Leave the pipeline at the move's target, held by nobody."""
    rows = Pipeline.objects.filter(
        pk=held.pipeline.pk, generation=held.generation, **(required or {})
    )
    released = {"worker": None, "lease_until": None, "cancel_requested_at": None}
    return change(rows, move, **(released | columns))


def _settle_or_leave(held: Claim, move: Move) -> None:
    if not _settle(held, move):
        raise Superseded


def _end(held: Claim, move: Move, result: Result, failure: Failure | None = None) -> None:
    with transaction.atomic():
        _settle_or_leave(held, move)
        _close(held, move, result, failure)


def _close(held: Claim, move: Move, result: Result, failure: Failure | None = None) -> None:
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


def _close_lost(held: Claim, status: RunStatus = RunStatus.FAILED) -> None:
    lost = PipelineRun.objects.filter(
        pipeline=held.pipeline, status=RunStatus.RUNNING, generation__lt=held.generation
    )
    lost.update(
        status=status,
        finished_at=Now(),
        error_message=LOST if status == RunStatus.FAILED else None,
        error_class="WorkerLost",
    )


def _start_run(pipeline: Pipeline, frozen: dict[str, Any], *, trigger: Trigger) -> PipelineRun:
    return PipelineRun.objects.create(
        pipeline=pipeline,
        generation=pipeline.generation,
        trigger=trigger,
        requested_at=pipeline.requested_at,
        requested_by_id=pipeline.requested_by_id,
        worker_id=pipeline.worker_id,
        attempt=pipeline.attempt,
        definition=frozen,
    )
