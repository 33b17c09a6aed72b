"""Statements that change single rows of a target: deletes and marks by key."""

from collections.abc import Sequence

from psycopg import sql

from pipelines.names import TableName
from runner.comparing.forms import Form
from runner.plan import Column
from runner.statements.comparing import Place, among
from runner.statements.parts import names, subquery, table
from runner.statements.source import placeless

Key = tuple[str | None, ...]


def copy_rows(
    place: Place,
    query: str,
    columns: Sequence[Column],
    keys: Sequence[Key],
    *,
    order: Sequence[Column],
    binary: bool,
) -> sql.Composed:
    """The source's rows that have one of these keys, among those that are compared; in the order
    of a load if it has one, since of rows with the same key the last one wins."""
    return sql.SQL("COPY (SELECT {} FROM {} WHERE {}{}) TO STDOUT (FORMAT {})").format(
        names((column.name for column in columns), "q"),
        subquery(query),
        place.where(among(place.key, keys, source=True)),
        _in_order(order),
        sql.SQL("binary" if binary else "text"),
    )


def _in_order(order: Sequence[Column]) -> sql.Composable:
    if not order:
        return sql.SQL("")
    return sql.SQL(" ORDER BY ({}), {}").format(
        placeless(order[0]), names((column.name for column in order), "q")
    )


def keys_there(place: Place, keys: Sequence[Key]) -> sql.Composed:
    """Those of these keys that any row of the query has, whether it is compared or not."""
    return sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT").format(
        sql.SQL(", ").join(form.text(source=True) for form in place.key),
        place.rows,
        among(place.key, keys, source=True),
    )


def delete_rows(place: Place, name: TableName, keys: Sequence[Key]) -> sql.Composed:
    """Delete the target's rows that have one of these keys."""
    return sql.SQL("DELETE FROM {} AS q WHERE {}").format(
        table(name), place.where(among(place.key, keys, source=False))
    )


def mark_rows(
    place: Place, name: TableName, keys: Sequence[Key], column: str, *, value: str
) -> sql.Composed:
    """Mark the target's rows that have one of these keys as deleted; `value` is an expression."""
    return sql.SQL("UPDATE {} AS q SET {} = {} WHERE {}").format(
        table(name),
        sql.Identifier(column),
        sql.SQL(value),
        place.where(among(place.key, keys, source=False)),
    )


def unmark_rows(
    name: TableName, key: Sequence[Form], keys: Sequence[Key], column: str
) -> sql.Composed:
    """Take the mark from rows that are there again; gives none for those that have none."""
    marked = sql.Identifier("q", column)
    return sql.SQL(
        "UPDATE {} AS q SET {} = NULL WHERE ({} IS NOT NULL AND {}::text <> 'false') AND {}"
    ).format(table(name), sql.Identifier(column), marked, marked, among(key, keys, source=False))


def empty_batch(batch: TableName) -> sql.Composed:
    """The next part of the same transaction begins with no rows in it."""
    return sql.SQL("DELETE FROM {}").format(table(batch))
