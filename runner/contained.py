"""People's SQL on its way to a source: parsed first, READ ONLY, and undone when it has ended.

What a query can still do in there, and what nobody can keep it from: docs/security.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from runner.connections import Session

#: Advisory locks outlive their transaction.
_UNDO = ("ROLLBACK", "SELECT pg_catalog.pg_advisory_unlock_all()")


@contextmanager
def contained(session: Session, *, isolation: str = "READ COMMITTED") -> Iterator[None]:
    """A transaction that can only read, and whose settings, notifications and locks vanish."""
    session.run(f"BEGIN ISOLATION LEVEL {isolation} READ ONLY")
    try:
        yield
    finally:
        # In the middle of a COPY only closing the session ends it.
        if session.pgconn.transaction_status in (TransactionStatus.INTRANS, _FAILED):
            session.run_all(_UNDO)


_FAILED = TransactionStatus.INERROR


def parsed_first(session: Session, statement: sql.Composable) -> PGresult:
    """Parse the exact text, which must be one command, and only then execute it."""
    session.describe(statement)
    return session.run(statement)


def ask(session: Session, statement: sql.Composable) -> PGresult:
    """The answer to one statement that people's SQL is a part of."""
    with contained(session):
        return parsed_first(session, statement)
