"""Comparisons of a pipeline's source and target: what was asked, and what was found."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from pipelines.choices import ReconciliationLevel, ReconciliationStatus
from pipelines.models.pipeline import Pipeline
from pipelines.models.worker import Worker

MOST_SAMPLE = 1000
USUAL_SAMPLE = 100


class Reconciliation(models.Model):
    """One comparison, from the question to the answer; written by `lifecycle` alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pipeline = models.ForeignKey(
        Pipeline,
        on_delete=models.CASCADE,
        related_name="reconciliations",
        verbose_name=_("pipeline"),
    )
    level = models.CharField(
        _("level"),
        max_length=16,
        choices=ReconciliationLevel,
        default=ReconciliationLevel.COUNT,
    )
    status = models.CharField(
        _("status"),
        max_length=16,
        choices=ReconciliationStatus,
        default=ReconciliationStatus.REQUESTED,
    )
    sample_size = models.PositiveIntegerField(_("sample"), default=USUAL_SAMPLE)
    tolerances = models.JSONField(_("tolerances"), default=dict, blank=True)
    definition = models.JSONField(_("definition"), default=dict)
    requested_at = models.DateTimeField(_("requested"), db_default=Now())
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("requested by"),
    )

    # Who compares. `attempt` is the token of the one that holds it.
    worker = models.ForeignKey(
        Worker, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    attempt = models.PositiveIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(db_default=Now(), editable=False)
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    phase = models.CharField(_("phase"), max_length=32, blank=True)
    rows_done = models.BigIntegerField(default=0)
    rows_of = models.BigIntegerField(default=0)

    # The answer; the rows that differ are at level rows only.
    source_count = models.BigIntegerField(_("source rows"), null=True)
    target_count = models.BigIntegerField(_("target rows"), null=True)
    missing = models.BigIntegerField(_("missing"), null=True)
    extra = models.BigIntegerField(_("extra"), null=True)
    different = models.BigIntegerField(_("different"), null=True)
    waiting = models.BigIntegerField(_("waiting"), default=0)
    key = models.JSONField(_("key columns"), default=list)
    ranges = models.JSONField(default=list)
    rows = models.JSONField(default=list)
    notes = models.JSONField(default=list)
    error_message = models.TextField(_("error"), blank=True)
    error_code = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-requested_at", "-id"]
        verbose_name = _("comparison")
        verbose_name_plural = _("comparisons")
        constraints = [
            models.CheckConstraint(
                name="reconciliation_status_known",
                condition=Q(status__in=ReconciliationStatus.values),
            ),
            models.CheckConstraint(
                name="reconciliation_level_known", condition=Q(level__in=ReconciliationLevel.values)
            ),
            models.CheckConstraint(
                name="reconciliation_lease_while_running",
                condition=Q(status=ReconciliationStatus.RUNNING) | Q(lease_until__isnull=True),
            ),
        ]
        indexes = [
            # "Of this pipeline, newest first."
            models.Index(
                F("pipeline"),
                F("requested_at").desc(),
                F("id").desc(),
                name="reconciliation_newest",
            ),
            # What a worker may take.
            models.Index(
                F("next_attempt_at"),
                condition=Q(status__in=("REQUESTED", "RUNNING")),
                name="reconciliation_open",
            ),
        ]

    def __str__(self) -> str:
        """With the pipeline's name where that is at hand; no query is worth it."""
        known = "pipeline" in self._state.fields_cache
        return f"{self.pipeline.name} ({self.level})" if known else str(self.id)

    @property
    def difference(self) -> int | None:
        """Rows of the source less rows of the target."""
        if self.source_count is None or self.target_count is None:
            return None
        return self.source_count - self.target_count

    @property
    def seconds(self) -> float | None:
        """How long the comparison took."""
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds(), 3)

    @property
    def is_open(self) -> bool:
        """Whether it waits or is being made."""
        return self.status in (ReconciliationStatus.REQUESTED, ReconciliationStatus.RUNNING)

    def counts(self) -> dict[str, Any]:
        """How many rows differ, by what is wrong with them; empty where nobody looked at rows."""
        named = {"missing": self.missing, "extra": self.extra, "different": self.different}
        return {} if self.missing is None else named
