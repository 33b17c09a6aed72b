"""Previews as JSON: a definition goes in, what it looks like comes out, nothing is stored."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from pipelines.api.fields import Limited, Text
from pipelines.api.serializers.pipelines import PipelineSerializer
from pipelines.choices import Publish
from pipelines.models import Pipeline
from pipelines.validation import MAX_NAME_LENGTH, Errors
from runner.preflight import MOST_ROWS, USUAL_ROWS, VALUE_LENGTH


class StoredPipeline(Text):
    """A pipeline by its id."""

    default_error_messages = {"unknown": _("There is no pipeline of this id.")}

    def to_internal_value(self, data: Any) -> Any:
        """The pipeline with its connections. Raises ValidationError."""
        try:
            key = UUID(super().to_internal_value(data))
        except ValueError:
            self.fail("unknown")
        rows = Pipeline.objects.select_related("source_connection", "target_connection")
        found = rows.filter(pk=key).first()
        if found is None:
            self.fail("unknown")
        return found


class PreviewQuestionSerializer(PipelineSerializer):
    """A definition, whole or as changes to a stored pipeline; its name does not matter."""

    name = Text(max_length=MAX_NAME_LENGTH, required=False, help_text=_("Not looked at."))
    pipeline = StoredPipeline(
        required=False,
        help_text=_("A stored pipeline's id: other fields are changes to it, and none is needed."),
    )
    rows = Limited(
        default=USUAL_ROWS,
        min_value=0,
        max_value=MOST_ROWS,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"),
            format_lazy(_("Give a whole number of rows, from 0 to {most}."), most=MOST_ROWS),
        ),
        help_text=_("How many rows to show; 0: the query is not run."),
    )

    def check(self, values: Mapping[str, Any]) -> Errors:
        """The rules of the definition, whatever it is called."""
        errors = super().check(values)
        errors.pop("name", None)
        return errors


class PreviewColumnSerializer(serializers.Serializer[Any]):
    """A column of the query, and what becomes of it."""

    name = serializers.CharField()
    type = serializers.CharField(source="type_name", help_text=_("Its type at the source."))
    becomes = serializers.CharField(help_text=_("The type of the table's column."))
    created = serializers.BooleanField(
        source="is_created", help_text=_("True when the table does not exist yet.")
    )
    as_bytes = serializers.BooleanField(
        help_text=_("False when the types differ so that values have to pass as text.")
    )


class PreviewTableSerializer(serializers.Serializer[Any]):
    """A table that is read from its first row to its last."""

    name = serializers.CharField()
    rows = serializers.IntegerField(help_text=_("By the statistics of the source."))


class PreviewPlanSerializer(serializers.Serializer[Any]):
    """What the source's planner expects of reading the whole query."""

    weight = serializers.ChoiceField(
        choices=["light", "moderate", "heavy"],
        help_text=_("By the cost: below 10,000, below 1,000,000, above."),
    )
    cost = serializers.FloatField(help_text=_("In the planner's own unit."))
    rows = serializers.IntegerField()
    size = serializers.IntegerField(help_text=_("In bytes."))
    whole_tables = PreviewTableSerializer(many=True, help_text=_("Large ones only."))
    sorted_rows = serializers.IntegerField(help_text=_("0 when only few are sorted."))


class PreviewFactSerializer(serializers.Serializer[Any]):
    """An answer about the incremental key."""

    name = serializers.ChoiceField(choices=["indexed", "never_null", "unique"])
    holds = serializers.BooleanField(allow_null=True, help_text=_("null: it is not known."))
    sentence = serializers.CharField()
    advice = serializers.CharField(allow_blank=True, help_text=_("SQL that would help, if any."))


class PreviewSerializer(serializers.Serializer[Any]):
    """What a definition that can run looks like."""

    columns = PreviewColumnSerializer(many=True)
    as_bytes = serializers.BooleanField(
        help_text=_("Whether all values pass as the bytes that they are.")
    )
    rows = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(allow_null=True, allow_blank=True)),
        allow_null=True,
        help_text=format_lazy(
            _(
                "The first rows: values as PostgreSQL writes them, null for NULL; what is longer "
                "than {most} characters is cut and ends in “…”. null when no rows were asked for, "
                "or when they could not be had: see rows_note."
            ),
            most=VALUE_LENGTH,
        ),
    )
    rows_note = serializers.CharField(
        allow_blank=True, help_text=_("Why there are no rows, when there are none.")
    )
    plan = PreviewPlanSerializer(allow_null=True)
    plan_in_words = serializers.ListField(child=serializers.CharField())
    key = PreviewFactSerializer(
        many=True, help_text=_("About the incremental key; incremental mode only.")
    )
    target = serializers.ListField(
        child=serializers.CharField(), help_text=_("What is there already, in sentences.")
    )
    ddl = serializers.CharField(
        allow_null=True, help_text=_("What the first run creates; null when the table exists.")
    )
    method = serializers.ChoiceField(
        choices=[choice for choice in Publish.choices if choice[0] != Publish.AUTO],
        help_text=_("How rows become visible; incremental mode always merges."),
    )
    method_reasons = serializers.ListField(child=serializers.CharField())
    promise = serializers.CharField(
        allow_blank=True, help_text=_("What is promised of late commits; incremental mode only.")
    )
    warnings = serializers.ListField(child=serializers.CharField())
