"""The states of pipelines and runs and every move between them, as data; no database here."""

from dataclasses import dataclass
from enum import Enum

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class PipelineStatus(TextChoices):
    """Where a pipeline is between one request to run and the next."""

    IDLE = "IDLE", _("Idle")
    RUN_REQUESTED = "RUN_REQUESTED", _("Run requested")
    RUNNING = "RUNNING", _("Running")
    PAUSE_REQUESTED = "PAUSE_REQUESTED", _("Pause requested")
    PAUSED = "PAUSED", _("Paused")
    FAILED = "FAILED", _("Failed")


class RunStatus(TextChoices):
    """How an execution attempt stands or ended; only RUNNING is not final."""

    RUNNING = "RUNNING", _("Running")
    SUCCESS = "SUCCESS", _("Success")
    FAILED = "FAILED", _("Failed")
    PAUSED = "PAUSED", _("Paused")
    CANCELLED = "CANCELLED", _("Cancelled")
    INTERRUPTED = "INTERRUPTED", _("Interrupted")


class By(Enum):
    """Who may make a move."""

    PERSON = "person"
    WORKER = "worker"


@dataclass(frozen=True, kw_only=True)
class Move:
    """One line of the state table: where `event` leads from each status of `sources`.

    `run` is the status that the run gets, None where no run ends by this move.
    """

    event: str
    sources: tuple[PipelineStatus, ...]
    target: PipelineStatus
    by: By
    run: RunStatus | None = None


IDLE = PipelineStatus.IDLE
RUN_REQUESTED = PipelineStatus.RUN_REQUESTED
RUNNING = PipelineStatus.RUNNING
PAUSE_REQUESTED = PipelineStatus.PAUSE_REQUESTED
PAUSED = PipelineStatus.PAUSED
FAILED = PipelineStatus.FAILED

#: A worker may hold the pipeline: its run is in progress or being stopped.
ACTIVE = (RUNNING, PAUSE_REQUESTED)
#: The definition must not change under a run that was asked for or is in progress.
BUSY = (RUN_REQUESTED, *ACTIVE)
#: Nothing is asked of any worker.
RESTING = (IDLE, PAUSED, FAILED)


def _person(event: str, sources: tuple[PipelineStatus, ...], target: PipelineStatus) -> Move:
    return Move(event=event, sources=sources, target=target, by=By.PERSON)


def _worker(
    event: str,
    sources: tuple[PipelineStatus, ...],
    target: PipelineStatus,
    run: RunStatus | None = None,
) -> Move:
    return Move(event=event, sources=sources, target=target, by=By.WORKER, run=run)


#: Every move there is. `lifecycle` makes them, tests walk through them, the README draws them.
MOVES: tuple[Move, ...] = (
    _person("run", RESTING, RUN_REQUESTED),
    _person("run again", (RUN_REQUESTED,), RUN_REQUESTED),
    _person("disable", (RUN_REQUESTED,), IDLE),
    _person("pause", (RUN_REQUESTED, RUNNING), PAUSE_REQUESTED),
    _person("cancel", (RUN_REQUESTED, PAUSED), IDLE),
    _worker("claim", (RUN_REQUESTED,), RUNNING),
    _worker("pause unclaimed", (PAUSE_REQUESTED,), PAUSED),
    _worker("rescue", (RUNNING,), RUNNING, RunStatus.FAILED),
    _worker("rescue paused", (PAUSE_REQUESTED,), PAUSED, RunStatus.FAILED),
    _worker("finish", ACTIVE, IDLE, RunStatus.SUCCESS),
    _worker("cancelled", ACTIVE, IDLE, RunStatus.CANCELLED),
    _worker("paused", (PAUSE_REQUESTED,), PAUSED, RunStatus.PAUSED),
    _worker("fail", ACTIVE, FAILED, RunStatus.FAILED),
    _worker("retry", (RUNNING,), RUN_REQUESTED, RunStatus.FAILED),
    _worker("fail paused", (PAUSE_REQUESTED,), PAUSED, RunStatus.FAILED),
    _worker("hand back", (RUNNING,), RUN_REQUESTED, RunStatus.INTERRUPTED),
)

#: What a person may ask and from where it is refused (the guard of each verb is the rest).
REFUSED: dict[str, tuple[PipelineStatus, ...]] = {
    "run": ACTIVE,
    "pause": (IDLE, FAILED),
    "cancel": (IDLE, FAILED),
}

#: Colours of badges, by the names of the admin theme's label variants.
BADGES: dict[str, str] = {
    IDLE: "default",
    RUN_REQUESTED: "info",
    RUNNING: "info",
    PAUSE_REQUESTED: "warning",
    PAUSED: "warning",
    FAILED: "danger",
    RunStatus.SUCCESS: "success",
    RunStatus.CANCELLED: "default",
    RunStatus.INTERRUPTED: "warning",
}


def moves(event: str) -> Move:
    """The move named `event`; KeyError when there is none."""
    return _BY_EVENT[event]


_BY_EVENT = {move.event: move for move in MOVES}
