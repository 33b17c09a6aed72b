"""What keeps the list of all runs cheap, however many there are; the list is in `run`."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import smart_split, unescape_string_literal

from pipelines.admin import cells
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    Pages = Paginator[Any]
else:
    Pages = Paginator

#: Rows are counted up to here; what is older is found by a filter.
MOST_COUNTED = 10_000
_LATEST_RUNS = 200
_LATEST_PIPELINES = 10


class CappedPaginator(Pages):
    """Pages of the first 10,000 rows."""

    template_name = "admin/pagination_capped.html"

    @cached_property
    def counted(self) -> int:
        """How many rows there are, at most one more than are counted."""
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: MOST_COUNTED + 1].count()

    @cached_property
    def count(self) -> int:
        """How many rows have pages."""
        return min(self.counted, MOST_COUNTED)

    @property
    def is_capped(self) -> bool:
        """Whether there are more rows than have pages."""
        return self.counted > MOST_COUNTED

    @property
    def shown_count(self) -> str:
        """For people: 10,000+ where there are more."""
        more = "+" if self.is_capped else ""
        return f"{cells.number(self.count)}{more}"


class LatestPipelines(admin.RelatedFieldListFilter):
    """The pipelines that ran last, and the chosen one; hundreds are found by their names."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: Any
    ) -> "list[tuple[str, StrOrPromise]]":
        """At most ten, and the chosen one."""
        newest = PipelineRun.objects.order_by("-started_at", "-id").values_list("pipeline")
        keys = list(dict.fromkeys(key for (key,) in newest[:_LATEST_RUNS]))[:_LATEST_PIPELINES]
        chosen = Q(pk__in=_keys(list(self.lookup_val or [])))
        return list(Pipeline.objects.filter(Q(pk__in=keys) | chosen).values_list("pk", "name"))


def _keys(texts: list[str]) -> list[UUID]:
    """Those that can be keys; what cannot is refused where the rows are asked for."""
    with suppress(ValueError):
        return [UUID(texts[-1])] if texts else []
    return []


def search(runs: QuerySet[PipelineRun], text: str) -> QuerySet[PipelineRun]:
    """Runs for which each word is in the pipeline's name or in the error.

    By the indexes: names are looked up first, and only failed runs have an error.
    """
    for bit in smart_split(text):
        is_quoted = len(bit) > 1 and bit[0] in "\"'" and bit[0] == bit[-1]
        word = unescape_string_literal(bit) if is_quoted else bit
        named = list(Pipeline.objects.filter(name__icontains=word).values_list("pk", flat=True))
        told = Q(status=RunStatus.FAILED, error_message__icontains=word)
        runs = runs.filter(Q(pipeline__in=named) | told)
    return runs
