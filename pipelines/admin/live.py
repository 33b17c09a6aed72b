"""A run while it goes on, in figures: what the panels show that ask themselves again."""

from collections.abc import Iterator
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from pipelines.admin import cells
from pipelines.choices import Mode
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import RunStatus


def figures(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Label and value of each figure of the run that is going on; none before it began."""
    run = PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.RUNNING).first()
    return [] if run is None else list(_figures(run))


def share_done(run: PipelineRun) -> int | None:
    """How much of a full load is read, in percent of what the last one read; None: unknown."""
    if run.definition.get("mode") != Mode.FULL:
        return None
    before = PipelineRun.objects.filter(pipeline=run.pipeline_id, status=RunStatus.SUCCESS)
    total = before.order_by("-generation").values_list("rows_read", flat=True).first()
    return min(99, 100 * run.rows_read // total) if total else None


def _figures(run: PipelineRun) -> Iterator[tuple[str, Any]]:
    passed = max((timezone.now() - run.started_at).total_seconds(), 0.001)
    yield _("Rows read"), cells.number(run.rows_read)
    yield _("Rows written"), cells.number(run.rows_written)
    yield _("Rows/s"), cells.number(round(run.rows_read / passed))
    yield _("Batches"), cells.number(run.batches)
    yield _("Elapsed"), cells.duration(run.started_at, None)
    share = share_done(run)
    if share is None:
        return
    yield _("Of what the last load read"), f"{share} %"
    if share:
        yield _("Left, about"), cells.lasting(passed * (100 - share) / share)
