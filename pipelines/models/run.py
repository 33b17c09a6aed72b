"""Execution attempts of pipelines, and the events of their history."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from pipelines.choices import RunKind, Trigger
from pipelines.models.pipeline import Pipeline
from pipelines.models.reconciliation import Reconciliation
from pipelines.models.worker import Worker
from pipelines.states import RunStatus


class PipelineRun(models.Model):
    """One execution attempt of a pipeline, from claim to end."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pipeline = models.ForeignKey(
        Pipeline, on_delete=models.CASCADE, related_name="runs", verbose_name=_("pipeline")
    )
    generation = models.BigIntegerField(_("generation"))
    kind = models.CharField(_("kind"), max_length=16, choices=RunKind, default=RunKind.LOAD)
    reconciliation = models.ForeignKey(
        Reconciliation,
        null=True,
        on_delete=models.SET_NULL,
        related_name="repairs",
        verbose_name=_("comparison"),
    )
    status = models.CharField(
        _("status"), max_length=16, choices=RunStatus, default=RunStatus.RUNNING
    )
    trigger = models.CharField(_("trigger"), max_length=16, choices=Trigger)
    requested_at = models.DateTimeField(_("requested"), null=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("requested by"),
    )
    worker = models.ForeignKey(
        Worker,
        null=True,
        on_delete=models.SET_NULL,
        related_name="runs",
        verbose_name=_("worker"),
    )
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    started_at = models.DateTimeField(_("started"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)
    progress_at = models.DateTimeField(_("last progress"), null=True)
    phase = models.CharField(_("phase"), max_length=32, blank=True)
    rows_read = models.BigIntegerField(_("rows read"), default=0)
    rows_written = models.BigIntegerField(_("rows written"), default=0)
    batches = models.BigIntegerField(_("batches"), default=0)
    resumed = models.BooleanField(_("resumed"), default=False)
    publish = models.CharField(_("publish"), max_length=16, blank=True)
    promise = models.TextField(_("late commits"), blank=True)
    error_message = models.TextField(_("error"), null=True)
    error_class = models.CharField(_("error class"), max_length=64, blank=True)
    sqlstate = models.CharField(_("SQLSTATE"), max_length=5, blank=True)
    definition = models.JSONField(_("definition"), default=dict)

    class Meta:
        ordering = ["-started_at", "-id"]
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        constraints = [
            # A replayed claim cannot make a second run; also serves "runs newest first".
            models.UniqueConstraint(
                fields=["pipeline", "generation"], name="run_pipeline_generation"
            ),
            models.UniqueConstraint(
                fields=["pipeline"],
                condition=Q(status=RunStatus.RUNNING),
                name="run_one_active_per_pipeline",
            ),
            models.CheckConstraint(
                name="run_finished_has_time",
                condition=Q(status=RunStatus.RUNNING, finished_at__isnull=True)
                | ~Q(status=RunStatus.RUNNING) & Q(finished_at__isnull=False),
            ),
            models.CheckConstraint(
                name="run_status_known", condition=Q(status__in=RunStatus.values)
            ),
        ]
        indexes = [
            # The admin's list of all runs, newest first.
            models.Index(F("started_at").desc(), F("id").desc(), name="run_newest"),
            # The admin's list filtered by result.
            models.Index("status", F("started_at").desc(), name="run_status_newest"),
            # The same by what asked for the run; some triggers are rare.
            models.Index("trigger", F("started_at").desc(), name="run_trigger_newest"),
        ]

    def __str__(self) -> str:
        """With the pipeline's name where that is at hand; no query is worth it."""
        known = "pipeline" in self._state.fields_cache
        return f"{self.pipeline.name} #{self.generation}" if known else str(self.id)


class RunEvent(models.Model):
    """Something that happened to a pipeline, written in the transaction that did it."""

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="events")
    run = models.ForeignKey(PipelineRun, null=True, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(_("at"), db_default=Now())
    event = models.CharField(_("event"), max_length=32)
    to_status = models.CharField(max_length=16, blank=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    worker = models.ForeignKey(Worker, null=True, on_delete=models.SET_NULL, related_name="+")
    message = models.TextField(_("message"), blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            # The history on a pipeline's page.
            models.Index("pipeline", F("at").desc(), name="event_pipeline_newest"),
            # The timeline on a run's page.
            models.Index("run", "at", name="event_run"),
            # What nobody's run owns is pruned by age.
            models.Index("at", condition=Q(run=None), name="event_old"),
        ]

    def __str__(self) -> str:
        return self.event


class RunSample(models.Model):
    """How far a run was at a moment: what its page draws the rates from.

    `number` counts the lease renewals of the run; samples are thinned to the multiples of a step
    that doubles, so that a run of any length has about as many.
    """

    run = models.ForeignKey(PipelineRun, on_delete=models.CASCADE, related_name="samples")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())
    rows_read = models.BigIntegerField()
    rows_written = models.BigIntegerField()
    batches = models.BigIntegerField()

    class Meta:
        ordering = ["run", "number"]
        constraints = [
            # Serves the chart, too.
            models.UniqueConstraint(fields=["run", "number"], name="sample_run_number"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}, {self.number}"


class RunLine(models.Model):
    """A line of a run's own log: sentences for people, never a row's values."""

    run = models.ForeignKey(PipelineRun, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    level = models.CharField(max_length=8)
    text = models.TextField()

    class Meta:
        ordering = ["run", "number"]
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="line_run_number"),
        ]

    def __str__(self) -> str:
        return self.text
