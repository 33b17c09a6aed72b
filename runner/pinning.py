"""What a session is told before it is asked anything: settings, and whose names its words are."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

# Lossless text needs both sessions to write values alike. TimeZone and search_path of a source
# stay the role's own, because people's SQL depends on them.
PINNED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "10min",
}
PINNED_SOURCE = PINNED | {"default_transaction_read_only": "on"}
PINNED_TARGET = {
    "TimeZone": "UTC",
    "search_path": "pg_catalog",
    "row_security": "off",
    # Text of an array means the same wherever the role has set these otherwise.
    "array_nulls": "on",
    "xmloption": "content",
    # The fence waits for a row and reads it as it is then; a snapshot would be from before.
    "default_transaction_isolation": "read committed",
}
# A backend whose client died must notice while it is busy. Unknown before PostgreSQL 14, refused by
# servers whose system cannot tell them.
_NOTICING = "SET client_connection_check_interval = '1s'"
_OLDEST_NOTICING = 140000
_WHOLE = ("BEGIN READ ONLY", "ROLLBACK")
_PART = ("SAVEPOINT own", "ROLLBACK TO SAVEPOINT own", "RELEASE SAVEPOINT own")
#: Of these the effect has to stay, and no name in them can be somebody else's.
SETTINGS = ("SET ", "SELECT pg_catalog.set_config(")
_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


def pin(session: psycopg.Connection[Any], settings: dict[str, str]) -> None:
    """Give the session these settings, whatever the role has."""
    pinned = (
        sql.SQL("pg_catalog.set_config({}, {}, false)").format(name, value)
        for name, value in settings.items()
    )
    session.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(pinned)).as_string(session))
    if session.info.server_version >= _OLDEST_NOTICING:
        with suppress(psycopg.errors.InvalidParameterValue):
            session.execute(_NOTICING)


@contextmanager
def own_names(session: Any) -> Iterator[None]:
    """In a transaction that can only read, or a part of the one that is open, names mean
    PostgreSQL's own things; `session` is one of `connections`. Within another one it is part of
    that."""
    if session.has_own_names:
        yield
        return
    is_open = session.pgconn.transaction_status == TransactionStatus.INTRANS
    begin, *undo = _PART if is_open else _WHOLE
    session.run_all([begin, "SET LOCAL search_path = pg_catalog, pg_temp"])
    session.has_own_names = True
    try:
        yield
    finally:
        session.has_own_names = False
        # A session that was closed meanwhile has nothing to be undone.
        if not session.closed and session.pgconn.transaction_status in _OPEN:
            session.run_all(undo)
