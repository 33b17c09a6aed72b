"""Waiting for COPYs on several servers at once, on one thread; which ones is elsewhere."""

import select
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql, waiting
from psycopg.abc import PQGen
from psycopg.generators import execute, fetch_many
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from runner.connections import Session
from runner.errors import blame

_INTERVAL = 0.5
#: After so many lines that did not keep us waiting we look up.
_MOST_UNHEEDED = 1000
_EVENTS = {
    waiting.WAIT_R: select.POLLIN,
    waiting.WAIT_W: select.POLLOUT,
    waiting.WAIT_RW: select.POLLIN | select.POLLOUT,
}
_FAILED = {ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE}


class Copying:
    """One COPY … TO STDOUT in text format, begun when this is made."""

    def __init__(self, session: Session, statement: sql.Composable) -> None:
        self.session = session
        self.is_begun = False
        self._ended = False
        self._first: str | None = None
        session.pgconn.send_query_params(statement.as_string(session).encode(), None)
        self._generator: PQGen[list[PGresult]] | None = execute(session.pgconn)
        self._waits: Any = waiting.WAIT_R
        self.go_on(None)

    @property
    def events(self) -> int:
        """What to wait for, as poll() takes it, until `is_begun`: the first row or the end."""
        return _EVENTS[self._waits]

    def go_on(self, ready: Any) -> None:
        """Take what has come. Raises psycopg.Error with its side when the statement failed."""
        try:
            if self._generator is not None:
                self._wait_on(self._generator, ready)
            else:
                self.session.pgconn.consume_input()
            if self._generator is None and not self._ended:
                self._look()
        except psycopg.Error as error:
            blame(error, self.session.side)
            raise

    def heed(self) -> None:
        """Look at the time that the session has left; see runner.watchdog."""
        if self.session.limit is not None:
            self.session.limit.heed()

    def lines(self) -> Iterator[str]:
        """The rows; equal rows are equal lines."""
        finish([self])
        line, unheeded = self._first, 0
        while line is not None:
            yield line
            unheeded += 1
            if unheeded % _MOST_UNHEEDED == 0:
                self.session.wait_for(read=True, seconds=0)
                self.heed()
            self._first, self.is_begun = None, False
            try:
                self._look()
            except psycopg.Error as error:
                blame(error, self.session.side)
                raise
            finish([self])
            line = self._first

    def _wait_on(self, generator: PQGen[list[PGresult]], ready: Any) -> None:
        try:
            self._waits = next(generator) if ready is None else generator.send(ready)
        except StopIteration as stop:
            results = stop.value
        else:
            return
        for result in results:
            if result.status in _FAILED:
                raise self.session.failed(result)
        self._generator, self._waits = None, waiting.WAIT_R
        self._ended = self.is_begun = results[-1].status != ExecStatus.COPY_OUT

    def _look(self) -> None:
        """Take a row that is there. The server says that it will copy long before it does."""
        size, row = self.session.pgconn.get_copy_data(1)
        if size > 0:
            self._first, self.is_begun = str(row[:-1], "utf-8"), True
        elif size < 0:
            # The COPY is over: its result tells whether it came to its end or failed.
            self._generator = fetch_many(self.session.pgconn)
            self._wait_on(self._generator, None)


def finish(copies: Sequence[Copying]) -> None:
    """Wait until each has its first row or has none, ticking; the first error is raised at once,
    and what still runs then ends when its session is closed."""
    while left := [one for one in copies if not one.is_begun]:
        poller = select.poll()
        for one in left:
            poller.register(one.session.pgconn.socket, one.events)
        events = dict(poller.poll(_INTERVAL * 1000))
        if not events:
            left[0].session.tick()
        for one in left:
            one.heed()
            if happened := events.get(one.session.pgconn.socket, 0):
                one.go_on(_ready(happened))


def _ready(events: int) -> Any:
    """As psycopg's generators are told. A connection that is lost can be read: it says so."""
    writable = events & select.POLLOUT
    readable = events & ~select.POLLOUT
    if readable and writable:
        return waiting.READY_RW
    return waiting.READY_R if readable else waiting.READY_W
