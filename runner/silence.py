"""A server that says nothing: does it still work for us, or has the connection died unnoticed?

Keepalives find out about a machine that is gone. They do not about a proxy or a load balancer
between us, whose own kernel goes on answering; so the server is asked over a second session. A
query that takes its time is no reason to give up, however long it takes.
"""

import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any

import psycopg

from runner.errors import RunError

log = logging.getLogger(__name__)

_LONGEST_ASK = 10.0
_SHORTEST_ASK = 2.0
_OURS = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_DOING = "SELECT state, wait_event_type FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
# One contradiction may be an answer that is on its way at this very moment; two are none.
_STRIKES = 2


class Answer(Enum):
    """What the second session found out about the first."""

    WORKS = "the server works for us, or waits for another of its sessions"
    WAITS = "the server waits for us, and we for it; or it cannot be reached"
    GONE = "the server knows nothing of our session"
    UNKNOWN = "the server is there and would not say"


class NoAnswer(Exception):
    """The second session got no answer in time either."""


#: Opens a second session with the same server; the argument raises when its time is over.
Probing = Callable[[Callable[[], None]], AbstractContextManager[psycopg.Connection[Any]]]


class Watch:
    """Counts the silence of `session`, and asks when it has lasted `limit` seconds."""

    def __init__(self, session: psycopg.Connection[Any], *, limit: float, probing: Probing) -> None:
        # Not libpq's process id, which a pooler between us makes up.
        self._backend = session.execute(_OURS).fetchone()
        self._limit = limit
        self._probing = probing
        self._since: float | None = None
        self._strikes = 0

    def heard(self) -> None:
        """The socket was ready: all is well."""
        self._since = None
        self._strikes = 0

    def silent(self) -> None:
        """A wait ended with nothing. Raises psycopg.OperationalError when nothing will come."""
        if self._since is None:
            self._since = time.monotonic()
        if time.monotonic() - self._since < self._limit:
            return
        answer = self._ask()
        self._since = time.monotonic()
        if answer in (Answer.WORKS, Answer.UNKNOWN):
            self._strikes = 0
            return
        self._strikes += _STRIKES if answer is Answer.GONE else 1
        log.warning("Not a byte for %g s: %s.", self._limit, answer.value)
        if self._strikes >= _STRIKES:
            raise psycopg.OperationalError("the connection died without a word")

    def _ask(self) -> Answer:
        until = time.monotonic() + min(max(self._limit, _SHORTEST_ASK), _LONGEST_ASK)

        def deadline() -> None:
            if time.monotonic() > until:
                raise NoAnswer

        try:
            with self._probing(deadline) as second:
                return _meant(second.execute(_DOING, self._backend).fetchone())
        except RunError as refusal:
            return _refused(str(refusal.__cause__))
        except (NoAnswer, psycopg.Error):
            return Answer.WAITS


def _meant(row: tuple[Any, ...] | None) -> Answer:
    """What our backend's row says."""
    if row is None:
        return Answer.GONE
    state, waits_for = row
    if state is None:
        return Answer.UNKNOWN
    # Where track_activities is off, only the wait can tell.
    is_busy = state in ("active", "disabled") and waits_for != "Client"
    return Answer.WORKS if is_busy else Answer.WAITS


def _refused(said: str) -> Answer:
    """What it says about the first session that there is no second."""
    if re.search(r"starting up|recovery mode|not yet accepting", said):
        return Answer.GONE
    # Any other word of the server's own is no fault of the session: no free slot, say, or that it
    # stops when all sessions have ended. libpq puts the severity, in the server's language, and
    # two spaces before such words.
    return Answer.UNKNOWN if re.search(r": \S+:  ", said) else Answer.WAITS
