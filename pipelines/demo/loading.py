"""Filling the demo's tables once, in one transaction; what goes into them is flights and films."""

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row

SCHEMA: LiteralString = "content"

#: Two demos started at once wait for each other instead of both finding the tables empty.
_LOCK = 0x64656D6F

Cursor = psycopg.Cursor[TupleRow]


def load_once(
    connection: psycopg.Connection[Any],
    *,
    tables: Sequence[str],
    definition: LiteralString,
    fill: Callable[[Cursor], None],
) -> dict[str, int]:
    """Create and fill `tables` unless one of them has rows already; then all are left alone.

    Gives the number of rows of each table by its full name. Everything happens in one transaction
    of its own, or inside the caller's if one is open.
    """
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if not any(_counts(cursor, tables).values()):
            _create_schema(cursor)
            cursor.execute(definition)
            fill(cursor)
            # The planner would otherwise take the tables for empty until autovacuum comes by.
            cursor.execute(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(map(_name, tables))))
        return _counts(cursor, tables)


def _create_schema(cursor: Cursor) -> None:
    # IF NOT EXISTS asks for the right to create schemas even where the schema is there.
    if not _one(cursor, "SELECT to_regnamespace(%s) IS NOT NULL", SCHEMA):
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))


def _counts(cursor: Cursor, tables: Sequence[str]) -> dict[str, int]:
    return {f"{SCHEMA}.{table}": _count(cursor, table) for table in tables}


def _count(cursor: Cursor, table: str) -> int:
    if not _one(cursor, "SELECT to_regclass(%s) IS NOT NULL", f"{SCHEMA}.{table}"):
        return 0
    return int(_one(cursor, sql.SQL("SELECT count(*) FROM {}").format(_name(table))))


def _one(cursor: Cursor, query: LiteralString | sql.Composed, *parameters: str) -> Any:
    row = cursor.execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101 - every query here gives exactly one row
    return row[0]


def _name(table: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, table)
