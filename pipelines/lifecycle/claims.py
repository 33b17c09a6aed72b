"""How a worker takes a claim, and what it does with what a lost worker left.

Each verb guards by id, generation and status; a lost guard is Superseded.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from pipelines.choices import RunKind, Trigger
from pipelines.definition import freeze
from pipelines.lifecycle.guard import CANCELLED, NOT_CANCELLED, Way, record, settle
from pipelines.lifecycle.values import LOST, Claim, Superseded
from pipelines.models import Pipeline, PipelineRun
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

_PUT_BEHIND_SECONDS = 60.0


def claim(*, worker: UUID, lease: float) -> Claim | None:
    """Take one pipeline for `lease` seconds, or None when nothing waits.

    A pipeline whose claim fails is put behind the others before the error goes on, so that it
    cannot starve them.
    """
    taken: Pipeline | None = None
    try:
        with transaction.atomic():
            taken = Pipeline.objects.claim(worker=worker, lease=lease)
            return _begin(taken, worker) if taken is not None else None
    except Exception:
        if taken is not None:
            later = Now() + timedelta(seconds=_PUT_BEHIND_SECONDS)
            Pipeline.objects.filter(pk=taken.pk, generation=taken.generation - 1).update(
                next_attempt_at=later
            )
        raise


def pause_unclaimed(held: Claim) -> None:
    """A pause that no worker had claimed: PAUSED, and no run was started.

    IDLE when a cancel came meanwhile.
    """
    with transaction.atomic():
        move = settle(held, Way("pause unclaimed", NOT_CANCELLED), Way("cancelled", CANCELLED))
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
    _end_lost(held, Way("rescue paused", NOT_CANCELLED), Way("cancelled", CANCELLED))


def rescue_cancelled(held: Claim) -> None:
    """After the fence: the lost worker had been asked to cancel."""
    _end_lost(held, Way("cancelled"))


def postpone_rescue(held: Claim, *, seconds: float) -> None:
    """The fence could not be taken: keep the lease so that nobody tries again before then."""
    _ours(held).update(lease_until=Now() + timedelta(seconds=seconds))


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


def ended(loads: list[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Of these claims (pipeline, generation), the ones that are settled or whose pipeline is gone.

    A later claim that is not settled tells nothing of an earlier one, whose worker may be frozen.
    """
    if not loads:
        return []
    known = {
        pk: (generation, status)
        for pk, generation, status in Pipeline.objects.filter(
            pk__in=[pipeline for pipeline, _ in loads]
        ).values_list("pk", "generation", "status")
    }
    return [
        (pipeline, generation)
        for pipeline, generation in loads
        if pipeline not in known
        or (known[pipeline][0] == generation and known[pipeline][1] not in ACTIVE)
    ]


def _begin(taken: Any, worker: UUID) -> Claim:
    """What follows the claim in its transaction: the definition frozen, a run, an event."""
    was = PipelineStatus(taken.was)
    held = Claim(
        pipeline=taken,
        was=was,
        generation=taken.generation,
        run=None,
        frozen=freeze(taken),
        is_rescue=_was_lost(taken, was),
    )
    if was == RUN_REQUESTED:
        held = replace(held, run=_start_run(held, Trigger(taken.trigger or Trigger.COMMAND)))
        record(taken.pk, moves("claim"), run=held.run, worker=worker)
    return held


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


def _end_lost(held: Claim, *ways: Way) -> None:
    with transaction.atomic():
        move = settle(held, *ways)
        lost = _close_lost(held, move)
        record(held.pipeline.pk, move, run=lost, worker=held.pipeline.worker_id, message=LOST)


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
        kind=RunKind.LOAD if held.pipeline.repair_limit is None else RunKind.REPAIR,
        reconciliation_id=held.pipeline.repair_id,
        trigger=trigger,
        requested_at=held.pipeline.requested_at,
        requested_by_id=held.pipeline.requested_by_id,
        worker_id=held.pipeline.worker_id,
        attempt=held.pipeline.attempt,
        definition=held.frozen,
    )
