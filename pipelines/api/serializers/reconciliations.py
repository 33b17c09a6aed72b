"""Comparisons as JSON, the contract's five fields first."""

import math
from collections.abc import Mapping
from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from pipelines.api.fields import Choice, Limited, Moment
from pipelines.api.serializers.strict import StrictSerializer
from pipelines.choices import ReconciliationLevel, ReconciliationStatus
from pipelines.models import MOST_SAMPLE, USUAL_SAMPLE, Reconciliation
from pipelines.permissions import may
from pipelines.validation import Errors

_MOST_TOLERANCES = 100


class Tolerances(serializers.DictField):
    """Numbers by column; what is wrong is said in one sentence."""

    child = serializers.FloatField()

    def to_internal_value(self, data: Any) -> dict[str, float]:
        """Column to tolerance. Raises ValidationError."""
        if not isinstance(data, Mapping) or len(data) > _MOST_TOLERANCES:
            raise serializers.ValidationError([str(_TOLERANCES)])
        for value in data.values():
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or value <= 0:
                raise serializers.ValidationError([str(_TOLERANCES)])
        return {str(name): float(value) for name, value in data.items()}


class QuestionSerializer(StrictSerializer):
    """What to compare; everything may be left out."""

    level = Choice(
        choices=ReconciliationLevel.choices,
        default=ReconciliationLevel.COUNT.value,
        help_text=gettext_lazy(
            "count: how many rows each side has; checksum: whether they are the same; rows: which "
            "ones differ, and in which columns."
        ),
    )
    sample = Limited(
        default=USUAL_SAMPLE,
        min_value=0,
        max_value=MOST_SAMPLE,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"),
            format_lazy(
                gettext_lazy("Give a whole number of rows, from 0 to {most}."), most=MOST_SAMPLE
            ),
        ),
        help_text=gettext_lazy("How many differing rows of each kind to keep, at level rows."),
    )
    tolerances = Tolerances(
        default=dict,
        help_text=gettext_lazy(
            "By column of numbers with a fraction: values that are at most so far apart are equal."
        ),
    )

    def check(self, values: Mapping[str, Any]) -> Errors:
        """The level must be one that there is."""
        level = values.get("level", ReconciliationLevel.COUNT)
        if level in ReconciliationLevel.values:
            return {}
        known = ", ".join(ReconciliationLevel.values)
        return {"level": [_("There is no such level. There are: %(levels)s.") % {"levels": known}]}


class ChangeSerializer(serializers.Serializer[Any]):
    """A column of a row that differs; null on a side that lacks the row, or for NULL."""

    column = serializers.CharField()
    # DRF takes declared fields off the class, so that its own attribute is left alone.
    source = serializers.CharField(  # type: ignore[assignment]
        allow_null=True, required=False
    )
    target = serializers.CharField(allow_null=True, required=False)


class DifferingRowSerializer(serializers.Serializer[Any]):
    """A row that differs, by its key in the order of `key_columns`."""

    kind = serializers.ChoiceField(choices=["missing", "extra", "different"])
    key = serializers.ListField(child=serializers.CharField(allow_null=True))
    changes = ChangeSerializer(many=True)


class RangeSerializer(serializers.Serializer[Any]):
    """Rows whose first key column is at least `low` and below `high` (null: no border)."""

    low = serializers.CharField(allow_null=True)
    high = serializers.CharField(allow_null=True)
    source = serializers.IntegerField()  # type: ignore[assignment]
    target = serializers.IntegerField()
    missing = serializers.IntegerField()
    extra = serializers.IntegerField()
    different = serializers.IntegerField()
    differs = serializers.BooleanField()


class ReconciliationSerializer(serializers.ModelSerializer[Reconciliation]):
    """One comparison; counts are null until it has ended."""

    pipeline_id = serializers.UUIDField(read_only=True)
    difference = serializers.IntegerField(
        read_only=True, allow_null=True, help_text=gettext_lazy("source_count − target_count")
    )
    status = serializers.ChoiceField(choices=ReconciliationStatus.choices, read_only=True)
    level = serializers.ChoiceField(choices=ReconciliationLevel.choices, read_only=True)
    sample = serializers.IntegerField(source="sample_size", read_only=True)
    requested_by = serializers.CharField(
        source="requested_by.username", read_only=True, allow_null=True, default=None
    )
    requested_at = Moment(read_only=True)
    started_at = Moment(read_only=True, allow_null=True)
    finished_at = Moment(read_only=True, allow_null=True)
    seconds = serializers.FloatField(read_only=True, allow_null=True)
    tolerances = serializers.DictField(child=serializers.FloatField(), read_only=True)
    key_columns = serializers.ListField(source="key", child=serializers.CharField(), read_only=True)
    notes = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Reconciliation
        fields: list[str] = [
            "pipeline_id",
            "source_count",
            "target_count",
            "difference",
            "status",
            "id",
            "level",
            "sample",
            "tolerances",
            "missing",
            "extra",
            "different",
            "waiting",
            "key_columns",
            "notes",
            "phase",
            "rows_done",
            "rows_of",
            "requested_by",
            "requested_at",
            "started_at",
            "finished_at",
            "seconds",
            "error_message",
            "error_code",
        ]
        read_only_fields = fields


class ReconciliationDetailSerializer(ReconciliationSerializer):
    """One comparison with its ranges and the rows that differ.

    Rows are for those who may compare; their values for those who may preview.
    """

    ranges = RangeSerializer(many=True, read_only=True)
    rows = serializers.SerializerMethodField()

    class Meta(ReconciliationSerializer.Meta):
        fields = [*ReconciliationSerializer.Meta.fields, "ranges", "rows"]
        read_only_fields = fields

    def get_rows(self, row: Reconciliation) -> list[Any]:
        """As much of the rows as the user may see."""
        return rows_for(row, self.context["request"].user)

    def to_representation(self, instance: Reconciliation) -> dict[str, Any]:
        """Borders of ranges are keys too."""
        shown: dict[str, Any] = super().to_representation(instance)
        if not may(self.context["request"].user, "reconcile"):
            shown["ranges"] = [part | {"low": None, "high": None} for part in shown["ranges"]]
        return shown


def rows_for(row: Reconciliation, user: Any) -> list[dict[str, Any]]:
    """The differing rows as `user` may see them."""
    if not may(user, "reconcile"):
        return []
    if may(user, "preview"):
        return list(row.rows)
    return [
        shown | {"changes": [{"column": one["column"]} for one in shown["changes"]]}
        for shown in row.rows
    ]


_TOLERANCES = gettext_lazy('Give numbers above 0 by the names of columns, like {"price": 0.01}.')
