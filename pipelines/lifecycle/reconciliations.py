"""Verbs of comparisons: asked by people, held by who compares, ended once.

Whoever holds one is told apart by the attempt, which grows with each claim: an UPDATE of an older
attempt finds no row.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from pipelines import audit
from pipelines.choices import AuditAction, ReconciliationLevel, ReconciliationStatus
from pipelines.definition import freeze
from pipelines.lifecycle.guard import wake
from pipelines.lifecycle.values import Superseded
from pipelines.models import Pipeline, Reconciliation

#: Whoever compared was lost so often: something about the comparison ends them.
MOST_ATTEMPTS = 3
_LOST = (
    "Whoever compared was lost three times, so it is not tried again. Compare at a lower level, or "
    "look into the logs of the workers."
)
_OPEN = (ReconciliationStatus.REQUESTED, ReconciliationStatus.RUNNING)


def ask(
    pipeline: Pipeline,
    *,
    level: ReconciliationLevel,
    sample: int,
    tolerances: Mapping[str, float],
    by: Any,
    lease: float | None = None,
) -> Reconciliation:
    """Keep the question. With a `lease` the asker holds it at once; else a worker will take it."""
    held = {}
    if lease is not None:
        until = Now() + timedelta(seconds=lease)
        held = {"status": ReconciliationStatus.RUNNING, "lease_until": until, "attempt": 1}
    with transaction.atomic():
        row = Reconciliation.objects.create(
            pipeline=pipeline,
            level=level,
            sample_size=sample,
            tolerances=dict(tolerances),
            definition=freeze(pipeline),
            requested_by=by,
            **held,
        )
        if lease is not None:
            Reconciliation.objects.filter(pk=row.pk).update(started_at=Now())
        audit.record(AuditAction.RECONCILE, pipeline, by=by, level=str(level))
        if lease is None:
            wake()
    return Reconciliation.objects.get(pk=row.pk)


def claim_reconciliation(*, worker: UUID, lease: float, waited: float = 0) -> Reconciliation | None:
    """Take one comparison that has waited for so many seconds, or whose holder was lost.

    None when there is none.
    """
    since = Now() - timedelta(seconds=waited)
    due = Q(status=ReconciliationStatus.REQUESTED, next_attempt_at__lte=since)
    lost = Q(status=ReconciliationStatus.RUNNING, lease_until__lt=Now())
    with transaction.atomic():
        rows = Reconciliation.objects.filter(due | lost).order_by("next_attempt_at", "id")
        key = rows.select_for_update(skip_locked=True).values_list("pk", flat=True).first()
        if key is None:
            return None
        row = Reconciliation.objects.filter(pk=key)
        if row.filter(attempt__gte=MOST_ATTEMPTS).update(
            status=ReconciliationStatus.FAILED,
            error_message=_LOST,
            error_code="worker_lost",
            finished_at=Now(),
            lease_until=None,
        ):
            return None
        row.update(
            status=ReconciliationStatus.RUNNING,
            worker=worker,
            attempt=F("attempt") + 1,
            lease_until=Now() + timedelta(seconds=lease),
            started_at=Now(),
            rows_done=0,
            rows_of=0,
            phase="",
        )
    related = ("pipeline__source_connection", "pipeline__target_connection")
    return Reconciliation.objects.select_related(*related).get(pk=key)


def renew_reconciliation(
    held: Reconciliation, *, lease: float, phase: str, done: int, of: int
) -> bool:
    """Keep holding it, and say how far it is. True: somebody wants it cancelled.

    Raises Superseded.
    """
    rows = _held(held)
    until = Now() + timedelta(seconds=lease)
    if not rows.update(lease_until=until, phase=phase[:32], rows_done=done, rows_of=of):
        raise Superseded
    return bool(rows.filter(cancel_requested_at__isnull=False).exists())


def answer_reconciliation(held: Reconciliation, *, equal: bool, values: Mapping[str, Any]) -> None:
    """It is done: `values` are the columns of the answer. Raises Superseded."""
    status = ReconciliationStatus.OK if equal else ReconciliationStatus.WARNING
    _end(held, status=status, **values)


def fail_reconciliation(held: Reconciliation, *, sentence: str, code: str) -> None:
    """It cannot be made. Raises Superseded."""
    _end(held, status=ReconciliationStatus.FAILED, error_message=sentence, error_code=code)


def cancelled_reconciliation(held: Reconciliation) -> None:
    """It was stopped because somebody wanted that. Raises Superseded."""
    _end(held, status=ReconciliationStatus.CANCELLED)


def hand_back_reconciliation(held: Reconciliation, *, seconds: float = 0) -> None:
    """Somebody else may take it, after so many seconds; the attempt does not count."""
    _held(held).update(
        status=ReconciliationStatus.REQUESTED,
        worker=None,
        lease_until=None,
        attempt=F("attempt") - 1,
        next_attempt_at=Now() + timedelta(seconds=seconds),
    )


def cancel_reconciliation(key: UUID, *, by: Any) -> Reconciliation:
    """Stop it: one that waits ends here, one that is being made when its holder sees it.

    One that has ended stays as it is. Raises Reconciliation.DoesNotExist.
    """
    with transaction.atomic():
        row = Reconciliation.objects.select_for_update().get(pk=key)
        rows = Reconciliation.objects.filter(pk=key)
        waits = rows.filter(status=ReconciliationStatus.REQUESTED)
        if row.status in _OPEN:
            if not waits.update(status=ReconciliationStatus.CANCELLED, finished_at=Now()):
                rows.update(cancel_requested_at=Now())
            audit.record(AuditAction.RECONCILE_CANCEL, row.pipeline, by=by)
    return Reconciliation.objects.get(pk=key)


def _held(held: Reconciliation) -> Any:
    return Reconciliation.objects.filter(
        pk=held.pk, attempt=held.attempt, status=ReconciliationStatus.RUNNING
    )


def _end(held: Reconciliation, **columns: Any) -> None:
    if not _held(held).update(finished_at=Now(), lease_until=None, **columns):
        raise Superseded
