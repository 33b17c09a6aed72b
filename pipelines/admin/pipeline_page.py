"""What stands around the form on a pipeline's page: its standing, checkpoint and last runs."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipelines.admin import cells, duplicating, live
from pipelines.admin.charts import history_charts
from pipelines.admin.compared_last import compared_last
from pipelines.admin.runs_table import runs_table
from pipelines.admin.said import said
from pipelines.admin.verbs import Button
from pipelines.admin.words import PHASES
from pipelines.admin.worker import alive
from pipelines.choices import Mode
from pipelines.models import Pipeline, PipelineRun, PipelineState, Reconciliation, RunEvent
from pipelines.permissions import may
from pipelines.states import (
    ACTIVE,
    BUSY,
    FAILED,
    IDLE,
    PAUSE_REQUESTED,
    PAUSED,
    RUN_REQUESTED,
    RUNNING,
    RunStatus,
)
from pipelines.validation import warnings_for

_LAST_RUNS = 10

#: The page's tabs; an id is that of the part in the page, and the fragment of its address.
_PARTS = (
    {"id": "general", "label": gettext_lazy("Status and runs")},
    {"id": "definition", "label": gettext_lazy("Definition")},
    {"id": "changes", "label": gettext_lazy("Changes")},
)


def facts(
    request: HttpRequest, key: UUID, buttons: Callable[[HttpRequest, Any], list[Button]]
) -> dict[str, Any]:
    """The context of the page's panels, read anew: the form may hold a row with wrong values."""
    pipeline = Pipeline.objects.with_last_run().get(pk=key)
    offered = buttons(request, pipeline)
    sees_runs = may(request.user, "view runs")
    compared = compared_last(request, pipeline)
    is_moving = pipeline.status in BUSY or (compared is not None and compared["is_open"])
    return {
        "parts": _PARTS,
        "panel": {
            "badge": cells.pipeline_badge(pipeline.status),
            "sentence": _standing(pipeline),
            "error": _error(pipeline),
            "is_enabled": pipeline.enabled,
            "is_locked": pipeline.status in BUSY and may(request.user, "edit"),
            "starts_again": pipeline.mode == Mode.FULL
            and any(button.name == "pause" for button in offered),
            "warnings": warnings_for(pipeline),
            "buttons": [
                *(button for button in offered if button.name != "reset"),
                *_duplicate(request, key),
            ],
            "reset": next((button for button in offered if button.name == "reset"), None),
        },
        "progress": live.figures(pipeline) if pipeline.status in ACTIVE else None,
        # Asks itself again as long as somebody is at work, and then no more.
        "live_url": cells.page_of(pipeline, "live") if is_moving else None,
        "checkpoint": _checkpoint(pipeline),
        "compared": compared,
        "runs": runs_table(_last_runs(key)) if sees_runs else None,
        "charts": history_charts(key) if sees_runs else [],
        "runs_url": f"{cells.list_of(PipelineRun)}?pipeline__id__exact={key}",
    }


def _error(pipeline: Any) -> str | None:
    """Why the newest run failed, until another one has begun."""
    failed = pipeline.last_run_status == RunStatus.FAILED
    told = failed and pipeline.status in (FAILED, PAUSED, RUN_REQUESTED)
    return said(pipeline.last_run_error) if told or pipeline.status == FAILED else None


def _duplicate(request: HttpRequest, key: UUID) -> list[Button]:
    if not may(request.user, "create"):
        return []
    button = Button(
        name="duplicate",
        label=_("Duplicate"),
        icon="content_copy",
        url=duplicating.address(key),
        asks=True,
        variant="default",
    )
    return [button]


def _last_runs(key: UUID) -> Sequence[PipelineRun]:
    rows = PipelineRun.objects.filter(pipeline=key).order_by("-generation")
    return list(rows.defer("definition")[:_LAST_RUNS])


def _standing(pipeline: Any) -> str:
    """One sentence on what is going on."""
    if pipeline.cancel_requested_at is not None and pipeline.status in ACTIVE:
        return _("The run is being cancelled.")
    if pipeline.status == RUN_REQUESTED:
        return _waiting(pipeline)
    if pipeline.status == RUNNING:
        return _running(pipeline)
    resting = {
        IDLE: _last(pipeline),
        PAUSE_REQUESTED: _("The run is paused as soon as the open batch is committed."),
        PAUSED: _("The next run goes on from the checkpoint.")
        if PipelineState.objects.filter(pipeline=pipeline.pk).exists()
        else _("The next run starts again from the beginning."),
        FAILED: _("The last run failed. The next one starts when you ask for it."),
    }
    return resting[pipeline.status]


def _last(pipeline: Any) -> str:
    when = cells.how_long_ago(pipeline.last_run_finished_at or timezone.now())
    if pipeline.last_run_status == RunStatus.SUCCESS:
        return _("The last run ended well %(when)s; rows written: %(rows)s.") % {
            "when": when,
            "rows": cells.number(pipeline.last_run_rows_written),
        }
    if pipeline.last_run_status == RunStatus.CANCELLED:
        return _("The last run was cancelled %(when)s.") % {"when": when}
    return _("It has not run yet.") if pipeline.last_run_id is None else _("It waits to be run.")


def _waiting(pipeline: Any) -> str:
    if not pipeline.enabled:
        return _("A run is requested, but the pipeline is disabled.")
    if pipeline.next_attempt_at > timezone.now():
        return _("A worker will try again %(when)s.") % {
            "when": cells.how_long_ago(pipeline.next_attempt_at)
        }
    if not alive().exists():
        return _(
            "A run is requested, but no worker is there to take it. "
            "Start one: python manage.py runpipelines"
        )
    return _("A run is requested and waits for a worker.")


def _running(pipeline: Any) -> str:
    run = PipelineRun.objects.filter(pipeline=pipeline.pk, status=RunStatus.RUNNING).first()
    if run is None:
        return _("A worker was lost; another one takes over.")
    return _("A worker is %(phase)s: %(read)s rows read and %(written)s written in %(time)s.") % {
        "phase": PHASES.get(run.phase, _("starting")),
        "read": cells.number(run.rows_read),
        "written": cells.number(run.rows_written),
        "time": cells.duration(run.started_at, None),
    }


def _checkpoint(pipeline: Pipeline) -> dict[str, Any]:
    state = PipelineState.objects.filter(pipeline=pipeline).first()
    if pipeline.mode == Mode.FULL:
        return {"none": _("A full load reads everything each time and needs no checkpoint.")}
    if state is None:
        return {"none": _("None yet: the next run reads everything.")}
    return {
        "value": state.last_processed_value,
        "key": state.last_processed_id,
        "rows": cells.number(state.rows),
        "batches": cells.number(state.seq),
        "at": cells.moment(state.updated_at),
        "promise": said(state.promise),
    }


def deletion(pipelines: list[Pipeline]) -> tuple[list[str], dict[Any, int], set[str], list[str]]:
    """What goes with these pipelines, in the form that Django's confirmation page wants."""
    runs = PipelineRun.objects.filter(pipeline__in=pipelines).count()
    events = RunEvent.objects.filter(pipeline__in=pipelines).count()
    comparisons = Reconciliation.objects.filter(pipeline__in=pipelines).count()
    counts: dict[Any, int] = {
        Pipeline._meta.verbose_name_plural: len(pipelines),
        PipelineRun._meta.verbose_name_plural: runs,
        RunEvent._meta.verbose_name_plural: events,
        Reconciliation._meta.verbose_name_plural: comparisons,
    }
    return [str(pipeline) for pipeline in pipelines], counts, set(), []
