"""What the first page says of pipelines and workers, beside plain counts."""

from datetime import timedelta
from typing import Any

from django.db.models import OuterRef, Prefetch, Subquery

from pipelines.admin import cells
from pipelines.admin.worker import alive
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus

#: A pipeline is overdue after so many times its usual gap between two successes.
TIMES = 3
_MOST = 5
_MOST_WORKERS = 10
#: With fewer successes nothing is usual.
_LEAST_SUCCESSES = 4
#: Nobody is called for less: runs that somebody started by hand stand seconds apart.
_LEAST_LATENESS = timedelta(minutes=5)

_OVERDUE = """
SELECT p.*, g.last_success FROM pipelines_pipeline p CROSS JOIN LATERAL (
    SELECT max(s.finished_at) AS last_success, count(*) AS successes,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY s.gap) AS usual
    FROM (SELECT finished_at, finished_at - lead(finished_at) OVER (ORDER BY generation DESC) AS gap
        FROM pipelines_pipelinerun r WHERE r.pipeline_id = p.id AND r.status = %(success)s
        ORDER BY generation DESC LIMIT 20) s) g
WHERE p.enabled AND g.successes >= %(least)s AND g.usual > interval '0'
    AND now() - g.last_success > greatest(%(times)s * g.usual, %(late)s)
ORDER BY g.last_success LIMIT %(most)s
"""


def overdue() -> list[Any]:
    """Enabled pipelines that have not succeeded for longer than is usual for them, with
    `last_success`: 3 × the median gap of their last 20 successes, and at least
    five minutes.
    """
    parameters = {
        "success": RunStatus.SUCCESS,
        "least": _LEAST_SUCCESSES,
        "times": TIMES,
        "late": _LEAST_LATENESS,
        "most": _MOST,
    }
    return list(Pipeline.objects.raw(_OVERDUE, parameters))


def at_work() -> list[dict[str, Any]]:
    """What is running now, the longest first."""
    runs = PipelineRun.objects.filter(status=RunStatus.RUNNING).select_related("pipeline")
    return [
        {
            "pipeline": run.pipeline,
            "url": cells.page_of(run),
            "rows": cells.number(run.rows_read),
            "time": cells.duration(run.started_at, None),
        }
        for run in runs.defer("definition").order_by("started_at")[:_MOST]
    ]


def workers() -> dict[str, Any]:
    """The workers that are alive, with what each is doing, and whether there are more of them."""
    running = PipelineRun.objects.filter(pipeline=OuterRef("pk"), status=RunStatus.RUNNING)
    held = Pipeline.objects.only("name", "worker").annotate(
        since=Subquery(running.values("started_at")[:1])
    )
    found = list(
        alive()
        .prefetch_related(Prefetch("pipelines", queryset=held.order_by("name"), to_attr="held"))
        .order_by("label", "pid")[: _MOST_WORKERS + 1]
    )
    return {
        "workers": [_worker(row) for row in found[:_MOST_WORKERS]],
        "has_more_workers": len(found) > _MOST_WORKERS,
    }


def _worker(worker: Any) -> dict[str, Any]:
    return {
        "worker": worker,
        "url": cells.page_of(worker),
        "seen": cells.moment(worker.last_seen_at),
        "held": [
            {
                "pipeline": row,
                "url": cells.page_of(row),
                "time": cells.duration(row.since, None) if row.since else "",
            }
            for row in worker.held
        ],
    }
