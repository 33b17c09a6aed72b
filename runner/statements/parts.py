"""Pieces that several statements are made of: names, literals, column lists."""

from collections.abc import Iterable

from psycopg import sql

from pipelines.names import TableName


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
