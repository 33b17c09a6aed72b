"""The checks that people wait for: opens its own sessions, and answers within seconds."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg

from runner.connections import Session, reading, writing
from runner.errors import RunError, Side, classify, side_of
from runner.plan import Address, Definition
from runner.preflight.examine import Examined, examine
from runner.preflight.powers import powers_of
from runner.preflight.values import (
    TOO_LARGE,
    ConnectionReport,
    Findings,
    Rejected,
    is_too_large,
)
from runner.reach import ForbiddenHost
from runner.watchdog import MOST_BYTES, limited
from runner.words import plain

#: People wait for this; planning a query takes milliseconds unless a table is locked.
LIMIT_SECONDS = 10

_REPORT = """
SELECT current_setting('server_version'), current_user::text, pg_is_in_recovery()
    OR current_setting('default_transaction_read_only')::bool,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
    has_database_privilege(current_database(), 'CREATE'), current_setting('server_version_num')::int
"""
_OLDEST_VERSION = 130000


def inspect(definition: Definition) -> Findings:
    """Check `definition` on both servers, running nothing. Raises Rejected."""
    with examining(definition) as (examined, _source, _target):
        return examined.findings


@contextmanager
def examining(definition: Definition) -> Iterator[tuple[Examined, Session, Session]]:
    """What both servers say of `definition`, and the sessions with source and target, still open.

    Raises Rejected, also for what the sessions raise afterwards.
    """
    connecting = Side.SOURCE
    try:
        with reading(definition.source) as source:
            _limit(source)
            connecting = Side.TARGET
            with writing(definition.target) as target:
                _limit(target)
                with _within(source), _within(target):
                    found = examine(definition, source, target)
                yield found, source, target
    except RunError as error:
        raise _unavailable(error, connecting) from None
    except psycopg.Error as error:
        if is_too_large(error):
            raise Rejected({"source_query": [TOO_LARGE]}) from None
        side = side_of(error)
        raise _unavailable(classify(error, side), side) from None


def test_connection(address: Address) -> ConnectionReport:
    """Try to sign in, for a few seconds at most; never raises for what the server does."""
    try:
        with writing(address) as session, _within(session):
            _limit(session)
            row = session.execute(_REPORT).fetchone()
            powers = powers_of(session)
    except ForbiddenHost as forbidden:
        return ConnectionReport(ok=False, sentence=forbidden.sentence)
    except (RunError, psycopg.Error, UnicodeDecodeError):
        # One sentence for every failure: a connection test is no port scanner.
        return ConnectionReport(ok=False, sentence=_FAILED)
    if row is None:
        return ConnectionReport(ok=False, sentence=_FAILED)
    version, role = (plain(str(said), most=100) for said in row[:2])
    read_only, superuser, stats, tls, creates, number = row[2:]
    warnings = {
        _NO_STATS: not (stats or superuser),
        _NO_CREATE: not creates,
        _NO_TLS: not tls,
        _NOT_INSISTED: tls and address.sslmode == "prefer",
        _TOO_OLD: number < _OLDEST_VERSION,
    }
    # Who writes tables for a living needs the right to.
    told = [
        plain(power.sentence)
        for power in powers
        if not (power.is_for_targets and address.target_schemas)
    ]
    return ConnectionReport(
        ok=True,
        sentence=f"Connected: PostgreSQL {version} as “{role}”. "
        + (_READS if read_only else _WRITES)
        + (f" {_TLS}" if tls else "")
        + (f" {_COMPLETE}" if (stats or superuser) and creates else ""),
        server_version=version,
        role=role,
        tls=tls,
        read_only=read_only,
        warnings=(*told, *(sentence for sentence, holds in warnings.items() if holds)),
    )


def _within(session: Session) -> AbstractContextManager[None]:
    return limited(session, LIMIT_SECONDS, most_bytes=MOST_BYTES)


def _limit(session: Session) -> None:
    session.execute(f"SET statement_timeout = '{LIMIT_SECONDS}s'")
    session.execute("SET lock_timeout = '3s'")


def _unavailable(error: RunError, side: Side) -> Rejected:
    return Rejected({f"{side}_connection": [error.sentence]}, f"{side}_unavailable")


_FAILED = (
    "The connection failed. Check host, port, database, user, password and TLS, and that the "
    "server lets this machine in."
)
_READS = "It only takes reads (a standby, or a setting of the role)."
_WRITES = "It takes writes."
_TLS = "The session is encrypted."
_COMPLETE = "Nothing is missing for late commits or for creating tables."
_NO_STATS = "The role lacks pg_read_all_stats: rows that commit late are met by reading again."
_NO_CREATE = "As a target: the role may not create schemas in this database."
_NO_TLS = "The session is not encrypted."
_NOT_INSISTED = (
    "The session is encrypted now, but the connection does not insist on it. Choose “require” or "
    "“verify-full”."
)
_TOO_OLD = "The server is older than PostgreSQL 13, the oldest that is supported."
