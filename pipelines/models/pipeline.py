"""The pipeline, a definition and where it stands.

Lifecycle columns are written by `lifecycle` alone.
"""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from pipelines.choices import DeleteMissing, Mode, NullPolicy, PipelineType, Publish, Trigger
from pipelines.models.connection import Connection
from pipelines.models.worker import Worker
from pipelines.querysets import PipelineQuerySet
from pipelines.states import PipelineStatus

MAX_BATCH_SIZE = 1_000_000

#: What changes without anybody changing the definition; none of it is kept, or ever restored.
_NOT_KEPT = [
    "created_at",
    "updated_at",
    "status",
    "status_changed_at",
    "generation",
    "attempt",
    "worker",
    "lease_until",
    "next_attempt_at",
    "cancel_requested_at",
    "requested_at",
    "requested_by",
    "trigger",
    "checkpoint_epoch",
    "repair",
    "repair_limit",
]


class Pipeline(models.Model):
    """A definition: source query, connections, target table, mode, keys; and where it stands."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    # The definition, written by people.
    name = models.CharField(
        _("name"), max_length=200, unique=True, help_text=_("Unique, for people: film_dim_full.")
    )
    description = models.TextField(
        _("description"), blank=True, help_text=_("What the table is for and who relies on it.")
    )
    type = models.CharField(
        _("type"),
        max_length=16,
        choices=PipelineType,
        default=PipelineType.SQL,
        help_text=_("SQL: rows pass through unchanged from the query to the table."),
    )
    mode = models.CharField(
        _("mode"),
        max_length=16,
        choices=Mode,
        default=Mode.FULL,
        help_text=_("Full replaces the table's contents; incremental adds and updates rows."),
    )
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("A disabled pipeline cannot be run.")
    )
    source_connection = models.ForeignKey(
        Connection,
        on_delete=models.PROTECT,
        related_name="source_pipelines",
        verbose_name=_("source connection"),
        help_text=_("Where the query runs, read-only."),
    )
    target_connection = models.ForeignKey(
        Connection,
        on_delete=models.PROTECT,
        related_name="target_pipelines",
        verbose_name=_("target connection"),
        help_text=_("Where the table is written."),
    )
    source_query = models.TextField(
        _("source query"),
        help_text=_("One SELECT. Every output column needs a name of its own."),
    )
    target_table = models.CharField(
        _("target table"),
        max_length=300,
        help_text=_("schema.table; created from the query's columns when it does not exist."),
    )
    batch_size = models.PositiveIntegerField(
        _("batch size"),
        default=5000,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_BATCH_SIZE)],
        help_text=_("Rows moved in one transaction, 1 to 1,000,000."),
    )
    incremental_key = models.CharField(
        _("incremental key"),
        max_length=63,
        null=True,
        blank=True,
        help_text=_("Column whose growing value says “changed since”: modified. Incremental only."),
    )
    key_columns = ArrayField(
        models.CharField(max_length=63),
        verbose_name=_("key columns"),
        default=list,
        blank=True,
        help_text=_(
            "Columns that identify a row, separated by commas. "
            "Empty: the primary key of the target table."
        ),
    )
    publish = models.CharField(
        _("publish"),
        max_length=16,
        choices=Publish,
        default=Publish.AUTO,
        help_text=_("How a full load becomes visible; auto chooses what keeps everything intact."),
    )
    allow_empty = models.BooleanField(
        _("allow empty"),
        default=False,
        help_text=_("Let a full load of 0 rows empty a table that has rows."),
    )
    allow_cascade = models.BooleanField(
        _("allow cascade"),
        default=False,
        help_text=_("Let deleted rows pass on to other tables through their foreign keys."),
    )
    max_shrink_percent = models.PositiveSmallIntegerField(
        _("largest shrink, %"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(99)],
        help_text=_(
            "Refuse a full load that would leave the table smaller by more than this share of its "
            "rows, 0 to 99. Empty: no limit."
        ),
    )
    null_policy = models.CharField(
        _("NULL policy"),
        max_length=16,
        choices=NullPolicy,
        default=NullPolicy.FAIL,
        help_text=_("What to do with rows whose incremental key is NULL or infinite."),
    )
    late_margin = models.CharField(
        _("late margin"),
        max_length=100,
        null=True,
        blank=True,
        help_text=_(
            "Read again what is this much older than the checkpoint: 10 minutes, 1 day, or a "
            "number. Empty: chosen automatically. Applications that fill the key themselves "
            "need more than their longest transaction."
        ),
    )
    delete_missing = models.CharField(
        _("deleted rows"),
        max_length=8,
        choices=DeleteMissing,
        default=DeleteMissing.OFF,
        help_text=_(
            "What to do after an incremental load with rows of the table that the query no longer "
            "returns. Both sides' keys are read for it."
        ),
    )
    delete_column = models.CharField(
        _("mark of deleted rows"),
        max_length=63,
        null=True,
        blank=True,
        help_text=_("With soft: the table's column (timestamp or boolean) that marks such rows."),
    )
    max_delete_percent = models.PositiveSmallIntegerField(
        _("largest delete, %"),
        null=True,
        blank=True,
        default=10,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_(
            "Refuse to delete or mark more than this share of the table's rows at once, 0 to 100. "
            "Empty: no limit."
        ),
    )
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), db_default=Now(), editable=False)

    # The lifecycle, written by `lifecycle` alone.
    status = models.CharField(
        _("status"),
        max_length=16,
        choices=PipelineStatus,
        default=PipelineStatus.IDLE,
        editable=False,
    )
    status_changed_at = models.DateTimeField(db_default=Now(), editable=False)
    generation = models.BigIntegerField(default=0, editable=False)
    attempt = models.PositiveIntegerField(default=0, editable=False)
    worker = models.ForeignKey(
        Worker, null=True, editable=False, on_delete=models.SET_NULL, related_name="pipelines"
    )
    lease_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(db_default=Now(), editable=False)
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    requested_at = models.DateTimeField(null=True, editable=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    trigger = models.CharField(max_length=16, choices=Trigger, blank=True, editable=False)
    checkpoint_epoch = models.IntegerField(default=0, editable=False)
    # What the requested run repairs, and how many rows it may change; a load has neither.
    repair = models.ForeignKey(
        "pipelines.Reconciliation",
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    repair_limit = models.BigIntegerField(null=True, editable=False)

    objects = PipelineQuerySet.as_manager()
    # Who changed the definition, written by `changes`.
    history = HistoricalRecords(
        excluded_fields=_NOT_KEPT,
        verbose_name=_("kept definition"),
        verbose_name_plural=_("kept definitions"),
    )

    class Meta:
        ordering = ["name"]
        verbose_name = _("pipeline")
        verbose_name_plural = _("pipelines")
        permissions = [
            ("run_pipeline", _("Can run pipeline")),
            ("pause_pipeline", _("Can pause pipeline")),
            ("cancel_pipeline", _("Can cancel pipeline")),
            ("reconcile_pipeline", _("Can reconcile pipeline")),
            ("preview_pipeline", _("Can preview pipeline")),
            ("reset_pipeline", _("Can reset the checkpoint of pipeline")),
        ]
        constraints = [
            models.CheckConstraint(
                name="pipeline_status_known", condition=Q(status__in=PipelineStatus.values)
            ),
            models.CheckConstraint(
                name="pipeline_type_known", condition=Q(type__in=PipelineType.values)
            ),
            models.CheckConstraint(name="pipeline_mode_known", condition=Q(mode__in=Mode.values)),
            models.CheckConstraint(name="pipeline_name_not_empty", condition=~Q(name="")),
            models.CheckConstraint(
                name="pipeline_batch_size_range",
                condition=Q(batch_size__gte=1, batch_size__lte=MAX_BATCH_SIZE),
            ),
            models.CheckConstraint(
                name="pipeline_incremental_has_key",
                condition=~Q(mode=Mode.INCREMENTAL)
                | Q(incremental_key__isnull=False) & ~Q(incremental_key=""),
            ),
            models.CheckConstraint(
                name="pipeline_max_shrink_range",
                condition=Q(max_shrink_percent__isnull=True) | Q(max_shrink_percent__lte=99),
            ),
            # A resting pipeline is held by nobody; a running one always has a lease to lose.
            models.CheckConstraint(
                name="pipeline_lease_only_while_active",
                condition=Q(lease_until__isnull=True)
                | Q(status__in=[PipelineStatus.RUNNING, PipelineStatus.PAUSE_REQUESTED]),
            ),
            models.CheckConstraint(
                name="pipeline_running_has_lease",
                condition=~Q(status=PipelineStatus.RUNNING) | Q(lease_until__isnull=False),
            ),
        ]
        indexes = [
            # The claim: the longest due of what waits for a worker or may have lost one.
            models.Index(
                F("next_attempt_at"),
                F("id"),
                name="pipeline_claim",
                condition=Q(status__in=["RUN_REQUESTED", "RUNNING", "PAUSE_REQUESTED"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name
