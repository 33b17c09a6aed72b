"""Our own limit on what a server may take, beside its statement_timeout, which it may ignore.

A function on the server can swallow the server's time limit (plpgsql: WHEN query_canceled). So we
look at the clock ourselves at each wait of a session: when the time is over we cancel, and where
that is ignored too the session is closed. The thread that waits is the one that cancels, so no
later statement is ever met by it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import psycopg

from runner.errors import Side, blame

_CANCEL_SECONDS = 3.0
#: So long may what runs take to end after it was cancelled.
_GRACE_SECONDS = 2.0


class Limit:
    """The time that a session has left. `within` is a limit that is in force already."""

    def __init__(
        self, session: "Limited", seconds: float, *, within: "Limit | None" = None
    ) -> None:
        self._session = session
        self._ends = time.monotonic() + seconds
        if within is not None:
            self._ends = min(self._ends, within._ends)
        self._closes: float | None = None

    def heed(self) -> None:
        """Cancel what runs when the time is over. Raises QueryCanceled once that was in vain."""
        now = time.monotonic()
        if now < self._ends:
            return
        if self._closes is None:
            with suppress(psycopg.Error):
                self._session.cancel_safe(timeout=_CANCEL_SECONDS)
            self._closes = time.monotonic() + _GRACE_SECONDS
        elif now > self._closes:
            self._session.close()
            error = psycopg.errors.QueryCanceled("the server went on after it was cancelled")
            blame(error, self._session.side)
            raise error


class Limited(Protocol):
    """What a limit needs of a session, which heeds it whenever it waits."""

    limit: Limit | None
    side: Side

    def cancel_safe(self, *, timeout: float) -> None:
        """Cancel what runs, over a connection of its own."""

    def close(self) -> None:
        """End the session at once."""


@contextmanager
def limited(session: Limited, seconds: float) -> Iterator[None]:
    """All that `session` does in here may take `seconds` together.

    What takes longer raises psycopg.errors.QueryCanceled; where not even that could end it, the
    session is closed.
    """
    before = session.limit
    session.limit = Limit(session, seconds, within=before)
    try:
        yield
    finally:
        session.limit = before
