"""Waiting for work: NOTIFY wakes, the clock is the fallback; what is done then is in `worker`."""

from types import TracebackType
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

from pipelines.querysets import WAKE_CHANNEL
from runner.signals import Signals

_CONNECT_SECONDS = 5


class Doorbell:
    """A session of its own that listens while this process waits or works."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._session: psycopg.Connection[Any] | None = None

    def __enter__(self) -> "Doorbell":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def wait(self, seconds: float) -> None:
        """Return when somebody rang since the last call, a signal came, or after `seconds`.

        The first call, and the first after the session was lost, return at once: what was
        notified before we listened is not heard, so the caller has to look again.
        Raises psycopg.Error when the metadata database is away.
        """
        if self._session is None:
            self._session = _listen()
            return
        if self._signals.wait(seconds, [self._session.fileno()]):
            self._forget_what_rang(self._session)

    def close(self) -> None:
        """Give the session back; the next `wait` opens another."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def _forget_what_rang(self, session: psycopg.Connection[Any]) -> None:
        pgconn = session.pgconn
        pgconn.consume_input()
        while pgconn.notifies():
            pass


def _listen() -> psycopg.Connection[Any]:
    parameters = {
        **connection.get_connection_params(),
        "autocommit": True,
        "application_name": "etl_admin:listen",
        "connect_timeout": _CONNECT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    session: psycopg.Connection[Any] = psycopg.connect(**parameters)
    try:
        session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(WAKE_CHANNEL)))
    except psycopg.Error:
        session.close()
        raise
    return session
