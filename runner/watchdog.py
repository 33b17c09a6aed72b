"""Our own limit on what a server may take, beside its statement_timeout, which it may ignore.

A function on the server can swallow the server's time limit (plpgsql: WHEN query_canceled). So we
look at the clock ourselves at each wait of a session: when the time is over we cancel, and where
that is ignored too the session is closed. The thread that waits is the one that cancels, so no
later statement is ever met by it.

What a server sends is another matter: libpq takes a message whole, however large, before anybody
is asked again. So a thread of its own counts the bytes, and cuts the connection off.
"""

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Protocol

import psycopg

from runner.errors import Side, blame

_CANCEL_SECONDS = 3.0
#: Where tcpi_bytes_received is in Linux's struct tcp_info.
_LENGTH = 136
_RECEIVED = slice(128, 136)
_SIP = 32_768
_COUNT_SECONDS = 0.01
_AT_ONCE = struct.pack("ii", 1, 0)
#: So much may be sent in answer to what people wait for: rows to look at, plans, errors.
MOST_BYTES = 32_000_000
#: So long may what runs take to end after it was cancelled.
_GRACE_SECONDS = 2.0


class Limit:
    """What a session may still take. `within` is a limit that is in force already."""

    def __init__(
        self, session: "Limited", seconds: float, *, within: "Limit | None" = None
    ) -> None:
        self._session = session
        self._ends = time.monotonic() + seconds
        if within is not None:
            self._ends = min(self._ends, within._ends)
        self._closes: float | None = None
        self._within = within
        self._is_cut_off = False

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

    def meant(self, error: psycopg.Error) -> psycopg.Error:
        """ProgramLimitExceeded in place of the loss of a connection that was cut off."""
        if self._is_cut_off:
            return psycopg.errors.ProgramLimitExceeded("the answer is too large to be looked at")
        return error if self._within is None else self._within.meant(error)

    @contextmanager
    def counting(self, most_bytes: int) -> Iterator[None]:
        """Cut the session off when it is sent more than `most_bytes` meanwhile."""
        over = threading.Event()
        with socket.socket(fileno=os.dup(self._session.pgconn.socket)) as ours:
            # Little arrives at a time, so that a busy machine has not taken much more by then.
            with suppress(OSError):
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SIP)
            most = _received(ours) + most_bytes

            def count() -> None:
                while not over.wait(_COUNT_SECONDS):
                    if _received(ours) > most:
                        self._is_cut_off = True
                        with suppress(OSError):
                            # The server is told at once that nobody takes the rest.
                            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                            ours.shutdown(socket.SHUT_RDWR)
                        return

            counter = threading.Thread(target=count, name="bytes", daemon=True)
            counter.start()
            try:
                yield
            finally:
                over.set()
                counter.join()


def _received(connection: socket.socket) -> int:
    """Bytes that the server has sent so far, as Linux counts them; 0 where nobody does."""
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
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
    session is closed. What sends more raises ProgramLimitExceeded, and the session is lost.
    """
    before = session.limit
    session.limit = Limit(session, seconds, within=before)
    counting = nullcontext() if most_bytes is None else session.limit.counting(most_bytes)
    try:
        with counting:
            yield
    finally:
        session.limit = before
