"""What a run tells people while it goes on: a bounded list of sentences, never a row's values."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from runner.words import plain

MOST_LINES = 500
MOST_CHARACTERS = 2000
_LAST = "The log is full: what follows is in the worker's own log."


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line; `number` counts from 0."""

    number: int
    at: datetime
    level: str
    text: str


class Journal:
    """Written by the main loop, emptied by the heartbeat."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Line] = []
        self._count = 0

    def say(self, text: str, *, level: str = "INFO") -> None:
        """One more line; after MOST_LINES nothing more is kept."""
        with self._lock:
            if self._count < MOST_LINES:
                is_last = self._count == MOST_LINES - 1
                self._waiting.append(
                    Line(
                        number=self._count,
                        at=datetime.now(UTC),
                        level=level,
                        text=_LAST if is_last else plain(text, most=MOST_CHARACTERS),
                    )
                )
                self._count += 1

    def take(self) -> list[Line]:
        """What has not been taken yet."""
        with self._lock:
            lines, self._waiting = self._waiting, []
        return lines

    def put_back(self, lines: list[Line]) -> None:
        """They could not be written: next time."""
        with self._lock:
            self._waiting = lines + self._waiting
