"""What a load makes of the query's values, as expressions that the source computes."""

import re

from psycopg import sql

from runner.comparing.kinds import Kind
from runner.plan import FIRST_USER_OID, TIMESTAMP, TIMESTAMPTZ, Column


def compared_oid(column: Column, target: Column) -> int:
    """The type as which a column is compared: the table's (of a domain, what it is of), or the
    query's where its numbers are too large for that."""
    oid = _built_in(target)
    if oid in _INTEGERS and column.oid in _INTEGERS:
        return max(oid, column.oid, key=_INTEGERS.index)
    if oid == _MONEY or (oid in _INTEGERS and column.oid in _FRACTIONS):
        return _NUMERIC
    return oid


def as_kept(target: Column, oid: int, kind: Kind) -> sql.Composable:
    """The table's value, compared as the type `oid`."""
    value = _named(target)
    if not kind.typed:
        return written(value)
    return value if target.oid == oid else _cast(value, kind.name)


def as_loaded(column: Column, target: Column, oid: int, kind: Kind) -> sql.Composable:
    """The query's value as a load would have made it a value of the table, compared as `oid`."""
    if not kind.typed:
        return _as_text(column, target)
    value: sql.Composable = _named(column)
    if column.oid == _MONEY:
        value = _cast(value, "numeric")
    elif column.oid != oid:
        value = _converted(column, oid, kind)
    is_fitting = column.oid == oid and column.modifier == _modifier(target)
    return value if is_fitting else _fitted(value, target, oid, kind)


def written(value: sql.Composable) -> sql.Composed:
    """As COPY writes it, which a cast to text does not always (boolean, char(n), inet, xml).

    A row is NULL for IS NULL when all its fields are, and for COPY when there is no row.
    """
    return sql.SQL(
        "CASE WHEN {v} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {v}) END"
    ).format(v=value)


def _converted(column: Column, oid: int, kind: Kind) -> sql.Composable:
    value = _named(column)
    if column.oid in _INTEGERS and oid in (*_INTEGERS, _NUMERIC):
        return _cast(value, kind.name)
    if column.oid in _TEXTS and oid in _TEXTS:
        return _cast(value, kind.name)
    if oid == TIMESTAMPTZ and column.oid in (TIMESTAMP, _DATE):
        # A load writes it where the time zone is UTC.
        return sql.SQL("(({})::timestamp AT TIME ZONE 'UTC')").format(value)
    if oid == TIMESTAMPTZ and column.oid in _TEXTS:
        return sql.SQL(_READ_IN_UTC).format(v=value)
    if column.oid == TIMESTAMPTZ and oid in (TIMESTAMP, _DATE):
        return _cast(value, kind.name)
    return _cast(_written_column(column), kind.name)


def _fitted(value: sql.Composable, target: Column, oid: int, kind: Kind) -> sql.Composable:
    """As the modifier of the table's column makes it, where that loses nothing but digits."""
    modifier = _modifier(target)
    if modifier == -1 or _built_in(target) != oid:
        return value
    if oid == _NUMERIC:
        # A cast would be an error where there are too many digits.
        scale = ((modifier - 4) & 0x7FF ^ 0x400) - 0x400
        return sql.SQL("pg_catalog.round({}, {})").format(value, sql.Literal(scale))
    if oid == _VARCHAR:
        # What reads a value takes spaces off that are too many, and nothing else.
        return sql.SQL(
            "CASE WHEN pg_catalog.length(pg_catalog.rtrim({v}, ' ')) <= {n}"
            " THEN pg_catalog.left({v}, {n}) ELSE {v} END"
        ).format(v=value, n=sql.Literal(modifier - 4))
    if oid in _TIMES:
        return _cast(value, f"{kind.name}({modifier})")
    return value


def _as_text(column: Column, target: Column) -> sql.Composable:
    """Through the table's type where the source has it, since several texts can be one value."""
    text = _written_column(column)
    if target.oid >= FIRST_USER_OID or target.oid in _TAKEN_AS_WRITTEN:
        return text
    if column.oid != target.oid:
        # With its modifier a cast would cut values that a load refuses.
        name = target.type_name if target.oid in _ROUNDED else _MODIFIER.sub("", target.type_name)
        return written(_cast(text, name))
    if column.modifier != target.modifier and target.oid in _ROUNDED:
        return written(_cast(_named(column), target.type_name))
    return text


def _written_column(column: Column) -> sql.Composable:
    value = _named(column)
    return _cast(value, "text") if column.oid in _TEXTS else written(value)


def _built_in(target: Column) -> int:
    return target.base_oid or target.oid


def _modifier(target: Column) -> int:
    return target.base_modifier if target.base_oid else target.modifier


def _named(column: Column) -> sql.Identifier:
    return sql.Identifier("q", column.name)


def _cast(value: sql.Composable, type_name: str) -> sql.Composed:
    return sql.SQL("({})::{}").format(value, sql.SQL(type_name))


_NUMERIC, _DATE, _MONEY, _VARCHAR = 1700, 1082, 790, 1043
#: smallint, integer, bigint; real, double precision, numeric.
_INTEGERS, _FRACTIONS = (21, 23, 20), (700, 701, 1700)
_TEXTS = (25, _VARCHAR)
_TIMES = (1083, TIMESTAMP, TIMESTAMPTZ)
#: interval, timetz, and arrays of numeric, time, timetz, timestamp, timestamptz, interval.
_ROUNDED = (1186, 1266, 1231, 1183, 1270, 1115, 1185, 1187)
#: json, xml, bit and varbit have one text only; that of reg* and aclitem is about one database.
_TAKEN_AS_WRITTEN = {
    *(114, 142, 1560, 1562),
    *(24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, 1033),
}
# What a load reads where the time zone is UTC, and what the text says of a zone goes first.
_READ_IN_UTC = (
    r"(CASE WHEN ({v})::text ~ '^\s*\d+-\d+-\d+([T ]+\d+:\d+(:\d+([.,]\d+)?)?)?\s*(BC|AD)?\s*$'"
    " THEN ({v})::timestamp AT TIME ZONE 'UTC' ELSE ({v})::timestamptz END)"
)
_MODIFIER = re.compile(r"\(\d+(,-?\d+)?\)")
