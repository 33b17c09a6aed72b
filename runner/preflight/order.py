"""What the order of an incremental read rests on besides the columns' types, and may change.

Text is ordered by a collation, whose rules come with the operating system or ICU and change with
their versions: https://www.postgresql.org/docs/current/collation.html. Transaction ids belong to
one cluster. Under another basis a position means nothing: rows before and after it have moved.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from runner.connections import Session
from runner.contained import ask
from runner.plan import XID8, Column
from runner.preflight.values import Rejected
from runner.statements import catalog

_VERSION_OF_DEFAULT = 150000


def basis_of(session: Session, query: str, order: tuple[Column, ...]) -> str:
    """One text that stays the same as long as positions do. Raises Rejected.

    Runs nothing of the query: asking for a collation needs no row.
    """
    check_ordered(session, order[:1], "incremental_key")
    check_ordered(session, order[1:], "key_columns")
    if order[0].oid == XID8:
        return _cluster(session)
    collatable = _collatable(session, order)
    if not collatable:
        return ""
    asked = ask(session, catalog.collations_for(query, collatable))
    names = [(asked.get_value(0, i) or b"").decode() for i in range(asked.nfields)]
    is_known = session.info.server_version >= _VERSION_OF_DEFAULT
    default = catalog.VERSION_OF_DEFAULT if is_known else catalog.NO_VERSION_OF_DEFAULT
    statement = catalog.COLLATIONS.format(default=sql.SQL(default))
    asked = ask(session, catalog.COLLATIONS_BY_NAME.format(names))
    oids = [int(asked.get_value(i, 0) or 0) for i in range(asked.ntuples)]
    found = session.execute(statement, [names, oids]).fetchall()
    loose = [column.name for column, row in zip(collatable, found, strict=True) if not row[1]]
    if loose:
        raise Rejected({"source_query": [_NOT_DETERMINISTIC.format(name) for name in loose]})
    return ", ".join(f"{c.name} {row[0]}" for c, row in zip(collatable, found, strict=True))


def check_ordered(session: Session, columns: Sequence[Column], field: str) -> None:
    """Types without an order (json, point) can be no key. Raises Rejected."""
    for column in columns:
        try:
            session.describe(catalog.ordered_by(column))
        except psycopg.errors.UndefinedFunction:
            raise Rejected(
                {
                    field: [
                        f"Column “{column.name}” is {column.type_name}, a type without an order, "
                        "so it can be no key. Name another column, or cast it in the query."
                    ]
                }
            ) from None


def _collatable(session: Session, order: tuple[Column, ...]) -> list[Column]:
    rows = session.execute(catalog.COLLATABLE, [[column.oid for column in order]]).fetchall()
    oids = {oid for (oid,) in rows}
    return [column for column in order if column.oid in oids]


def _cluster(session: Session) -> str:
    row = session.execute(catalog.CLUSTER).fetchone()
    return f"cluster {row[0]}" if row and row[0] else ""


_NOT_DETERMINISTIC = (
    "Column “{}” has a collation that takes different texts for equal, so rows have no one order "
    'by it. Give it another in the query: … COLLATE "C".'
)
