"""Pieces that several statements are made of: names, literals, column lists."""

from collections.abc import Collection, Iterable

from psycopg import sql

from pipelines.names import MAX_BYTES, TableName
from runner.plan import Column


def table(name: TableName) -> sql.Composable:
    """A qualified, quoted table name."""
    return sql.Identifier(name.schema, name.name)


def names(columns: Iterable[str], prefix: str | None = None) -> sql.Composed:
    """Quoted column names separated by commas, each after `prefix` and a dot when given."""
    parts = [sql.Identifier(prefix, c) if prefix else sql.Identifier(c) for c in columns]
    return sql.SQL(", ").join(parts)


def typed(text: str, type_name: str) -> sql.Composed:
    """A value's text as a literal of its type. `type_name` is what format_type() gave."""
    return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(type_name))


def subquery(query: str) -> sql.Composed:
    """People's query as `(query) AS q`; the newline ends a comment that the query may end with."""
    return sql.SQL("({}\n) AS q").format(sql.SQL(query))


def conjunction(conditions: list[sql.Composable]) -> sql.Composable:
    """Conditions joined by AND, `true` when there are none."""
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")


def image_columns(columns: Iterable[Column], key: Collection[str]) -> list[str]:
    """The columns that an update of a row with the same key may have to write.

    Key columns too where equal values can differ (1.0 and 1.00).
    """
    return [c.name for c in columns if c.name not in key or not c.equal_is_identical]


def object_name(first: str, second: str, label: str) -> str:
    """The name that PostgreSQL gives to a key or constraint: table_column_label, its longer parts
    cut to fit (makeObjectName in indexcmds.c)."""
    parts = [part.encode() for part in (first, second) if part]
    room = MAX_BYTES - len(label) - len(parts)
    while sum(map(len, parts)) > room:
        longest = max(range(len(parts)), key=lambda i: (len(parts[i]), i))
        parts[longest] = parts[longest][:-1]
    return "_".join([*(part.decode(errors="ignore") for part in parts), label])
