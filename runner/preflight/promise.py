"""What an incremental run may read without losing rows that commit late, and what that promises.

The rule (from L, inclusive, to H, exclusive) and why each condition is there: docs/late-commits.md.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from runner.connections import READER, Session
from runner.plan import DATE, TIMESTAMP, TIMESTAMPTZ, XID8, Column, Position
from runner.preflight.values import Rejected
from runner.statements import source
from runner.statements.source import Bounds

_MARGIN_WITHOUT_HORIZON = "10 minutes"
_MARGIN_OF_DATES = "1 day"

_CONDITIONS = """
SELECT NOT pg_is_in_recovery(), pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
    current_setting('track_activities')::bool,
    NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database()),
    NOT EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
        WHERE d.datname = current_database())
"""
_OBSTACLES = (
    "the source is a standby",
    "the source's role lacks pg_read_all_stats",
    "track_activities is off on the source",
    "the source has prepared transactions",
    "the source receives a logical replication",
)
# In two statements, so that a transaction which the first did not see yet has begun after it.
_NOW = "SELECT clock_timestamp()::text"
_OLDEST = sql.SQL(
    "SELECT (least({now}::timestamptz, min(xact_start)) - {less}::interval)::{type}::text"
    " FROM pg_stat_activity WHERE datname = current_database() AND backend_type NOT IN"
    " ('autovacuum worker', 'walsender') AND application_name <> {reader}"
)


@dataclass(frozen=True, kw_only=True)
class Promise:
    """How late commits are met: by the horizon, by reading `margin` again, or not at all."""

    horizon: bool
    margin: str | None
    sentence: str
    warning: str = ""


def promise_for(session: Session, column: Column, late_margin: str | None) -> Promise:
    """The promise that source, key type and setting allow. Raises Rejected for a bad margin."""
    if column.oid == XID8:
        return Promise(horizon=False, margin=None, sentence=_EXACT)
    obstacles = _obstacles(session) if column.oid in (TIMESTAMPTZ, TIMESTAMP) else ["no time"]
    margin = late_margin
    if margin is not None:
        margin = _checked(session, column, margin)
    elif column.oid == DATE:
        margin = _MARGIN_OF_DATES
    elif column.is_temporal and obstacles:
        margin = _MARGIN_WITHOUT_HORIZON
    return _described(column, obstacles, margin)


def bounds_for(
    session: Session, promise: Promise, column: Column, position: Position | None
) -> Bounds:
    """L and H of a run that starts now after `position`."""
    lower = None
    if position is not None and promise.margin is not None:
        statement = source.shifted(position.cursor, column.type_name, promise.margin)
        try:
            row = session.execute(statement).fetchone()
        except (psycopg.errors.NumericValueOutOfRange, psycopg.errors.DatetimeFieldOverflow):
            position = None  # the margin reaches below every value that the type has
        else:
            lower = row[0] if row else None
    return Bounds(
        position=position,
        lower=lower,
        upper=_horizon(session, column) if promise.horizon else None,
        xid=column.oid == XID8,
    )


def _horizon(session: Session, column: Column) -> str:
    """Every transaction that began before this instant has ended, and its rows can be seen."""
    (now,) = session.execute(_NOW).fetchone() or ("",)
    rounded = column.modifier != -1 and column.modifier < 6
    row = session.execute(
        _OLDEST.format(
            now=now,
            # A type with fewer digits rounds to before the start of its own transaction.
            less="1 second" if rounded else "0",
            type=sql.SQL(column.temporal_type),
            reader=READER,
        )
    ).fetchone()
    return str(row[0]) if row else now


def _obstacles(session: Session) -> list[str]:
    row = session.execute(_CONDITIONS).fetchone() or (False,) * len(_OBSTACLES)
    return [text for text, holds in zip(_OBSTACLES, row, strict=True) if not holds]


def _checked(session: Session, column: Column, margin: str) -> str | None:
    """The margin if the key's type can be lessened by it; None when it is zero."""
    kind = "interval" if column.is_temporal else column.type_name
    # The third column fails for types without subtraction; NaN is larger than any number.
    statement = sql.SQL(
        "SELECT {0}::{1} = '0'::{1}, {0}::{1} > '0'::{1} AND {0} !~* 'nan|inf',"
        " NULL::{2} - {0}::{1}"
    ).format(margin, sql.SQL(kind), sql.SQL(column.type_name))
    try:
        zero, positive, _ = session.execute(statement).fetchone() or (False, False, None)
    except (psycopg.DataError, psycopg.ProgrammingError):  # a lost session says nothing of it
        raise Rejected({"late_margin": [_bad_margin(column)]}) from None
    if not zero and not positive:
        raise Rejected({"late_margin": ["The late margin cannot be negative."]})
    return None if zero else margin


def _bad_margin(column: Column) -> str:
    example = "an interval like 10 minutes" if column.is_temporal else "a number like 1000"
    return f"For the key “{column.name}” ({column.type_name}) the late margin is {example}."


def _described(column: Column, obstacles: list[str], margin: str | None) -> Promise:
    horizon = not obstacles and column.oid in (TIMESTAMPTZ, TIMESTAMP)
    again = f" Rows up to {margin} older than the checkpoint are read again." if margin else ""
    if horizon:
        return Promise(horizon=True, margin=margin, sentence=_HORIZON + again)
    if column.oid in (TIMESTAMPTZ, TIMESTAMP):
        why = f"Late commits are met by reading again only, because {'; '.join(obstacles)}."
        warning = "" if margin else f"{why} The margin is 0, so rows that commit late are lost."
        return Promise(horizon=False, margin=margin, sentence=why + again, warning=warning)
    if margin:
        return Promise(horizon=False, margin=margin, sentence=again.strip())
    sentence = _UNPROTECTED.format(name=column.name, type=column.type_name)
    return Promise(horizon=False, margin=None, sentence=sentence, warning=sentence)


_EXACT = "Exact: a row is read when every older transaction has ended."
_HORIZON = (
    "Rows are read when every transaction that began before them has ended, so none that commits "
    "late is lost (the key must be set by the database's clock)."
)
_UNPROTECTED = (
    "A row that commits after a larger “{name}” ({type}) was read is not seen; set a late margin "
    "if keys can commit out of order."
)
