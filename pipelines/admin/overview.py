"""What the first page says of pipelines and workers, beside plain counts."""

from typing import Any

from pipelines.admin import cells
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus

#: A pipeline is overdue after so many times its usual gap between two successes.
TIMES = 3
_MOST = 5
#: With fewer successes nothing is usual.
_LEAST_SUCCESSES = 4

_OVERDUE = """
SELECT p.*, g.last_success FROM pipelines_pipeline p CROSS JOIN LATERAL (
    SELECT max(s.finished_at) AS last_success, count(*) AS successes,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY s.gap) AS usual
    FROM (SELECT finished_at, finished_at - lead(finished_at) OVER (ORDER BY generation DESC) AS gap
        FROM pipelines_pipelinerun r WHERE r.pipeline_id = p.id AND r.status = %(success)s
        ORDER BY generation DESC LIMIT 20) s) g
WHERE p.enabled AND g.successes >= %(least)s AND g.usual > interval '0'
    AND now() - g.last_success > %(times)s * g.usual
ORDER BY g.last_success LIMIT %(most)s
"""


def overdue() -> list[Any]:
    """Enabled pipelines that have not succeeded for longer than is usual for them, with
    `last_success`: 3 × the median gap of their last 20 successes.
    """
    parameters = {
        "success": RunStatus.SUCCESS,
        "least": _LEAST_SUCCESSES,
        "times": TIMES,
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
