"""Pipelines put into a status for a test, with everything a pipeline in that status has."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from pipelines.definition import freeze
from pipelines.lifecycle import Claim
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import ACTIVE, PAUSE_REQUESTED, RUNNING, PipelineStatus, RunStatus
from tests.factories import PipelineFactory, RunFactory, WorkerFactory

GENERATION = 3


def standing(status: PipelineStatus, *, lease: float | None = 30.0, **columns: Any) -> Pipeline:
    """A pipeline in `status`; held by a worker, with a run, when active and `lease` is given."""
    pipeline = PipelineFactory()
    # A test is one transaction, and the claim asks for what was due when that began.
    due = Now() - timedelta(minutes=1)
    facts: dict[str, Any] = {"status": status, "generation": GENERATION, "next_attempt_at": due}
    if status in ACTIVE and lease is not None:
        facts |= {"lease_until": Now() + timedelta(seconds=lease), "worker": WorkerFactory()}
        facts |= {"attempt": 1}
        RunFactory(pipeline=pipeline, generation=GENERATION, status=RunStatus.RUNNING)
    Pipeline.objects.filter(pk=pipeline.pk).update(**(facts | columns))
    pipeline.refresh_from_db()
    return pipeline


def unclaimed_pause() -> Pipeline:
    """A pause asked for before any worker had claimed."""
    return standing(PAUSE_REQUESTED, lease=None)


def holding(pipeline: Pipeline, **facts: Any) -> Claim:
    """The claim that a worker holds on `pipeline`, as `standing` left it."""
    return Claim(
        **{
            "pipeline": pipeline,
            "was": RUNNING,
            "generation": pipeline.generation,
            "run": PipelineRun.objects.filter(pipeline=pipeline, status=RunStatus.RUNNING).first(),
            "frozen": freeze(pipeline),
            "is_rescue": False,
            **facts,
        }
    )


def row(pipeline: Pipeline) -> dict[str, Any]:
    """Every column of the pipeline and of its runs, for "nothing changed"."""
    return {
        "pipeline": Pipeline.objects.filter(pk=pipeline.pk).values().get(),
        "runs": list(pipeline.runs.order_by("generation").values()),
    }


def status(pipeline: Pipeline) -> str:
    """The status in the database."""
    return Pipeline.objects.values_list("status", flat=True).get(pk=pipeline.pk)


def events(pipeline: Pipeline) -> list[str]:
    """What the history says, oldest first."""
    return list(pipeline.events.order_by("id").values_list("event", flat=True))
