"""How each column is compared: as which value on which side, so that equal ones look equal.

A value is compared as the target keeps it: the source's is made into what a load would have made
of it. Both sides hash the same value to the same number whatever their settings are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql

from runner.plan import TIMESTAMP, TIMESTAMPTZ, Column


class Hashing(StrEnum):
    """What makes a number of a row, fastest first."""

    #: hash_record_extended, from PostgreSQL 14 on: values as they are.
    RECORD = "record"
    #: hashtextextended of the row's text.
    TEXT = "text"
    #: The first half of md5, where servers hash in different ways or keep text in different ones.
    MD5 = "md5"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One column of both sides. `source` and `target` are expressions of the alias q.

    `typed`: a value of a type whose hash tells equal from unequal; else text. `ranged`: values
    have an order that is the same on both sides. `width` is that of a value in bytes, 0 when it
    varies.
    """

    name: str
    source: sql.Composable
    target: sql.Composable
    type_name: str = "text"
    typed: bool = False
    ranged: bool = False
    width: int = 0
    tolerance: float | None = None
    numeric: bool = False

    def on(self, *, source: bool) -> sql.Composable:
        """The value on one side."""
        return self.source if source else self.target

    def text(self, *, source: bool) -> sql.Composable:
        """The value as text, equal where the values are."""
        value = self.on(source=source)
        if self.numeric:
            return sql.SQL("pg_catalog.trim_scale({})::text").format(value)
        return sql.SQL("({})::text").format(value) if self.typed else value

    def shown(self, *, source: bool) -> sql.Composable:
        """The value as text, as it is stored."""
        value = self.on(source=source)
        return sql.SQL("({})::text").format(value) if self.typed else value

    def hashed(self, hashing: Hashing, *, source: bool) -> sql.Composable:
        """What goes into the row's hash."""
        if self.tolerance is not None:
            return self._step(source=source)
        if hashing is Hashing.RECORD:
            return self.on(source=source)
        return self.text(source=source)

    def _step(self, *, source: bool) -> sql.Composable:
        """Which multiple of the tolerance is below the value: another one for all that is further
        away than the tolerance. What is near may still have another one."""
        value, width = self.on(source=source), sql.Literal(repr(self.tolerance))
        if self.numeric:
            return sql.SQL("floor({} / {}::numeric)::text").format(value, width)
        # A division that would overflow or vanish is an error.
        return sql.SQL(
            "CASE WHEN {v} >= 0 AND {v} < {w}::float8 THEN '0'"
            " WHEN {v} < 0 AND {v} > -{w}::float8 THEN '-1'"
            " WHEN abs({v}) < 1e15 * least({w}::float8, 1e290)"
            " THEN floor({v} / {w}::float8)::text ELSE ({v})::text END"
        ).format(v=sql.SQL("({})::float8").format(value), w=width)


def forms_of(
    columns: Sequence[Column],
    targets: Sequence[Column],
    tolerances: dict[str, float],
) -> tuple[Form, ...]:
    """The forms of the query's columns with those of the table in the same order."""
    return tuple(
        _form(column, target, tolerances.get(column.name))
        for column, target in zip(columns, targets, strict=True)
    )


def takes_tolerance(target: Column) -> bool:
    """Whether values of the column are numbers with a fraction."""
    return _oid(target) in _FRACTIONS


def _form(column: Column, target: Column, tolerance: float | None) -> Form:
    oid = _oid(target)
    kind = _TYPED.get(oid)
    if kind is None:
        return Form(
            name=column.name,
            source=_collated(_written(column)),
            target=_collated(sql.SQL("({})::text").format(_named(column))),
        )
    source = _converted(column, target, kind.name)
    value: sql.Composable = _named(column)
    if target.base_oid:
        value = sql.SQL("({})::{}").format(value, sql.SQL(kind.name))
    if kind.collated:
        source, value = _collated(source), _collated(value)
    return Form(
        name=column.name,
        source=source,
        target=value,
        type_name=kind.name,
        typed=True,
        ranged=kind.ranged,
        width=kind.width,
        tolerance=tolerance,
        numeric=oid == _NUMERIC,
    )


def _oid(target: Column) -> int:
    return target.base_oid or target.oid


def _converted(column: Column, target: Column, type_name: str) -> sql.Composable:
    """The source's value as a load would have made it a value of the target."""
    value, oid = _named(column), _oid(target)
    if column.oid == oid:
        is_rounded = oid in _ROUNDED and column.modifier != target.modifier and not target.base_oid
        return _cast(value, target.type_name) if is_rounded else value
    if column.oid in _INTEGERS and oid in (*_INTEGERS, _NUMERIC):
        return _cast(value, type_name)
    if column.oid in _TEXTS and oid in _TEXTS:
        return _cast(value, type_name)
    if oid == TIMESTAMPTZ and column.oid in (TIMESTAMP, _DATE):
        # A load writes it where the time zone is UTC.
        return sql.SQL("(({})::timestamp AT TIME ZONE 'UTC')").format(value)
    if column.oid == TIMESTAMPTZ and oid in (TIMESTAMP, _DATE):
        return _cast(value, type_name)
    whole = target.type_name if oid in _ROUNDED and not target.base_oid else type_name
    return _cast(_written(column), whole)


def _written(column: Column) -> sql.Composable:
    """As COPY writes it, which a cast to text does not always (boolean, char(n), inet)."""
    value = _named(column)
    if column.oid in _TEXTS:
        return _cast(value, "text")
    return sql.SQL("CASE WHEN {v} IS NOT NULL THEN pg_catalog.format('%s', {v}) END").format(
        v=value
    )


def _named(column: Column) -> sql.Identifier:
    return sql.Identifier("q", column.name)


def _cast(value: sql.Composable, type_name: str) -> sql.Composed:
    return sql.SQL("({})::{}").format(value, sql.SQL(type_name))


def _collated(value: sql.Composable) -> sql.Composed:
    return sql.SQL('({} COLLATE "C")').format(value)


@dataclass(frozen=True)
class _Kind:
    """A built-in type of which equal values have equal hashes on every server."""

    name: str
    width: int = 0
    ranged: bool = True
    collated: bool = False


# Fixed by PostgreSQL's catalog (pg_type.dat). Not here, so compared as text: interval and inet,
# where values that differ can be equal; json and the geometric types, which have no hash.
_TYPED = {
    16: _Kind("boolean", 1, ranged=False),
    17: _Kind("bytea"),
    20: _Kind("bigint", 8),
    21: _Kind("smallint", 2),
    23: _Kind("integer", 4),
    25: _Kind("text", collated=True),
    26: _Kind("oid", 4),
    700: _Kind("real", 4),
    701: _Kind("double precision", 8),
    829: _Kind("macaddr", 6),
    1042: _Kind("bpchar", collated=True),
    1043: _Kind("character varying", collated=True),
    1082: _Kind("date", 4),
    1083: _Kind("time", 8),
    1114: _Kind("timestamp", 8),
    1184: _Kind("timestamptz", 8),
    1700: _Kind("numeric"),
    2950: _Kind("uuid", 16),
    3802: _Kind("jsonb", ranged=False),
    5069: _Kind("xid8", 8, ranged=False),
}
_NUMERIC, _DATE = 1700, 1082
_INTEGERS = (20, 21, 23)
_TEXTS = (25, 1043)
_FRACTIONS = (700, 701, _NUMERIC)
#: A load rounds to the target's modifier: time, timestamp, timestamptz, numeric.
_ROUNDED = (1083, 1114, 1184, _NUMERIC)
