"""What the verbs of the lifecycle take, give and raise."""

from dataclasses import dataclass, field
from typing import Any

from pipelines.models import Pipeline, PipelineRun
from pipelines.states import PAUSE_REQUESTED, PipelineStatus

LOST = "The worker that ran this was lost: its lease ran out. Another worker has taken over."


class TransitionRefused(Exception):
    """A person asked for a move that does not start from the pipeline's status."""

    def __init__(self, *, status: str, verb: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.verb = verb
        self.sentence = sentence


class Superseded(Exception):
    """Another worker holds the pipeline: its generation or status is no longer ours."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A pipeline that this worker holds at `generation`.

    `was` is the status before the claim; `run` is None for a lost worker's pipeline until
    `replace_lost_run`, and for a pause that no worker had claimed.
    """

    pipeline: Pipeline
    was: PipelineStatus
    generation: int
    run: PipelineRun | None
    frozen: dict[str, Any]

    is_rescue: bool

    @property
    def is_unclaimed_pause(self) -> bool:
        """True when a pause was asked for before any worker had claimed."""
        return self.was == PAUSE_REQUESTED and not self.is_rescue


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run had done when it ended; counts are totals of the run.

    `value` and `key` are the checkpoint as people read it (None: leave what is shown).
    """

    rows_read: int = 0
    rows_written: int = 0
    batches: int = 0
    phase: str = ""
    publish: str = ""
    promise: str = ""
    resumed: bool = False
    value: str | None = None
    key: str | None = None
    seq: int = 0
    checkpoint_rows: int = 0
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run failed: a sentence for a person, the class and the SQLSTATE ("" when none)."""

    sentence: str
    error_class: str
    sqlstate: str = ""
