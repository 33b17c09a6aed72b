"""The parent of several worker processes: starts, restarts and ends them; moves nothing itself."""

import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from runner.signals import LEAVE, STOP, Signals

log = logging.getLogger(__name__)

# A child that dies at once, again and again, must not keep the machine busy.
_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
_LIVED_WELL = 60.0
# Signals and the ends of children wake the parent; this is in case one is missed.
_LOOK_SECONDS = 5.0


@dataclass(kw_only=True)
class Child:
    """A worker process, and the pipe whose end tells it that this parent is gone."""

    process: subprocess.Popen[bytes]
    pipe: int
    started_at: float

    def tell(self, word: bytes) -> None:
        """Ask it to stop or to leave; one that has ended just now need not hear it."""
        with suppress(BrokenPipeError):
            os.write(self.pipe, word)


@dataclass(kw_only=True)
class Place:
    """One of the N places for a child; after early deaths it stays empty for a while."""

    child: Child | None = None
    early_deaths: int = 0
    free_at: float = 0.0

    def bury(self) -> int | None:
        """The exit code, once, of a child that has ended."""
        child = self.child
        if child is None or (code := child.process.poll()) is None:
            return None
        os.close(child.pipe)
        self.child = None
        now = time.monotonic()
        self.early_deaths = 0 if now - child.started_at > _LIVED_WELL else self.early_deaths + 1
        if self.early_deaths:
            longest = _FIRST_DELAY * 2.0 ** min(self.early_deaths - 1, 10)
            self.free_at = now + min(_LONGEST_DELAY, longest)
        return code


class Parent:
    """Keeps `count` workers at work until told to stop; with `once` each runs to its own end.

    `signals` must ring at the end of a child.
    """

    def __init__(self, count: int, signals: Signals, *, once: bool) -> None:
        self._places = [Place() for _ in range(count)]
        self._signals = signals
        self._once = once
        self._told = b""
        self._went_well = True

    def run(self) -> bool:
        """True when no child ended badly, the ones that were replaced left aside."""
        self._fill()
        while self._children() or not self._is_ending():
            self._signals.wait(self._patience())
            self._pass_on()
            self._bury()
            if not self._is_ending():
                self._fill()
        return self._went_well

    def _children(self) -> list[Child]:
        return [place.child for place in self._places if place.child]

    def _is_ending(self) -> bool:
        return self._once or self._signals.stop.is_set()

    def _fill(self) -> None:
        for place in self._places:
            if place.child is None and time.monotonic() >= place.free_at:
                place.child = _start(once=self._once)

    def _patience(self) -> float:
        """Seconds until a place becomes free again, or until a look does no harm."""
        now = time.monotonic()
        waits = [place.free_at - now for place in self._places if place.child is None]
        return min([_LOOK_SECONDS, *(max(wait, 0.0) for wait in waits)])

    def _pass_on(self) -> None:
        signals = self._signals
        word = LEAVE if signals.leave.is_set() else STOP if signals.stop.is_set() else b""
        if word != self._told:
            for child in self._children():
                child.tell(word)
        self._told = word

    def _bury(self) -> None:
        for place in self._places:
            code = place.bury()
            if code and self._is_ending():
                self._went_well = False
            elif code is not None and not self._is_ending():
                log.warning("A worker process ended with exit code %s; another follows.", code)


def _start(*, once: bool) -> Child:
    """A child with a session of its own: a Ctrl-C in our terminal reaches it through us only."""
    read_end, write_end = os.pipe()
    words = [sys.executable, str(settings.BASE_DIR / "manage.py"), "runpipelines"]
    words += ["--processes", "1", "--parent", str(read_end), *(["--once"] if once else [])]
    try:
        process = subprocess.Popen(  # noqa: S603 (our own program, no shell)
            words, stdin=subprocess.DEVNULL, pass_fds=[read_end], start_new_session=True
        )
    finally:
        os.close(read_end)
    return Child(process=process, pipe=write_end, started_at=time.monotonic())
