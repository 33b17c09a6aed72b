"""Waiting for statements on several servers at once, on one thread; which ones is elsewhere."""

import select
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql, waiting
from psycopg.abc import PQGen
from psycopg.generators import execute
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from runner.connections import Session
from runner.errors import blame

_INTERVAL = 0.5
_FAILED = {ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE}
_EVENTS = {
    waiting.WAIT_R: select.POLLIN,
    waiting.WAIT_W: select.POLLOUT,
    waiting.WAIT_RW: select.POLLIN | select.POLLOUT,
}


class Running:
    """One statement that its session is sending or waiting for; `results` when it is not."""

    def __init__(self, session: Session, statement: sql.Composable) -> None:
        self.session = session
        self.results: list[PGresult] | None = None
        session.pgconn.send_query_params(statement.as_string(session).encode(), None)
        self._generator: PQGen[list[PGresult]] = execute(session.pgconn)
        self._waits: Any = None
        self.go_on(None)

    @property
    def events(self) -> int:
        """What to wait for, as poll() takes it."""
        return _EVENTS[self._waits]

    def go_on(self, ready: Any) -> None:
        """Take what has come. Raises psycopg.Error with its side when the statement failed."""
        try:
            self._waits = next(self._generator) if ready is None else self._generator.send(ready)
        except StopIteration as stop:
            self.results = stop.value
            self._check(stop.value)
        except psycopg.Error as error:
            blame(error, self.session.side)
            raise

    def heed(self) -> None:
        """Look at the time that the session has left; see runner.watchdog."""
        if self.session.limit is not None:
            self.session.limit.heed()

    def _check(self, results: Sequence[PGresult]) -> None:
        for result in results:
            if result.status in _FAILED:
                raise self.session.failed(result)


def finish(statements: Sequence[Running]) -> None:
    """Wait until each has its result, ticking; the first error is raised at once, and what still
    runs then ends when its session is closed."""
    while left := [one for one in statements if one.results is None]:
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
