"""Filters of the list of pipelines; a wrong value is an error, never passed over."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from pipelines.choices import Mode, PipelineType
from pipelines.searching import MOST_SEARCHED, MOST_WORDS
from pipelines.states import PipelineStatus

ORDERINGS = (
    "name",
    "type",
    "mode",
    "enabled",
    "status",
    "target_table",
    "batch_size",
    "created_at",
    "updated_at",
)


def few_words(text: str) -> None:
    """Raise ValidationError for more words than are looked for."""
    if len(text.split()) > MOST_WORDS:
        raise ValidationError(_("Search for at most %(most)d words."), params={"most": MOST_WORDS})


def _one_of(choices: list[str]) -> dict[str, Any]:
    sentence = _("“%(value)s” is not one of the possible values: {choices}.")
    return {"invalid_choice": format_lazy(sentence, choices=", ".join(choices))}


@extend_schema_field(OpenApiTypes.BOOL)
class FlagFilter(filters.TypedChoiceFilter):  # type: ignore[misc]  # django-filter has no types
    """`true` or `false`, nothing else."""

    def __init__(self, **kwargs: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        kwargs |= {"choices": choices, "coerce": lambda value: value == "true"}
        super().__init__(error_messages=_one_of(["true", "false"]), **kwargs)


class PipelineFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """What the list of pipelines can be narrowed by, and its order."""

    status = filters.ChoiceFilter(
        choices=PipelineStatus.choices, error_messages=_one_of(PipelineStatus.values)
    )
    type = filters.ChoiceFilter(
        choices=PipelineType.choices, error_messages=_one_of(PipelineType.values)
    )
    mode = filters.ChoiceFilter(choices=Mode.choices, error_messages=_one_of(Mode.values))
    enabled = FlagFilter()
    search = filters.CharFilter(
        method="find",
        label=_("Words in the name, the description or the target table"),
        max_length=MOST_SEARCHED,
        validators=[few_words],
    )
    ordering = filters.OrderingFilter(
        fields=ORDERINGS,
        error_messages=_one_of([*ORDERINGS, *(f"-{name}" for name in ORDERINGS)]),
    )

    def find(self, rows: QuerySet[Any], _name: str, text: str) -> QuerySet[Any]:
        """Pipelines in which every word occurs."""
        found: QuerySet[Any] = rows.filter(
            *(
                Q(name__icontains=word)
                | Q(description__icontains=word)
                | Q(target_table__icontains=word)
                for word in text.split()
            )
        )
        return found

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows, in an order without ties, so that pages neither repeat nor miss any."""
        rows: QuerySet[Any] = super().filter_queryset(queryset)
        return rows.order_by(*rows.query.order_by, "name")
