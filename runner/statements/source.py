"""Statements on a source: checks, bounds, and the one COPY that rows come from."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from runner.plan import Column, Position
from runner.statements.parts import conjunction, names, subquery, typed


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What an incremental run reads: after `position` (or from `lower`), before `upper`.

    `lower` and `upper` are texts of the incremental key's type; with `lower` the position itself
    is not a bound, because rows before it are read again; with neither everything is. `xid` marks
    xid8 keys, which end before the oldest transaction that still runs.
    """

    position: Position | None = None
    lower: str | None = None
    upper: str | None = None
    xid: bool = False

    @property
    def reads_again(self) -> bool:
        """Whether rows up to an earlier position may come once more."""
        return self.lower is not None or self.position is None


def wrapped(query: str) -> sql.Composed:
    """The query as a subquery, which refuses what is not a plain SELECT."""
    return sql.SQL("SELECT * FROM {}").format(subquery(query))


def cursor(query: str) -> sql.Composed:
    """A cursor that is never fetched from: plans the query as READ ONLY and runs nothing."""
    return sql.SQL("DECLARE etl_check NO SCROLL CURSOR FOR SELECT * FROM {}").format(
        subquery(query)
    )


def copy_all(query: str, columns: Sequence[Column], *, binary: bool) -> sql.Composed:
    """All rows of the query."""
    return _copy(
        sql.SQL("SELECT {} FROM {}").format(names(c.name for c in columns), subquery(query)),
        binary=binary,
    )


def copy_after(
    query: str,
    columns: Sequence[Column],
    key: Sequence[Column],
    *,
    bounds: Bounds,
    binary: bool,
) -> sql.Composed:
    """Rows within `bounds` in the order of `key` (the incremental key, then the key columns)."""
    return _copy(select_after(query, columns, key, bounds=bounds), binary=binary)


def select_after(
    query: str, columns: Sequence[Column], key: Sequence[Column], *, bounds: Bounds
) -> sql.Composed:
    """What `copy_after` copies."""
    return sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
        names(c.name for c in columns),
        subquery(query),
        conjunction(_within(key, bounds)),
        names((c.name for c in key), "q"),
    )


def copy_unordered(
    query: str, columns: Sequence[Column], cursor_column: Column, *, binary: bool
) -> sql.Composed:
    """Rows that have no place in the order: the incremental key is NULL or infinite."""
    select = sql.SQL("SELECT {} FROM {} WHERE {}").format(
        names(c.name for c in columns), subquery(query), placeless(cursor_column)
    )
    return _copy(select, binary=binary)


def any_placeless(query: str, cursor_column: Column) -> sql.Composed:
    """Is there a row whose incremental key is NULL or infinite? An index answers it quickly."""
    tests = [
        sql.SQL("EXISTS (SELECT FROM {} WHERE {})").format(subquery(query), condition)
        for condition in _placeless_conditions(cursor_column)
    ]
    return sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(tests))


def count_keyless(query: str, order: Sequence[Column], position: Position) -> sql.Composed:
    """How many rows stand at the position's own value with a NULL in the key.

    A row comparison is neither true nor false for them, so a read would pass them over; those at
    later values are read, and their NULL is refused by the target.
    """
    cursor_column, *key = order
    return sql.SQL("SELECT count(*) FROM {} WHERE {} = {} AND ({})").format(
        subquery(query),
        sql.Identifier("q", cursor_column.name),
        typed(position.cursor, cursor_column.type_name),
        sql.SQL(" OR ").join(
            sql.SQL("{} IS NULL").format(sql.Identifier("q", column.name)) for column in key
        ),
    )


def count_placeless(query: str, cursor_column: Column) -> sql.Composed:
    """How many rows have no place in the order."""
    return sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
        subquery(query), placeless(cursor_column)
    )


def any_from(query: str, cursor_column: Column, value: str) -> sql.Composed:
    """Is there a row whose incremental key is at least `value`? An index answers it quickly."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} >= {})").format(
        subquery(query),
        sql.Identifier("q", cursor_column.name),
        typed(value, cursor_column.type_name),
    )


def count_from(query: str, cursor_column: Column, upper: str, *, most: int) -> sql.Composed:
    """How many rows are at or above `upper`, the bound of a run; counts no further than `most`."""
    column = sql.Identifier("q", cursor_column.name)
    above: list[sql.Composable] = [
        sql.SQL("{} >= {}").format(column, typed(upper, cursor_column.temporal_type)),
        *(sql.SQL("NOT ({})").format(c) for c in _placeless_conditions(cursor_column)),
    ]
    return sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS w").format(
        subquery(query), conjunction(above), sql.Literal(most)
    )


def count(query: str) -> sql.Composed:
    """How many rows the query gives."""
    return sql.SQL("SELECT count(*) FROM {}").format(subquery(query))


def shifted(value: str, type_name: str, margin: str) -> sql.Composed:
    """`value` less the margin (an interval or a number), as text of the same type."""
    unit = "interval" if type_name.startswith(("timestamp", "date")) else type_name
    return sql.SQL("SELECT (({} - {})::{})::text").format(
        typed(value, type_name),
        typed(margin, unit),
        sql.SQL(type_name),
    )


def _copy(select: sql.Composable, *, binary: bool) -> sql.Composed:
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT {})").format(
        select, sql.SQL("binary" if binary else "text")
    )


def _within(key: Sequence[Column], bounds: Bounds) -> list[sql.Composable]:
    cursor_column = key[0]
    column = sql.Identifier("q", cursor_column.name)
    conditions: list[sql.Composable] = []
    if bounds.lower is not None:
        conditions.append(
            sql.SQL("{} >= {}").format(column, typed(bounds.lower, cursor_column.type_name))
        )
    elif bounds.position is not None:
        conditions.append(_after(key, bounds.position))
    if bounds.upper is not None:
        conditions.append(
            # Without its modifier, which would round the bound upwards.
            sql.SQL("{} < {}").format(column, typed(bounds.upper, cursor_column.temporal_type))
        )
    if bounds.xid:
        conditions.append(
            sql.SQL("{} < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())").format(
                column
            )
        )
    unplaced = _placeless_conditions(cursor_column)
    conditions.extend(sql.SQL("NOT ({})").format(condition) for condition in unplaced)
    return conditions


def _after(key: Sequence[Column], position: Position) -> sql.Composed:
    """Strictly after the position, as a row comparison, which an index on the key answers."""
    values = (position.cursor, *position.key)
    return sql.SQL("({}) > ({})").format(
        names((c.name for c in key), "q"),
        sql.SQL(", ").join(
            typed(value, column.type_name) for value, column in zip(values, key, strict=True)
        ),
    )


def placeless(cursor_column: Column) -> sql.Composable:
    """The condition of rows that have no place in the order."""
    return sql.SQL(" OR ").join(_placeless_conditions(cursor_column))


def _placeless_conditions(cursor_column: Column) -> list[sql.Composable]:
    column = sql.Identifier("q", cursor_column.name)
    conditions: list[sql.Composable] = [sql.SQL("{} IS NULL").format(column)]
    if cursor_column.is_temporal:
        conditions += [
            sql.SQL("{} = {}").format(column, typed(value, cursor_column.type_name))
            for value in ("infinity", "-infinity")
        ]
    if cursor_column.oid in _LARGEST:
        type_name, largest = _LARGEST[cursor_column.oid]
        conditions += [
            sql.SQL("{} > {}").format(column, typed(largest, type_name)),
            sql.SQL("{} < {}").format(column, typed(f"-{largest}", type_name)),
        ]
    return conditions


#: The largest finite values of real, double precision and numeric (nearly, where it has 131072
#: digits): NaN and Infinity are beyond them, and a range is something that an index answers.
_LARGEST = {
    700: ("real", "3.4028235e38"),
    701: ("double precision", "1.7976931348623157e308"),
    1700: ("numeric", "9e131071"),
}
