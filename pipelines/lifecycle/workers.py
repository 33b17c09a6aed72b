"""Verbs of workers: each guards by id, generation and status; a lost guard is Superseded."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Now

from pipelines.choices import Trigger
from pipelines.definition import freeze
from pipelines.lifecycle.guard import change, record, wake
from pipelines.lifecycle.values import LOST, Claim, Failure, Result, Superseded
from pipelines.models import Pipeline, PipelineRun, PipelineState
from pipelines.states import (
    ACTIVE,
    PAUSE_REQUESTED,
    RUN_REQUESTED,
    RUNNING,
    Move,
    PipelineStatus,
    RunStatus,
    moves,
)


def claim(*, worker: UUID, lease: float) -> Claim | None:
    """Take one pipeline for `lease` seconds, or None when nothing waits."""
    with transaction.atomic():
        taken = Pipeline.objects.claim(worker=worker, lease=lease)
        if taken is None:
            return None
        was = PipelineStatus(taken.was)
        frozen = freeze(taken)
        held = Claim(
            pipeline=taken,
            was=was,
            generation=taken.generation,
            run=None,
            frozen=frozen,
            is_rescue=_was_lost(taken, was),
        )
        if was == RUN_REQUESTED:
            held = replace(held, run=_start_run(held, Trigger(taken.trigger or Trigger.COMMAND)))
            record(taken.pk, moves("claim"), run=held.run, worker=worker)
    return held


def pause_unclaimed(held: Claim) -> None:
    """A pause that no worker had claimed: PAUSED, and no run was started.

    IDLE when a cancel came meanwhile.
    """
    with transaction.atomic():
        move = _settle(held, _Way("pause unclaimed", _NOT_CANCELLED), _Way("cancelled"))
        record(held.pipeline.pk, move, worker=held.pipeline.worker_id)


def replace_lost_run(held: Claim) -> PipelineRun:
    """After the fence: close the lost worker's run and open ours."""
    with transaction.atomic():
        _hold(held)
        _close_lost(held, moves("rescue"))
        run = _start_run(held, Trigger.RESCUE)
        record(held.pipeline.pk, moves("rescue"), run=run, worker=run.worker_id, message=LOST)
    return run


def rescue_paused(held: Claim) -> None:
    """After the fence: the lost worker had been asked to pause, and now nobody can write.

    IDLE when a cancel was asked for too.
    """
    _end_lost(held, _Way("rescue paused", _NOT_CANCELLED), _Way("cancelled"))


def rescue_cancelled(held: Claim) -> None:
    """After the fence: the lost worker had been asked to cancel."""
    _end_lost(held, _Way("cancelled"))


def postpone_rescue(held: Claim, *, seconds: float) -> None:
    """The fence could not be taken: keep the lease so that nobody tries again before then."""
    _ours(held).update(lease_until=Now() + timedelta(seconds=seconds))


def finish(held: Claim, result: Result) -> None:
    """The last row is committed or published: finishing wins over pausing and cancelling."""
    _end(held, result, None, _Way("finish"))


def paused(held: Claim, result: Result) -> None:
    """The batch is committed (or no row had come yet) and nothing of ours can write any more.

    Cancelled when that was asked for meanwhile.
    """
    _end(held, result, None, _Way("paused", _NOT_CANCELLED), _Way("cancelled", _CANCELLED))


def cancelled(held: Claim, result: Result) -> None:
    """The query is cancelled and the open batch rolled back; committed batches stay."""
    _end(held, result, None, _Way("cancelled"))


def fail(held: Claim, result: Result, failure: Failure) -> None:
    """A permanent error, or no retry left."""
    _end(held, result, failure, _Way("fail"))


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
        _Way("retry", _ENABLED | _NOT_CANCELLED, later),
        _Way("fail paused", _NOT_CANCELLED),
        _Way("cancelled", _CANCELLED),
        _Way("fail"),
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
            _Way("hand back", _ENABLED | _NOT_CANCELLED, again),
            _Way("paused", _NOT_CANCELLED),
            _Way("cancelled"),
        )
        wake()


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


class _Way(NamedTuple):
    """An event that may end a claim, where `guard` holds too, and the columns it writes."""

    event: str
    guard: Mapping[str, Any] = MappingProxyType({})
    columns: Mapping[str, Any] = MappingProxyType({})


# What people wished for between our last look and the settle decides inside its UPDATE: a cancel
# that was answered with "asked" must not be forgotten by a pause, a retry or a handover.
_ENABLED = {"enabled": True}
_CANCELLED = {"cancel_requested_at__isnull": False}
_NOT_CANCELLED = {"cancel_requested_at__isnull": True}


def _was_lost(pipeline: Pipeline, was: PipelineStatus) -> bool:
    """A pause of a claimed pipeline has a run that nobody settled; one of a queued has none."""
    if was == PAUSE_REQUESTED:
        return PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.RUNNING).exists()
    return was == RUNNING


def _ours(held: Claim) -> Any:
    return Pipeline.objects.filter(
        pk=held.pipeline.pk, generation=held.generation, status__in=ACTIVE
    )


def _hold(held: Claim) -> None:
    """Lock our row for this transaction. Raises Superseded."""
    if not _ours(held).filter(lease_until__isnull=False).update(generation=held.generation):
        raise Superseded


def _settle(held: Claim, *ways: _Way) -> Move:
    """Leave the pipeline, held by nobody, by the first way that is open. Raises Superseded."""
    released = {"worker": None, "lease_until": None, "cancel_requested_at": None}
    for way in ways:
        rows = Pipeline.objects.filter(pk=held.pipeline.pk, generation=held.generation, **way.guard)
        if change(rows, moves(way.event), **released, **way.columns):
            return moves(way.event)
    raise Superseded


def _end(held: Claim, result: Result, failure: Failure | None, *ways: _Way) -> None:
    with transaction.atomic():
        move = _settle(held, *ways)
        _close(held, move, result, failure if move.run == RunStatus.FAILED else None)


def _end_lost(held: Claim, *ways: _Way) -> None:
    with transaction.atomic():
        move = _settle(held, *ways)
        lost = _close_lost(held, move)
        record(held.pipeline.pk, move, run=lost, worker=held.pipeline.worker_id, message=LOST)


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


def _close_lost(held: Claim, move: Move) -> PipelineRun | None:
    """End the lost worker's run, which is given back, as `move` says."""
    is_failed = move.run == RunStatus.FAILED
    lost = PipelineRun.objects.filter(pipeline=held.pipeline, status=RunStatus.RUNNING).first()
    if lost is not None:
        PipelineRun.objects.filter(pk=lost.pk).update(
            status=move.run,
            finished_at=Now(),
            error_message=LOST if is_failed else None,
            error_class="WorkerLost" if is_failed else "",
        )
    return lost


def _start_run(held: Claim, trigger: Trigger) -> PipelineRun:
    return PipelineRun.objects.create(
        pipeline=held.pipeline,
        generation=held.generation,
        trigger=trigger,
        requested_at=held.pipeline.requested_at,
        requested_by_id=held.pipeline.requested_by_id,
        worker_id=held.pipeline.worker_id,
        attempt=held.pipeline.attempt,
        definition=held.frozen,
    )
