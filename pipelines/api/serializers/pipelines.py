"""Pipelines, their status and their checkpoint as JSON, in the contract's order of fields."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from pipelines.api.fields import (
    Choice,
    ConnectionName,
    Flag,
    Moment,
    Number,
    Text,
    built_in_connection,
)
from pipelines.api.serializers.strict import StrictSerializer
from pipelines.choices import DeleteMissing, Mode, NullPolicy, PipelineType, Publish
from pipelines.models import MAX_BATCH_SIZE, Pipeline
from pipelines.states import PipelineStatus
from pipelines.validation import (
    MAX_NAME_LENGTH,
    MAX_QUERY_LENGTH,
    Errors,
    check_definition,
    warnings_for,
)


class PipelineSummarySerializer(serializers.ModelSerializer[Pipeline]):
    """A line of the list: exactly the contract's eight fields."""

    class Meta:
        model = Pipeline
        fields = [
            "id",
            "name",
            "type",
            "mode",
            "enabled",
            "status",
            "target_table",
            "batch_size",
        ]
        read_only_fields = fields


class PipelineSerializer(StrictSerializer):
    """A pipeline whole: the contract's fields first, ours after them."""

    id = serializers.UUIDField(read_only=True)
    name = Text(max_length=MAX_NAME_LENGTH)
    description = Text(
        default="", allow_blank=True, trim_whitespace=False, help_text=_("For people.")
    )
    type = Choice(
        choices=PipelineType.choices,
        default=PipelineType.SQL.value,
        help_text=_("PYTHON is not available yet."),
    )
    mode = Choice(choices=Mode.choices, default=Mode.FULL.value)
    enabled = Flag(default=True, help_text=_("A disabled pipeline cannot be run."))
    status = serializers.ChoiceField(choices=PipelineStatus.choices, read_only=True)
    target_table = Text(
        max_length=300,
        help_text=_("schema.table; created from the query's columns when it does not exist."),
    )
    batch_size = Number(default=5000, min_value=1, max_value=MAX_BATCH_SIZE)
    incremental_key = Text(
        default=None,
        allow_null=True,
        allow_blank=True,
        trim_whitespace=False,
        max_length=63,
        help_text=_("The column whose growing value says “changed since”; incremental only."),
    )
    source_query = Text(
        max_length=MAX_QUERY_LENGTH, trim_whitespace=False, help_text=_("One SELECT.")
    )
    created_at = Moment(read_only=True)
    updated_at = Moment(read_only=True, help_text=_("When the definition changed last."))
    source_connection = ConnectionName(
        default=built_in_connection, help_text=_("A connection's name.")
    )
    target_connection = ConnectionName(
        default=built_in_connection, help_text=_("A connection's name.")
    )
    key_columns = serializers.ListField(
        child=Text(max_length=63, trim_whitespace=False),
        default=list,
        help_text=_("Columns that identify a row; empty: the target's primary key."),
    )
    publish = Choice(
        choices=Publish.choices,
        default=Publish.AUTO.value,
        help_text=_("How a full load becomes visible."),
    )
    allow_empty = Flag(
        default=False, help_text=_("Let a full load of 0 rows empty a table that has rows.")
    )
    allow_cascade = Flag(
        default=False, help_text=_("Let deleted rows pass on through foreign keys.")
    )
    max_shrink_percent = Number(
        default=None,
        allow_null=True,
        min_value=0,
        max_value=99,
        help_text=_("Refuse a full load that would leave so many percent fewer rows."),
    )
    null_policy = Choice(
        choices=NullPolicy.choices,
        default=NullPolicy.FAIL.value,
        help_text=_("What to do with rows whose incremental key is NULL or infinite."),
    )
    late_margin = Text(
        default=None,
        allow_null=True,
        allow_blank=True,
        max_length=100,
        help_text=_("Read again what is this much older than the checkpoint: 10 minutes."),
    )
    delete_missing = Choice(
        choices=DeleteMissing.choices,
        default=DeleteMissing.OFF.value,
        help_text=_("What an incremental load does with rows that the query no longer returns."),
    )
    delete_column = Text(
        default=None,
        allow_null=True,
        allow_blank=True,
        max_length=63,
        help_text=_("With soft: the table's column that marks such rows."),
    )
    max_delete_percent = Number(
        default=10,
        allow_null=True,
        min_value=0,
        max_value=100,
        help_text=_("Refuse to delete or mark a larger share of the table's rows at once."),
    )
    warnings = serializers.SerializerMethodField(
        help_text=_("Sentences for people on what is allowed but may not be meant.")
    )

    def get_warnings(self, pipeline: Pipeline) -> list[str]:
        """What the preflight had to say when the pipeline was stored just now, and what we see."""
        return [*self.context.get("warnings", ()), *warnings_for(pipeline)]

    def check(self, values: Mapping[str, Any]) -> Errors:
        """The rules of the definition."""
        errors = check_definition(values, instance=self.instance)
        if "target_connection" in self.initial_data and "target_connection" not in values:
            errors.pop("target_table", None)  # judged by another connection than was meant
        return errors

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """An empty text stands for none where there may be none."""
        empty = {name: None for name in _NONE_IF_EMPTY if attrs.get(name) == ""}
        return attrs | empty


_NONE_IF_EMPTY = ("incremental_key", "late_margin", "delete_column")


class AcceptedSerializer(serializers.Serializer[Any]):
    """The answer to run, pause and cancel."""

    pipeline_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PipelineStatus.choices)


class StatusSerializer(serializers.Serializer[Any]):
    """Where a pipeline stands now."""

    pipeline_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=PipelineStatus.choices)
    last_run_id = serializers.UUIDField(allow_null=True)
    last_updated_at = Moment(
        help_text=_("The last change of the status or progress of the run, whichever is later.")
    )


class StateSerializer(serializers.Serializer[Any]):
    """The checkpoint; all null while there is none."""

    pipeline_id = serializers.UUIDField()
    last_processed_id = serializers.CharField(allow_null=True)
    last_processed_value = serializers.CharField(allow_null=True)
    updated_at = Moment(allow_null=True)
