"""Runs as JSON, the contract's fields first."""

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from pipelines.api.fields import Moment
from pipelines.models import PipelineRun


class RunSerializer(serializers.ModelSerializer[PipelineRun]):
    """One execution attempt."""

    pipeline_id = serializers.UUIDField(read_only=True)
    reconciliation_id = serializers.UUIDField(
        read_only=True, allow_null=True, help_text=_("The comparison that a repair follows.")
    )
    started_at = Moment(read_only=True)
    finished_at = Moment(read_only=True, allow_null=True)

    class Meta:
        model = PipelineRun
        fields = [
            "id",
            "pipeline_id",
            "started_at",
            "finished_at",
            "rows_read",
            "rows_written",
            "status",
            "error_message",
            "trigger",
            "resumed",
            "publish",
            "kind",
            "reconciliation_id",
            "attempt",
            "batches",
            "phase",
            "error_class",
            "sqlstate",
        ]
        read_only_fields = fields
