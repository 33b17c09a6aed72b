"""How long history and the audit are kept, and their pruning in small batches; who calls it is
elsewhere."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from pipelines import lockout
from pipelines.models import AuditRecord, PipelineRun, Reconciliation, RunEvent
from pipelines.states import RunStatus

#: However old: a pipeline that runs once a year has a history too.
KEPT_RUNS = 50
#: Rows of one transaction, which holds locks no longer than a blink.
BATCH = 200


def prune(limit: int = BATCH) -> int:
    """Delete at most `limit` runs, as many events that belong to no run, and as many comparisons,
    that are older than RETENTION_DAYS. Returns how many; several may do it at once.
    """
    before = Now() - timedelta(days=settings.RETENTION_DAYS)
    kept = PipelineRun.objects.filter(pipeline=OuterRef("pipeline")).order_by("-generation")
    oldest_kept = Subquery(kept.values("generation")[KEPT_RUNS - 1 : KEPT_RUNS])
    # A pipeline with fewer runs than that has no such generation: NULL, and none is older.
    runs = PipelineRun.objects.filter(
        started_at__lt=before, finished_at__lt=before, generation__lt=oldest_kept
    ).exclude(status=RunStatus.RUNNING)
    events = RunEvent.objects.filter(run=None, at__lt=before)
    compared = Reconciliation.objects.filter(requested_at__lt=before, finished_at__lt=before)
    return (
        _delete(runs.order_by("started_at"), limit)
        + _delete(events.order_by("at"), limit)
        + _delete(compared.order_by("requested_at"), limit)
    )


def prune_audit(limit: int = BATCH) -> int:
    """Delete at most `limit` audit records older than AUDIT_DAYS, and the failed sign-ins that do
    not count any more. Returns how many records.
    """
    lockout.prune()
    before = Now() - timedelta(days=settings.AUDIT_DAYS)
    old = AuditRecord.objects.filter(at__lt=before).order_by("at")
    with transaction.atomic(), connection.cursor() as cursor:
        # The trigger that keeps the audit lets nobody else delete, and no record of today.
        cursor.execute("SELECT set_config('etl.prune', 'on', true)")
        deleted = _delete(old, limit)
        cursor.execute("SELECT set_config('etl.prune', 'off', true)")
    return deleted


def _delete(rows: QuerySet[Any], limit: int) -> int:
    with transaction.atomic():
        locked = rows.select_for_update(skip_locked=True, of=("self",))
        keys = list(locked.values_list("pk", flat=True)[:limit])
        rows.model._default_manager.filter(pk__in=keys).delete()
    return len(keys)
