"""How each column is compared: as which value on which side, and what of it goes into a hash.

A value is compared as the target keeps it: the source's is made into what a load would have made
of it. Both sides hash the same value to the same number whatever their settings are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql

from runner.comparing.converting import as_kept, as_loaded, compared_oid
from runner.comparing.kinds import KINDS, PLAIN_TEXT, Kind
from runner.plan import Column


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

    `ranged`: values have an order that is the same on both sides. `width` is that of a value in
    bytes, 0 when it varies.
    """

    name: str
    source: sql.Composable
    target: sql.Composable
    kind: Kind
    tolerance: float | None = None
    ranged: bool = False

    @property
    def type_name(self) -> str:
        """The type of a value on both sides."""
        return self.kind.name

    @property
    def width(self) -> int:
        """How many bytes each value has, 0 when that varies."""
        return self.kind.width

    def on(self, *, source: bool) -> sql.Composable:
        """The value on one side."""
        return self.source if source else self.target

    def text(self, *, source: bool) -> sql.Composable:
        """The value as text, equal where the values are."""
        return _filled(self.kind.text, self.on(source=source))

    def sought(self, *, source: bool) -> tuple[sql.Composable, str]:
        """What is compared with texts of wanted values, and the type that they are cast to."""
        if self.kind.readable:
            return self.on(source=source), self.type_name
        return self.text(source=source), "text"

    def shown(self, *, source: bool) -> sql.Composable:
        """The value as text, as it is stored."""
        return _filled(self.kind.shown, self.on(source=source))

    def hashed(self, hashing: Hashing, *, source: bool) -> sql.Composable:
        """What goes into the row's hash."""
        if self.tolerance is not None:
            return self._step(source=source)
        if hashing is Hashing.RECORD:
            return _filled(self.kind.hashed, self.on(source=source))
        return self.text(source=source)

    @property
    def is_seed(self) -> bool:
        """Whether the whole value can be the seed of a record's hash, which costs least."""
        return bool(self.kind.seed) and self.tolerance is None

    def seed(self, *, source: bool) -> sql.Composable:
        """The value as a seed, which is not 0."""
        return _filled(self.kind.seed, self.on(source=source))

    def _step(self, *, source: bool) -> sql.Composable:
        """Which multiple of the tolerance is below the value: another one for all that is further
        away than the tolerance. What is near may still have another one."""
        value, width = self.on(source=source), sql.Literal(repr(self.tolerance))
        step = _NUMERIC_STEP if self.type_name == "numeric" else _FLOAT_STEP
        return sql.SQL(step).format(v=value, w=width)


_NUMERIC_STEP = '(pg_catalog.floor({v} / {w}::numeric)::text COLLATE "C")'
# A division that would overflow or vanish is an error.
_FLOAT_STEP = (
    "(CASE WHEN ({v})::float8 >= 0::float8 AND ({v})::float8 < {w}::float8 THEN '0'"
    " WHEN ({v})::float8 < 0::float8 AND ({v})::float8 > -{w}::float8 THEN '-1'"
    " WHEN pg_catalog.abs(({v})::float8) < 1e15::float8 * least({w}::float8, 1e290::float8)"
    " THEN pg_catalog.floor(({v})::float8 / {w}::float8)::text"
    ' ELSE ({v})::float8::text END COLLATE "C")'
)


def forms_of(
    columns: Sequence[Column],
    targets: Sequence[Column],
    tolerances: dict[str, float],
    *,
    one_encoding: bool,
) -> tuple[Form, ...]:
    """The forms of the query's columns with those of the table in the same order.

    `one_encoding`: both servers keep text in the same bytes, which give it its order.
    """
    return tuple(
        _form(column, target, tolerances.get(column.name), one_encoding=one_encoding)
        for column, target in zip(columns, targets, strict=True)
    )


def takes_tolerance(target: Column) -> bool:
    """Whether values of the column are numbers with a fraction."""
    return (target.base_oid or target.oid) in _FRACTIONS


def _form(column: Column, target: Column, tolerance: float | None, *, one_encoding: bool) -> Form:
    oid = compared_oid(column, target)
    kind = KINDS.get(oid, PLAIN_TEXT)
    if not one_encoding:
        kind = kind.between_encodings
    source, value = as_loaded(column, target, oid, kind), as_kept(target, oid, kind)
    if kind.collated:
        source, value = _collated(source), _collated(value)
    return Form(
        name=column.name,
        source=source,
        target=value,
        kind=kind,
        tolerance=tolerance or None,
        ranged=kind.ranged,
    )


def _collated(value: sql.Composable) -> sql.Composed:
    return sql.SQL('({} COLLATE "C")').format(value)


def _filled(template: str, value: sql.Composable) -> sql.Composed:
    return sql.SQL(template).format(v=value)


#: real, double precision, numeric.
_FRACTIONS = (700, 701, 1700)
