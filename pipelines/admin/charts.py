"""Charts as the theme draws them: figures become the JSON that Chart.js takes."""

import itertools
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, DateTimeField, Func, Sum, Value
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines.admin import cells
from pipelines.models import PipelineRun
from pipelines.states import RunStatus

#: Read on light and on dark.
_FAINT = "#8b929e"
_LINE = "var(--color-primary-500)"
#: Fewer points show nothing.
_LEAST_POINTS = 3
_HOURS = 24
_LAST_RUNS = 50
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


def history_charts(key: UUID) -> list[dict[str, str]]:
    """How long the pipeline's last 50 runs took and how many rows they wrote, oldest first."""
    rows = PipelineRun.objects.filter(pipeline=key, finished_at__isnull=False)
    newest = rows.order_by("-generation").values_list(
        "started_at", "finished_at", "rows_written", "status"
    )
    runs = [*newest[:_LAST_RUNS]][::-1]
    if len(runs) < _LEAST_POINTS:
        return []
    labels = [
        formats.date_format(timezone.localtime(started), "SHORT_DATETIME_FORMAT")
        for started, *_rest in runs
    ]
    colours = [_COLOURS[RunStatus(status)] for *_rest, status in runs]
    seconds = [
        (finished - started).total_seconds() for started, finished, *_rest in runs if finished
    ]
    written = [rows for *_rest, rows, _status in runs]
    return [
        {
            "title": ngettext(
                "Seconds, last %(count)d run", "Seconds, last %(count)d runs", len(runs)
            )
            % {"count": len(runs)},
            "words": _("Between %(least)s and %(most)s; the last one %(last)s.")
            % _spread(seconds, cells.lasting),
            **_bars(labels, colours, [round(number, 2) for number in seconds], _("Seconds")),
        },
        {
            "title": ngettext(
                "Rows written, last %(count)d run", "Rows written, last %(count)d runs", len(runs)
            )
            % {"count": len(runs)},
            "words": _("Between %(least)s and %(most)s; the last one %(last)s.")
            % _spread(written, cells.number),
            **_bars(labels, colours, written, _("Rows written")),
        },
    ]


def _spread(values: list[Any], said: Callable[[Any], str]) -> dict[str, str]:
    return {"least": said(min(values)), "most": said(max(values)), "last": said(values[-1])}


def _bars(
    labels: list[str], colours: list[str], values: Sequence[float], label: str
) -> dict[str, str]:
    data = {
        "labels": labels,
        "datasets": [
            {
                "label": label,
                "data": values,
                "backgroundColor": colours,
                "maxBarThickness": 24,
                "minBarLength": 2,
            }
        ],
    }
    options = _options("")
    options["scales"]["x"]["ticks"] = {"display": False}
    return {"data": json.dumps(data), "options": json.dumps(options)}


def day_chart(now: datetime | None = None) -> dict[str, Any]:
    """Runs of the last 24 hours by the hour of their start, and the rows that they wrote."""
    hours = _hours_until(now or timezone.now())
    first = hours[0]
    found = list(
        PipelineRun.objects.filter(started_at__gte=first)
        .order_by()
        .annotate(hour=_hour_since(first))
        .values("hour", "status")
        .annotate(runs=Count("pk"), rows=Sum("rows_written"))
    )
    if not found:
        return {}
    counted = {(row["hour"], row["status"]): row["runs"] for row in found}
    data = {
        "labels": _labels(hours),
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
    options["plugins"]["legend"] = {
        "position": "bottom",
        "labels": {"boxWidth": 12, "color": _FAINT},
    }
    return {
        "day_chart": json.dumps(data),
        "day_options": json.dumps(options),
        "day_runs": sum(counted.values()),
        "day_rows": cells.number(sum(row["rows"] for row in found)),
    }


def _hours_until(now: datetime) -> list[datetime]:
    """The beginnings of the last 24 hours, this one the last, as the reader's clock strikes them.

    Each lasts sixty minutes: reckoned in UTC, where no hour is left out or comes twice.
    """
    local = timezone.localtime(now)
    passed = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    last = now.astimezone(UTC) - passed
    return [last - timedelta(hours=number) for number in reversed(range(_HOURS))]


def _hour_since(first: datetime) -> Func:
    """In which of those hours a run started; the database need not know the reader's zone."""
    return Func(
        Value(timedelta(hours=1)),
        "started_at",
        Value(first),
        function="date_bin",
        output_field=DateTimeField(),
    )


def _labels(hours: list[datetime]) -> list[str]:
    """What the clock shows; with the zone where it shows the same twice, being put back."""
    shown = [formats.date_format(timezone.localtime(hour), "H:i") for hour in hours]
    return [
        f"{label} {cells.zone_of(hour)}" if shown.count(label) > 1 else label
        for label, hour in zip(shown, hours, strict=True)
    ]


def _options(unit: str) -> dict[str, Any]:
    ticks = {"color": _FAINT, "maxTicksLimit": 10}
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
