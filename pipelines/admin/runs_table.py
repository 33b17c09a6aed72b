"""Runs as lines of a table on another page; their own list and page are in `run`."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from pipelines.admin import cells
from pipelines.admin.said import said
from pipelines.models import PipelineRun


def runs_table(runs: Sequence[PipelineRun], *, named: bool = False) -> dict[str, Any]:
    """Headers and rows as the theme's table takes them; `named` has the pipeline's name
    first and no errors."""
    headers = [
        _("started"),
        _("result"),
        _("took"),
        _("rows read"),
        _("rows written"),
        _("trigger"),
    ]
    if named:
        names = [cells.link(cells.page_of(run.pipeline), cells.name(run.pipeline)) for run in runs]
        rows = [[name, *_line(run)] for name, run in zip(names, runs, strict=True)]
        return {"headers": [_("pipeline"), *headers], "rows": rows}
    rows = [[*_line(run), cells.shortened(said(run.error_message), 90)] for run in runs]
    return {"headers": [*headers, _("error")], "rows": rows}


def _line(run: PipelineRun) -> list[Any]:
    return [
        cells.link(cells.page_of(run), cells.moment(run.started_at)),
        cells.run_badge(run.status),
        cells.duration(run.started_at, run.finished_at),
        cells.number(run.rows_read),
        cells.number(run.rows_written),
        cells.asked(run),
    ]
