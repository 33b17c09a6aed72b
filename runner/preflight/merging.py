"""What finding rows by their key asks of the table that they are in; the columns are in `match`."""

from collections.abc import Sequence

from pipelines.names import TableName
from runner.connections import Session
from runner.preflight.table import Table
from runner.preflight.values import Rejected
from runner.statements import catalog


def check_told_apart(session: Session, name: TableName, table: Table, key: Sequence[str]) -> None:
    """Keys that differ must not be equal in the table, or rows would overwrite one another.

    Raises Rejected.
    """
    found = {column for (column,) in session.execute(catalog.LOOSE_COLUMNS, {"oid": table.oid})}
    if loose := [column for column in key if column in found]:
        raise Rejected({"key_columns": [_LOOSE.format(column, name) for column in loose]})


def warnings_of(
    session: Session, name: TableName, table: Table, columns: Sequence[str], key: Sequence[str]
) -> tuple[str, ...]:
    """Sentences on unique indexes that rows of one load can violate on their way.

    Not those that contain the key, since then no two rows have the same values, nor those of
    columns that the query leaves alone.
    """
    return tuple(
        _UNIQUE.format(index, name)
        for index, parts, has_expressions in session.execute(catalog.UNIQUE_AT_ONCE, [table.oid])
        if not set(key) <= set(parts) and (has_expressions or not set(columns).isdisjoint(parts))
    )


_LOOSE = (
    "The key column “{}” of {} has a collation that takes different texts for equal, so rows "
    "would overwrite one another. Name other key columns, or give the column and its index "
    "another collation."
)
_UNIQUE = (
    "“{}” of {} is unique and checked row by row, so a batch in which rows exchange such values "
    "fails. If that can happen, make it a DEFERRABLE constraint."
)
