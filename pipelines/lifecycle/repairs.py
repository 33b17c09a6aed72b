"""Asking for a repair: a run that moves only the rows which a comparison found to differ."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Subquery, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from pipelines import audit
from pipelines.choices import (
    AuditAction,
    ReconciliationLevel,
    ReconciliationStatus,
    RunKind,
    Trigger,
)
from pipelines.definition import DATA_FIELDS, freeze
from pipelines.lifecycle.guard import change, record, refusal, wake
from pipelines.lifecycle.values import Claim
from pipelines.models import Pipeline, PipelineRun, Reconciliation, RunEvent
from pipelines.names import TableName
from pipelines.states import RUN_REQUESTED, PipelineStatus, moves


class RepairRefused(Exception):
    """The comparison is none that can be repaired, or less was confirmed than it found."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


def request_repair(
    reconciliation: UUID, *, limit: int, by: Any, trigger: Trigger
) -> PipelineStatus:
    """Ask for a run that makes the rows equal, changing at most `limit` of them.

    Raises TransitionRefused, RepairRefused and Reconciliation.DoesNotExist.
    """
    with transaction.atomic():
        found = Reconciliation.objects.select_related("pipeline").get(pk=reconciliation)
        rows = Pipeline.objects.filter(pk=found.pipeline_id, enabled=True)
        pipeline = rows.select_for_update(no_key=True).first()
        if pipeline is None:
            raise refusal(found.pipeline_id, "run")
        check_repairable(found, pipeline, limit=limit)
        if not change(
            rows,
            moves("run"),
            next_attempt_at=Now(),
            attempt=0,
            requested_at=Now(),
            requested_by=by,
            trigger=trigger,
            cancel_requested_at=None,
            repair=found,
            repair_limit=limit,
        ):
            raise refusal(found.pipeline_id, "repair")
        record(found.pipeline_id, moves("run"), by=by, message=_asked(found))
        audit.record(AuditAction.REPAIR, pipeline, by=by, limit=limit, comparison=str(found.pk))
        wake()
    return RUN_REQUESTED


def rows_to_change(found: Reconciliation) -> int:
    """How many rows a repair of this comparison would change, as it saw them."""
    return sum((found.missing or 0, found.extra or 0, found.different or 0))


def check_repairable(
    found: Reconciliation, pipeline: Pipeline, *, limit: int | None = None
) -> None:
    """Whether a repair can be asked for. Raises RepairRefused."""
    if found.status == ReconciliationStatus.OK:
        raise RepairRefused(_("Nothing differs, so there is nothing to repair."), "nothing_differs")
    if found.status != ReconciliationStatus.WARNING or found.level != ReconciliationLevel.ROWS:
        raise RepairRefused(
            _("Only a comparison at level rows that has ended can be repaired. Compare again."),
            "not_repairable",
        )
    if not found.key:
        raise RepairRefused(
            _("Rows are repaired by their key, and there is none. Name key columns."),
            "not_repairable",
        )
    table = TableName.parse(pipeline.target_table)
    others = Pipeline.objects.exclude(pk=pipeline.pk)
    if found.extra and (rivals := others.writing_to(pipeline.target_connection, table)):
        raise RepairRefused(
            _(
                "The pipeline “%(name)s” writes to this table too, and a repair would delete its "
                "rows. Give one of both another table."
            )
            % {"name": rivals[0].name},
            "not_repairable",
        )
    now = freeze(pipeline)
    if any(now[name] != found.definition.get(name) for name in DATA_FIELDS):
        raise RepairRefused(
            _("The definition has changed since the comparison. Compare again."), "outdated"
        )
    newer = pipeline.reconciliations.filter(
        requested_at__gt=found.requested_at,
        status=ReconciliationStatus.OK,
        level__in=(ReconciliationLevel.CHECKSUM, ReconciliationLevel.ROWS),
    )
    if newer.exists():
        raise RepairRefused(
            _("A later comparison found nothing that differs. Compare again."), "outdated"
        )
    if limit is not None and limit < rows_to_change(found):
        raise RepairRefused(
            _(
                "The comparison found %(count)d rows to change, and %(limit)d were confirmed. "
                "Confirm as many as it found."
            )
            % {"count": rows_to_change(found), "limit": limit},
            "limit_too_low",
        )


def left_to_repair(held: Claim) -> int | None:
    """How many rows may still change of those that were confirmed, after the tries before; None
    for a load."""
    pipeline = held.pipeline
    if pipeline.repair_limit is None:
        return None
    asked = RunEvent.objects.filter(pipeline=pipeline.pk, event=moves("run").event)
    since = asked.filter(message__startswith=_REPAIR).order_by("-at").values("at")[:1]
    tries = PipelineRun.objects.filter(
        pipeline=pipeline.pk,
        kind=RunKind.REPAIR,
        started_at__gte=Subquery(since),
        generation__lt=held.generation,
    )
    done: int = tries.aggregate(rows=Sum("rows_written"))["rows"] or 0
    return max(0, pipeline.repair_limit - done)


def tolerances_of(held: Claim) -> dict[str, float]:
    """What the comparison that is repaired took for equal; nothing where it has been deleted."""
    if held.pipeline.repair_id is None:
        return {}
    rows = Reconciliation.objects.filter(pk=held.pipeline.repair_id)
    found: dict[str, float] = rows.values_list("tolerances", flat=True).first() or {}
    return found


_REPAIR = "A repair:"


def _asked(found: Reconciliation) -> str:
    return (
        f"A repair: missing rows {found.missing}, different {found.different}, extra {found.extra}."
    )
