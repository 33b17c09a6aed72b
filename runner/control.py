"""What the main loop and the heartbeat thread of one run share: wishes, trust, progress."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from runner.journal import Journal

# How long a run may take to finish its batch after SIGTERM before it is abandoned.
STOP_SECONDS = 15.0


class Interruption(Exception):
    """Something outside the run ends it before its last row; not an error."""


class Fenced(Interruption):
    """Another worker holds this pipeline. Nothing may be written or settled any more."""


class CancelSeen(Interruption):
    """A person wants this run stopped at once."""


class PauseSeen(Interruption):
    """A person wants a pause, and no batch is open that would have to be finished first."""


class StopSeen(Interruption):
    """This worker must end (SIGTERM) and cannot finish its batch in time."""


@dataclass(kw_only=True)
class Progress:
    """How far the run is; counts are totals of the run, `seq` and `checkpoint_rows` of the
    checkpoint. Written by the main loop, read by the heartbeat.
    """

    phase: str = "connect"
    rows_read: int = 0
    rows_written: int = 0
    batches: int = 0
    value: str | None = None
    key: str | None = None
    seq: int = 0
    checkpoint_rows: int = 0


def clock() -> float:
    """Seconds on a clock that goes on while the machine sleeps, so that a lease is not
    trusted after a suspend."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@dataclass(kw_only=True)
class Control:
    """One run's wishes and trust.

    `generation` is what the heartbeat renews; a run that must take a higher one sets it.
    The heartbeat writes `pause`, `cancel`, `fenced` and `trusted_until`; signals set `stop`
    (finish the batch, hand back) and `leave` (roll back now). The main loop calls `tick` at least
    once a second and reads the rest.
    """

    lease: float
    trusted_until: float
    generation: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)
    progress: Progress = field(default_factory=Progress)
    journal: Journal = field(default_factory=Journal)
    pause: bool = False
    cancel: bool = False
    fenced: bool = False
    interruptible: bool = False
    rescuing: bool = False
    last_tick: float = field(default_factory=clock)
    stop_seen_at: float | None = None

    def tick(self) -> None:
        """Say that the main loop lives, and raise the Interruption that must not wait.

        `interruptible` is set while no batch is open (waiting for the first row): there a pause or
        a stop ends the run at once instead of after the batch. `rescuing` is set until a lost
        worker is fenced off: a cancel is obeyed only then, or its batch could still commit.
        """
        self.last_tick = clock()
        if self.fenced or self.last_tick > self.trusted_until:
            raise Fenced
        if self.cancel and not self.rescuing:
            raise CancelSeen
        if self.stop.is_set() and self.stop_seen_at is None:
            self.stop_seen_at = self.last_tick
        if self.leave.is_set() or self._stop_overdue():
            raise StopSeen
        if self.interruptible:
            self.between_batches()

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """A batch is open, or the load is being published: pause and stop wait for its end."""
        before, self.interruptible = self.interruptible, False
        try:
            yield
        finally:
            self.interruptible = before

    def between_batches(self) -> None:
        """No batch is open: raises PauseSeen or StopSeen when that is wanted."""
        if self.cancel:
            raise CancelSeen
        if self.pause:
            raise PauseSeen
        if self.stop.is_set():
            raise StopSeen

    def _stop_overdue(self) -> bool:
        return self.stop_seen_at is not None and clock() - self.stop_seen_at > STOP_SECONDS
