"""Pipelines that fail: which, since when and why; the panel, the filter and the figure of them."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from pipelines.admin import cells
from pipelines.admin.pipeline_verbs import RUN
from pipelines.models import Pipeline, PipelineRun
from pipelines.permissions import may
from pipelines.states import RunStatus

#: Failures are counted up to here; nobody needs to know how many more there are.
MOST_COUNTED = 500
#: With more than these together, the rest is behind a link.
LONGEST = 3
LATEST = 2

# Each part reads a few entries of the index (pipeline, generation) for each pipeline, however many
# runs there are: the newest run that ended, the last success, and what failed after it.
_FAILING = """
WITH failing AS (
    SELECT p.id, p.name, p.status, p.enabled, p.next_attempt_at, last.id AS run_id,
        last.finished_at AS failed_at, last.error_message AS error
    FROM pipelines_pipeline p CROSS JOIN LATERAL (
        SELECT id, status, finished_at, error_message FROM pipelines_pipelinerun r
        WHERE r.pipeline_id = p.id AND r.status <> %(running)s
        ORDER BY r.generation DESC LIMIT 1) last
    WHERE p.enabled AND last.status = %(failed)s),
counted AS (
    SELECT f.*, streak.* FROM failing f LEFT JOIN LATERAL (
        SELECT newest.generation FROM (
            SELECT generation, status FROM pipelines_pipelinerun r
            WHERE r.pipeline_id = f.id ORDER BY generation DESC LIMIT %(most)s) newest
        WHERE newest.status = %(success)s ORDER BY newest.generation DESC LIMIT 1) good ON true
    CROSS JOIN LATERAL (
        SELECT min(s.finished_at) AS since, count(*) AS failures FROM (
            SELECT finished_at FROM pipelines_pipelinerun r
            WHERE r.pipeline_id = f.id AND r.generation > coalesce(good.generation, 0)
                AND r.status = %(failed)s
            ORDER BY r.generation DESC LIMIT %(most)s) s) streak),
ranked AS (
    SELECT c.*, count(*) OVER () AS of_all,
        row_number() OVER (ORDER BY since, name) AS from_longest,
        row_number() OVER (ORDER BY since DESC, name DESC) AS from_latest
    FROM counted c)
SELECT * FROM ranked
WHERE of_all <= %(shown)s OR from_longest <= %(longest)s OR from_latest <= %(latest)s
ORDER BY from_longest
"""


def failing(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those of these pipelines whose newest run that ended has failed; not the disabled ones."""
    ended = PipelineRun.objects.filter(pipeline=OuterRef("pk")).exclude(status=RunStatus.RUNNING)
    newest = ended.order_by("-generation").values("status")[:1]
    ran: QuerySet[Any] = rows.filter(enabled=True).alias(result=Subquery(newest))
    return ran.filter(result=RunStatus.FAILED)


def how_many() -> int:
    """The number of all of them."""
    return failing(Pipeline.objects.order_by()).count()


def panel(request: HttpRequest) -> dict[str, Any]:
    """The longest and the latest failing ones, each with its sentence and its next step, and
    how many there are between them."""
    parameters = {
        "running": RunStatus.RUNNING,
        "failed": RunStatus.FAILED,
        "success": RunStatus.SUCCESS,
        "most": MOST_COUNTED,
        "shown": LONGEST + LATEST,
        "longest": LONGEST,
        "latest": LATEST,
    }
    found: list[Any] = list(Pipeline.objects.raw(_FAILING, parameters))
    every = found[0].of_all if found else 0
    return {
        "rows": [_line(request, row) for row in found],
        "number": every,
        "hidden": every - len(found),
        "hidden_after": LONGEST,
        "url": f"{cells.list_of(Pipeline)}?{FailingFilter.parameter_name}=1",
    }


def _line(request: HttpRequest, row: Any) -> dict[str, Any]:
    can_run = may(request.user, "run") and RUN.fits(row)
    return {
        "pipeline": row,
        "url": cells.page_of(row),
        "badge": cells.pipeline_badge(row.status),
        "failures": row.failures,
        "is_endless": row.failures >= MOST_COUNTED,
        "since": cells.moment(row.since),
        "failed_at": cells.moment(row.failed_at),
        "run_url": cells.page_of(PipelineRun(pk=row.run_id)),
        "error": row.error,
        "run_again": cells.page_of(row, "run") if can_run else "",
    }


class FailingFilter(admin.SimpleListFilter):
    """On the list of pipelines: those that fail."""

    title = _("result")
    parameter_name = "failing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """One choice beside all."""
        return [("1", _("failing"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The chosen ones."""
        return failing(queryset) if self.value() == "1" else queryset
