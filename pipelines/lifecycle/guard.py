"""The guarded UPDATE of every verb, the event written beside it, and the refusals' sentences."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from pipelines.lifecycle.values import Claim, Superseded, TransitionRefused
from pipelines.models import Pipeline, PipelineRun, RunEvent
from pipelines.querysets import WAKE_CHANNEL
from pipelines.states import RUN_REQUESTED, Move, PipelineStatus, moves

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


def wake() -> None:
    """Tell the waiting workers, when this transaction commits, that there is something to do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [WAKE_CHANNEL])


def refusal(pipeline: UUID, verb: str) -> TransitionRefused:
    """Why `verb` is refused now. Raises Pipeline.DoesNotExist."""
    row = Pipeline.objects.only("status", "enabled").get(pk=pipeline)
    why = "disabled" if verb == "run" and not row.enabled else row.status
    sentence = _REFUSALS.get((verb, why)) or _REFUSALS[verb, ""]
    return TransitionRefused(status=row.status, verb=verb, sentence=str(sentence))


_REFUSALS: "dict[tuple[str, str], StrOrPromise]" = {
    ("run", "disabled"): _("The pipeline is disabled. Enable it, then run it."),
    ("run", "RUNNING"): _("The pipeline is running already. Wait for the run to end, or pause it."),
    ("run", ""): _("The pipeline is being paused. Run it again when it is paused."),
    ("repair", "RUN_REQUESTED"): _(
        "A run is requested already. Wait for it to end, or cancel it; then compare again."
    ),
    ("repair", ""): _("A run is active. Wait for it to end, then compare again."),
    ("pause", ""): _("There is nothing to pause: no run is requested or running."),
    ("cancel", ""): _("There is nothing to cancel: no run is requested, running or paused."),
    ("edit", ""): _(
        "What defines the data (type, mode, query, table, connections, keys) cannot change while "
        "a run is requested or running. Pause or cancel it first."
    ),
    ("reset", ""): _(
        "The checkpoint cannot be reset while a run is active. Pause or cancel it first."
    ),
    ("delete", ""): _(
        "The pipeline cannot be deleted while a run is active. Pause or cancel it first."
    ),
}


def change(rows: Any, move: Move, **columns: Any) -> bool:
    guarded = rows.filter(status__in=move.sources)
    return bool(guarded.update(status=move.target, status_changed_at=Now(), **columns))


def status_of(pipeline: UUID) -> PipelineStatus:
    return PipelineStatus(Pipeline.objects.values_list("status", flat=True).get(pk=pipeline))


def record(
    pipeline: UUID,
    move: Move,
    *,
    by: Any = None,
    run: PipelineRun | None = None,
    worker: UUID | None = None,
    message: str = "",
) -> None:
    event_of(
        pipeline,
        event=move.event,
        to_status=move.target,
        by=by,
        run=run,
        worker_id=worker,
        message=message,
    )


def event_of(pipeline: UUID, **facts: Any) -> None:
    RunEvent.objects.create(pipeline_id=pipeline, **facts)


class Way(NamedTuple):
    """An event that may end a claim, where `guard` holds too, and the columns it writes."""

    event: str
    guard: Mapping[str, Any] = MappingProxyType({})
    columns: Mapping[str, Any] = MappingProxyType({})


# What people wished for between our last look and the settle decides inside its UPDATE: a cancel
# that was answered with "asked" must not be forgotten by a pause, a retry or a handover.
ENABLED = {"enabled": True}
CANCELLED = {"cancel_requested_at__isnull": False}
NOT_CANCELLED = {"cancel_requested_at__isnull": True}


def settle(held: Claim, *ways: Way) -> Move:
    """Leave the pipeline, held by nobody, by the first way that is open. Raises Superseded."""
    released = {"worker": None, "lease_until": None, "cancel_requested_at": None}
    # What is tried again is what was asked for; everything else ends a repair.
    over = {"repair": None, "repair_limit": None}
    for way in ways:
        rows = Pipeline.objects.filter(pk=held.pipeline.pk, generation=held.generation, **way.guard)
        ends = {} if moves(way.event).target == RUN_REQUESTED else over
        if change(rows, moves(way.event), **released, **ends, **way.columns):
            return moves(way.event)
    raise Superseded
