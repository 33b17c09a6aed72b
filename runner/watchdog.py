"""Our own limit on what a server may take, beside its statement_timeout, which it may ignore.

A function on the server can swallow the server's time limit (plpgsql: WHEN query_canceled). So we
look at the clock ourselves at each wait of a session: when the time is over we cancel, and where
that is ignored too the session is closed. The thread that waits is the one that cancels, so no
later statement is ever met by it.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import psycopg

from runner.errors import Side, blame

_CANCEL_SECONDS = 3.0
#: Where tcpi_bytes_received is in Linux's struct tcp_info.
_LENGTH = 136
_RECEIVED = slice(128, 136)
_SIP = 32_768
#: So much may be sent in answer to what people wait for: rows to look at, plans, errors.
MOST_BYTES = 32_000_000
#: So long may what runs take to end after it was cancelled.
_GRACE_SECONDS = 2.0


class Limit:
    """The time that a session has left. `within` is a limit that is in force already."""

    def __init__(
        self,
        session: "Limited",
        seconds: float,
        *,
        most_bytes: int | None = None,
        within: "Limit | None" = None,
    ) -> None:
        self._session = session
        self._most = None if most_bytes is None else _by_sips(session) + most_bytes
        self._ends = time.monotonic() + seconds
        if within is not None:
            self._ends = min(self._ends, within._ends)
            if within._most is not None:
                self._most = min(within._most, self._most or within._most)
        self._closes: float | None = None

    def heed(self) -> None:
        """Cancel what runs when the time is over. Raises QueryCanceled once that was in vain, and
        ProgramLimitExceeded when more was sent than is looked at."""
        if self._most is not None and _received(self._session) > self._most:
            self._session.close()
            large = psycopg.errors.ProgramLimitExceeded("the answer is too large to be looked at")
            blame(large, self._session.side)
            raise large
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


def _by_sips(session: "Limited") -> int:
    """From here on little arrives at a time: libpq reads on as long as something is there, and
    we look only when it has to wait. As `_received`."""
    with suppress(OSError), socket.socket(fileno=os.dup(session.pgconn.socket)) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SIP)
    return _received(session)


def _received(session: "Limited") -> int:
    """Bytes that the server has sent so far, as Linux counts them; 0 where nobody does.

    A message is only there when all of it is, so that one would fill the memory unseen.
    """
    try:
        with socket.socket(fileno=os.dup(session.pgconn.socket)) as ours:
            told = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
    except (OSError, AttributeError):
        return 0
    return int.from_bytes(told[_RECEIVED], sys.byteorder) if len(told) == _LENGTH else 0


class Limited(Protocol):
    """What a limit needs of a session, which heeds it whenever it waits."""

    limit: Limit | None
    side: Side

    @property
    def pgconn(self) -> Any:
        """libpq's connection."""

    def cancel_safe(self, *, timeout: float) -> None:
        """Cancel what runs, over a connection of its own."""

    def close(self) -> None:
        """End the session at once."""


@contextmanager
def limited(session: Limited, seconds: float, *, most_bytes: int | None = None) -> Iterator[None]:
    """All that `session` does in here may take `seconds`, and be sent `most_bytes`, together.

    What takes longer raises psycopg.errors.QueryCanceled; where not even that could end it, the
    session is closed.
    """
    before = session.limit
    session.limit = Limit(session, seconds, most_bytes=most_bytes, within=before)
    try:
        yield
    finally:
        session.limit = before
