"""Charts as the theme draws them: figures become the JSON that Chart.js takes."""

import itertools
import json
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Sum
from django.db.models.functions import TruncHour
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from pipelines.admin import cells
from pipelines.models import PipelineRun
from pipelines.states import RunStatus

_LINE = "var(--color-primary-500)"
#: Fewer points show nothing.
_LEAST_POINTS = 3
_HOURS = 24
#: Those of the badges, bright enough on both grounds.
_COLOURS = {
    RunStatus.SUCCESS: "#22c55e",
    RunStatus.FAILED: "#ef4444",
    RunStatus.PAUSED: "#f59e0b",
    RunStatus.CANCELLED: "#9ca3af",
    RunStatus.INTERRUPTED: "#c4b5fd",
    RunStatus.RUNNING: "#3b82f6",
}


def run_chart(run: PipelineRun) -> dict[str, str]:
    """Rows per second over the run, when it has ended and lasted long enough for a line."""
    if run.status == RunStatus.RUNNING or run.finished_at is None:
        return {}
    samples = [*run.samples.values_list("at", "rows_read"), (run.finished_at, run.rows_read)]
    if len(samples) < _LEAST_POINTS:
        return {}
    points = [
        ((at - run.started_at).total_seconds(), (rows - rows_before) / passed)
        for (before, rows_before), (at, rows) in itertools.pairwise(samples)
        if (passed := (at - before).total_seconds()) > 0
    ]
    data = {
        "labels": [f"{second:.0f}" for second, _rate in points],
        "datasets": [
            {
                "label": _("Rows per second"),
                "data": [round(rate) for _second, rate in points],
                "borderColor": _LINE,
                "pointRadius": 0,
                "tension": 0.2,
            }
        ],
    }
    return {"chart": json.dumps(data), "chart_options": json.dumps(_options(_("seconds")))}


def day_chart() -> dict[str, Any]:
    """Runs of the last 24 hours by the hour of their start, and the rows that they wrote."""
    first = _hour(timezone.now()) - timedelta(hours=_HOURS - 1)
    hours = [first + timedelta(hours=number) for number in range(_HOURS)]
    found = list(
        PipelineRun.objects.filter(started_at__gte=first)
        .order_by()
        .annotate(hour=TruncHour("started_at"))
        .values("hour", "status")
        .annotate(runs=Count("pk"), rows=Sum("rows_written"))
    )
    if not found:
        return {}
    counted = {(row["hour"], row["status"]): row["runs"] for row in found}
    data = {
        "labels": [formats.date_format(timezone.localtime(hour), "H:i") for hour in hours],
        "datasets": [
            {
                "label": str(RunStatus(status).label),
                "data": [counted.get((hour, status), 0) for hour in hours],
                "backgroundColor": colour,
                "stack": "runs",
                "maxBarThickness": 24,
            }
            for status, colour in _COLOURS.items()
            if any(found == status for _hour_, found in counted)
        ],
    }
    options = _options("")
    options["scales"]["x"]["stacked"] = options["scales"]["y"]["stacked"] = True
    options["scales"]["y"]["ticks"] = options["scales"]["y"]["ticks"] | {"precision": 0}
    options["plugins"]["legend"] = {"position": "bottom", "labels": {"boxWidth": 12}}
    return {
        "day_chart": json.dumps(data),
        "day_options": json.dumps(options),
        "day_runs": sum(counted.values()),
        "day_rows": cells.number(sum(row["rows"] for row in found)),
    }


def _hour(at: datetime) -> datetime:
    return timezone.localtime(at).replace(minute=0, second=0, microsecond=0)


def _options(unit: str) -> dict[str, Any]:
    ticks = {"color": "#9ca3af", "maxTicksLimit": 10}
    return {
        "animation": False,
        "maintainAspectRatio": False,
        "interaction": {"intersect": False, "mode": "index"},
        "plugins": {"legend": {"display": False}},
        "scales": {
            "x": {
                "ticks": ticks,
                "grid": {"display": False},
                "title": {"display": bool(unit), "text": unit},
            },
            "y": {"ticks": ticks, "beginAtZero": True, "border": {"display": False}},
        },
    }
