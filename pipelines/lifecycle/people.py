"""Verbs of people: each guards by id and status, and a refusal is TransitionRefused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from pipelines import audit, changes, definition
from pipelines.choices import AuditAction, Trigger
from pipelines.lifecycle.guard import change, event_of, record, refusal, status_of, wake
from pipelines.lifecycle.values import TransitionRefused
from pipelines.models import Pipeline, PipelineState
from pipelines.states import ACTIVE, BUSY, PAUSE_REQUESTED, RUN_REQUESTED, PipelineStatus, moves


def request_run(pipeline: UUID, *, by: Any, trigger: Trigger) -> PipelineStatus:
    """Ask for a run; asking again while one is requested makes it due now.

    Raises TransitionRefused while a run is active, and while the pipeline is disabled.
    """
    facts = {
        "requested_at": Now(),
        "requested_by": by,
        "trigger": trigger,
        "cancel_requested_at": None,
        "repair": None,
        "repair_limit": None,
    }
    with _asked(AuditAction.RUN, pipeline, by=by):
        rows = Pipeline.objects.filter(pk=pipeline, enabled=True)
        asked = change(rows, moves("run"), next_attempt_at=Now(), attempt=0, **facts)
        if not asked and not rows.filter(status=RUN_REQUESTED).update(next_attempt_at=Now()):
            raise refusal(pipeline, "run")
        record(pipeline, moves("run" if asked else "run again"), by=by)
        wake()
    return RUN_REQUESTED


def request_pause(pipeline: UUID, *, by: Any) -> PipelineStatus:
    """Ask for a pause; asking again changes nothing. Raises TransitionRefused."""
    with _asked(AuditAction.PAUSE, pipeline, by=by):
        rows = Pipeline.objects.filter(pk=pipeline)
        if change(rows, moves("pause")):
            record(pipeline, moves("pause"), by=by)
            wake()
            return PAUSE_REQUESTED
        status = status_of(pipeline)
        if status not in (PAUSE_REQUESTED, PipelineStatus.PAUSED):
            raise refusal(pipeline, "pause")
    return status


def request_cancel(pipeline: UUID, *, by: Any) -> PipelineStatus:
    """Stop what is asked or running; a worker ends a running one. Raises TransitionRefused."""
    with _asked(AuditAction.CANCEL, pipeline, by=by):
        rows = Pipeline.objects.filter(pk=pipeline)
        # A pause nobody claimed has no worker to see the request: it ends here.
        unclaimed = rows.filter(status=PAUSE_REQUESTED, lease_until__isnull=True)
        if change(rows, moves("cancel")) or unclaimed.update(
            status=moves("cancel").target, status_changed_at=Now()
        ):
            record(pipeline, moves("cancel"), by=by)
            return moves("cancel").target
        asked = rows.filter(status__in=ACTIVE, cancel_requested_at__isnull=True)
        if asked.update(cancel_requested_at=Now()):
            event_of(pipeline, event="cancel asked", by=by)
        status = status_of(pipeline)
        if status not in ACTIVE:
            raise refusal(pipeline, "cancel")
    return status


def withdraw_request(pipeline: UUID, *, by: Any) -> bool:
    """Take back a request that no worker has claimed, because the pipeline is disabled."""
    with transaction.atomic():
        rows = Pipeline.objects.filter(pk=pipeline, enabled=False)
        if withdrawn := change(rows, moves("disable")):
            record(pipeline, moves("disable"), by=by)
    return withdrawn


def reset_checkpoint(pipeline: UUID, *, by: Any) -> None:
    """Make the next run start from nothing; the target's own row is cleared at its fence.

    Raises TransitionRefused while a worker may be writing.
    """
    with _asked(AuditAction.RESET, pipeline, by=by):
        rows = Pipeline.objects.filter(pk=pipeline).exclude(status__in=ACTIVE)
        if not rows.update(checkpoint_epoch=F("checkpoint_epoch") + 1):
            raise refusal(pipeline, "reset")
        PipelineState.objects.filter(pipeline=pipeline).delete()
        event_of(pipeline, event="checkpoint reset", by=by)


def delete(pipeline: UUID, *, by: Any = None) -> None:
    """Delete the pipeline with its runs; the target table stays. Raises TransitionRefused."""
    with transaction.atomic():
        row = Pipeline.objects.select_for_update().filter(pk=pipeline).first()
        if row is not None and row.status in ACTIVE:
            raise refusal(pipeline, "delete")
        if row is not None:
            changes.delete(row, by=by)


def edit(pipeline: Pipeline, changed: set[str], *, by: Any, reason: str | None = None) -> None:
    """Store the definition fields named in `changed` as they are on `pipeline`.

    One guarded UPDATE that names no lifecycle column. Raises TransitionRefused when the data
    would change under a run that is requested or active. Disabling takes back a request that no
    worker has claimed. A definition that is another now is recorded, with a reason of `changes`.
    """
    values = {name: getattr(pipeline, name) for name in definition.FIELDS if name in changed}
    if not values:
        return
    rows = Pipeline.objects.filter(pk=pipeline.pk)
    if changed & set(definition.DATA_FIELDS):
        rows = rows.exclude(status__in=BUSY)
    with transaction.atomic():
        before = Pipeline.objects.select_for_update(no_key=True).filter(pk=pipeline.pk).first()
        old = audit.values_of(before) if before is not None else {}
        if not rows.update(**values, updated_at=Now()):
            raise refusal(pipeline.pk, "edit")
        if values.get("enabled") is False:
            withdraw_request(pipeline.pk, by=by)
        pipeline.refresh_from_db()
        changes.record(pipeline, by=by, old=old, reason=reason)


@contextmanager
def _asked(action: AuditAction, pipeline: UUID, *, by: Any) -> Iterator[None]:
    """The transaction of a verb, on a locked row; that it was asked is audited, refused or not."""
    name = ""
    try:
        with transaction.atomic():
            name = _lock(pipeline)
            yield
            audit.record(action, _thing(pipeline, name), by=by)
    except TransitionRefused as refused:
        audit.record(action, _thing(pipeline, name), by=by, refused=refused.sentence)
        raise


def _thing(pipeline: UUID, name: str) -> audit.Thing:
    return audit.Thing(type="pipeline", id=str(pipeline), name=name)


def _lock(pipeline: UUID) -> str:
    """Keep the status still from here to the commit. Gives the pipeline's name.

    Each UPDATE is guarded by itself; but a verb that tries several would otherwise find none of
    them open when a worker moves the pipeline between two of its tries.
    """
    rows = Pipeline.objects.select_for_update(no_key=True).filter(pk=pipeline)
    return "".join(rows.values_list("name", flat=True))
