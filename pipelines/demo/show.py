"""What the demo prints: progress bars while rows move, and the table of results."""

import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.models import Pipeline, PipelineRun
from pipelines.states import BADGES, RESTING, PipelineStatus, RunStatus

_COLOURS = {
    "success": "green",
    "danger": "red",
    "warning": "yellow",
    "info": "blue",
    "default": "dim",
}


def watch(
    console: Console,
    pipelines: Sequence[Pipeline],
    totals: Mapping[str, int | None],
    alive: Callable[[], bool],
) -> None:
    """Progress bars until every pipeline rests, or `alive` says that nobody moves rows."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[rows]:>9,} rows"),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {
            p.pk: progress.add_task(p.name, total=totals[p.name], status="waiting", rows=0)
            for p in pipelines
        }
        while alive():
            found = list(Pipeline.objects.filter(pk__in=bars).only("status", "name"))
            for pipeline in found:
                _update(progress, bars[pipeline.pk], pipeline, totals[pipeline.name])
            if all(pipeline.status in RESTING for pipeline in found):
                return
            time.sleep(0.1)


def results(console: Console, pipelines: Sequence[Pipeline]) -> bool:
    """The table of the newest runs; True when every one of them succeeded."""
    table = Table(title="What the runs did")
    for name in ("pipeline", "result"):
        table.add_column(name, no_wrap=True)
    for name in ("read", "written", "seconds", "rows/s"):
        table.add_column(name, justify="right")
    runs = [(p, p.runs.order_by("-generation").first()) for p in pipelines]
    for pipeline, run in runs:
        table.add_row(pipeline.name, *_facts(run))
    console.print(table)
    for pipeline, run in runs:
        if run is not None and run.error_message:
            console.print(f"[red]{pipeline.name}:[/red] {run.error_message}", highlight=False)
    return all(run is not None and run.status == RunStatus.SUCCESS for _pipeline, run in runs)


def _update(progress: Progress, bar: TaskID, pipeline: Pipeline, total: int | None) -> None:
    run = pipeline.runs.order_by("-generation").first()
    if run is None or pipeline.status == PipelineStatus.RUN_REQUESTED:
        return
    done = run.status != RunStatus.RUNNING
    # An incremental run may have less to read than the query has rows: done is full all the same.
    progress.update(
        bar,
        completed=run.rows_read,
        rows=run.rows_read,
        total=max(run.rows_read, 1) if done else total,
        status=_coloured(run.status),
    )
    if done and not run.rows_read:
        progress.update(bar, total=1, completed=1, status=f"{_coloured(run.status)}, nothing new")


def _facts(run: PipelineRun | None) -> list[str]:
    if run is None:
        return ["never ran", "", "", "", ""]
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else 0.0
    rate = f"{run.rows_read / seconds:,.0f}" if seconds and run.rows_read else "–"
    return [
        _coloured(run.status),
        f"{run.rows_read:,}",
        f"{run.rows_written:,}",
        f"{seconds:.2f}",
        rate,
    ]


def _coloured(status: str) -> str:
    colour = _COLOURS[BADGES[status]]
    return f"[{colour}]{RunStatus(status).label}[/{colour}]"
