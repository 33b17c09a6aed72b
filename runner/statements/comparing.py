"""Statements that compare: counts and sums of hashes by range of keys, and rows of a range."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from pipelines.names import TableName
from runner.comparing.forms import Form, Hashing
from runner.statements.hashes import HASHES
from runner.statements.parts import conjunction, subquery, table, typed

_WHOLE = {"bigint", "integer", "smallint"}
_EXACT = 2**53
#: Longer values are cut for people.
SHOWN_CHARACTERS = 300
#: With more keys than this an index would be asked too often.
_MOST_COMPARED = 1000


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How rows are put into segments: by the first key column between `bounds` (texts, sorted,
    of its type), and within a range by the key's hash, into `parts` (a power of two).
    """

    first: Form | None
    bounds: tuple[str, ...] = ()
    parts: int = 1

    @property
    def are_small(self) -> bool:
        """Whole numbers that a float8 holds exactly."""
        whole = self.first is not None and self.first.type_name in _WHOLE
        return whole and all(abs(int(bound)) < _EXACT for bound in self.bounds)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One side of a comparison: rows of `rows` AS q that fulfil `conditions`."""

    source: bool
    rows: sql.Composable
    hashing: Hashing
    key: tuple[Form, ...]
    columns: tuple[Form, ...]
    ranges: Ranges
    conditions: tuple[sql.Composable, ...] = ()

    def where(self, *more: sql.Composable) -> sql.Composable:
        """All conditions in one."""
        return conjunction([*self.conditions, *more])

    def row_hash(self, forms: Sequence[Form]) -> sql.Composable:
        """A bigint that is equal for equal values of these columns."""
        seeding = next((form for form in forms if form.is_seed), None)
        values = [
            form.on(source=self.source)
            if form is seeding and self.hashing is Hashing.RECORD
            else form.hashed(self.hashing, source=self.source)
            for form in forms
        ]
        return HASHES[self.hashing].format(
            row=sql.SQL("ROW({})").format(sql.SQL(", ").join(values)),
            seed=sql.SQL("1") if seeding is None else seeding.seed(source=self.source),
        )

    @property
    def segment(self) -> sql.Composable:
        """The number of a row's segment."""
        ranges = self.ranges
        number: sql.Composable = sql.SQL("0")
        if ranges.first is not None and ranges.bounds:
            value, type_name = ranges.first.on(source=self.source), ranges.first.type_name
            if ranges.are_small:
                # The quickest search that PostgreSQL has.
                value, type_name = sql.SQL("({})::float8").format(value), "float8"
            number = sql.SQL("coalesce(pg_catalog.width_bucket({}, {}), 0)").format(
                value, array_of(ranges.bounds, type_name)
            )
        if ranges.parts == 1:
            return number
        # An operator of exactly these types is PostgreSQL's own, whatever the search path has.
        return sql.SQL("({} * {} + ({} & {}::bigint))").format(
            number,
            sql.Literal(ranges.parts),
            self.row_hash(self.key),
            sql.Literal(ranges.parts - 1),
        )


def source_rows(query: str) -> sql.Composable:
    """What a side's `rows` are on the source."""
    return subquery(query)


def target_rows(name: TableName) -> sql.Composable:
    """What a side's `rows` are on the target."""
    return sql.SQL("{} AS q").format(table(name))


def total(place: Place) -> sql.Composed:
    """How many rows there are."""
    return sql.SQL("COPY (SELECT count(*) FROM {} WHERE {}) TO STDOUT").format(
        place.rows, place.where()
    )


def whole(place: Place) -> sql.Composed:
    """How many rows there are, and the sum of their hashes."""
    return sql.SQL(
        "COPY (SELECT count(*), coalesce(sum({}), 0) FROM {} WHERE {}) TO STDOUT"
    ).format(place.row_hash(place.columns), place.rows, place.where())


def segments(place: Place) -> sql.Composed:
    """For each segment: its number, how many rows it has, the sum of their hashes.

    Of a UNION the planner cannot tell how many values there are, so it does not take each key for
    a group of its own, which it would not let several processes count. It leaves out a part that
    is never true only where that is of a table.
    """
    return sql.SQL(
        "COPY (SELECT s, count(*), sum(h) FROM (SELECT {} AS s, {} AS h FROM {} WHERE {}"
        " UNION ALL SELECT 0, 0::bigint FROM pg_catalog.pg_class WHERE false) AS r"
        " GROUP BY s) TO STDOUT"
    ).format(place.segment, place.row_hash(place.columns), place.rows, place.where())


def rows_of(
    place: Place, wanted: Sequence[int], spans: Sequence[sql.Composable], *, pieces: int = 1
) -> sql.Composed:
    """The rows of these segments in their order: number, hash, near values, then the key.

    `spans` are conditions on the key that an index can answer, one of which holds for each row.
    Each segment is cut into `pieces` (a power of two), numbered through.
    """
    exact = [form for form in place.columns if form.tolerance is None]
    near = [form for form in place.columns if form.tolerance is not None]
    columns = [
        *(form.on(source=place.source) for form in near),
        *(form.text(source=place.source) for form in place.key),
    ]
    where = place.where(sql.SQL("({})").format(sql.SQL(" OR ").join(spans))) if spans else None
    return sql.SQL(
        "COPY (SELECT * FROM (SELECT {} AS s, {} AS h, {} FROM {} WHERE {} OFFSET 0) AS r"
        " WHERE s / {} = ANY({}) ORDER BY s) TO STDOUT"
    ).format(
        _piece(place, pieces),
        place.row_hash(exact) if exact else sql.SQL("0"),
        sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(column, sql.Identifier(f"c{i}"))
            for i, column in enumerate(columns)
        ),
        place.rows,
        where or place.where(),
        sql.Literal(pieces),
        array_of([str(number) for number in wanted], "bigint"),
    )


def _piece(place: Place, pieces: int) -> sql.Composable:
    if pieces == 1:
        return place.segment
    # The hash's lowest bits say which segment.
    return sql.SQL("({}::bigint * {} + (({} >> 32) & {}))").format(
        place.segment, sql.Literal(pieces), place.row_hash(place.key), sql.Literal(pieces - 1)
    )


def span(place: Place, low: str | None, high: str | None) -> sql.Composable:
    """The first key column is at least `low` and below `high`; a NULL is below everything."""
    first = place.ranges.first
    assert first is not None  # noqa: S101  # only ranges have borders
    value, type_name = first.on(source=place.source), first.type_name
    parts: list[sql.Composable] = []
    if low is not None:
        parts.append(sql.SQL("{} >= {}").format(value, typed(low, type_name)))
    if high is not None:
        parts.append(sql.SQL("{} < {}").format(value, typed(high, type_name)))
    found = sql.SQL("({})").format(conjunction(parts))
    if low is None:
        return sql.SQL("({} OR {} IS NULL)").format(found, value)
    return found


def values_of(place: Place, keys: Sequence[Sequence[str | None]]) -> sql.Composed:
    """For each row with one of these keys: the key, then of each column what people read and what
    is compared: a hash, or the value where values may be near."""
    columns = (
        sql.SQL("{}, {}").format(
            _for_people(form, source=place.source),
            place.row_hash([form]) if form.tolerance is None else form.on(source=place.source),
        )
        for form in place.columns
    )
    return sql.SQL("COPY (SELECT {}, {} FROM {} WHERE {}) TO STDOUT").format(
        sql.SQL(", ").join(form.text(source=place.source) for form in place.key),
        sql.SQL(", ").join(columns),
        place.rows,
        place.where(among(place.key, keys, source=place.source)),
    )


def _for_people(form: Form, *, source: bool) -> sql.Composable:
    return sql.SQL(
        "CASE WHEN pg_catalog.length({t}) <= {n} THEN {t} ELSE pg_catalog.left({t}, {n})"
        " || '... (' || pg_catalog.length({t}) || ')' END"
    ).format(t=form.shown(source=source), n=sql.Literal(SHOWN_CHARACTERS))


def among(
    key: Sequence[Form], keys: Sequence[Sequence[str | None]], *, source: bool
) -> sql.Composable:
    """The key is one of these (texts). A NULL in a key is equal to a NULL."""
    whole = [values for values in keys if None not in values]
    parts = [_with_null(key, values, source=source) for values in keys if None in values]
    if len(whole) > _MOST_COMPARED or (whole and len(key) > 1):
        # As a subquery, which is hashed once: however many keys there are, each row is looked
        # up, not compared with each of them.
        parts.append(
            sql.SQL("({}) IN (SELECT * FROM ROWS FROM ({}))").format(
                sql.SQL(", ").join(form.sought(source=source)[0] for form in key),
                sql.SQL(", ").join(
                    sql.SQL("pg_catalog.unnest({})").format(array) for array in _arrays(key, whole)
                ),
            )
        )
    elif whole:
        (array,) = _arrays(key, whole)
        parts.append(sql.SQL("{} = ANY({})").format(key[0].sought(source=source)[0], array))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts)) if parts else sql.SQL("false")


def _arrays(key: Sequence[Form], keys: Sequence[Sequence[str | None]]) -> Sequence[sql.Composable]:
    columns = zip(*keys, strict=True)
    return [
        array_of([text or "" for text in texts], form.sought(source=True)[1])
        for form, texts in zip(key, columns, strict=True)
    ]


def _with_null(
    key: Sequence[Form], values: Sequence[str | None], *, source: bool
) -> sql.Composable:
    sought = (form.sought(source=source) for form in key)
    equal = (
        sql.SQL("{} IS NOT DISTINCT FROM {}::{}").format(
            expression, sql.Literal(value), sql.SQL(type_name)
        )
        for (expression, type_name), value in zip(sought, values, strict=True)
    )
    return sql.SQL("({})").format(sql.SQL(" AND ").join(equal))


def array_of(texts: Sequence[str], type_name: str) -> sql.Composed:
    """A constant array. Its text is made here, because adapting a list takes thrice as long."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    listed = ",".join(f'"{text}"' for text in quoted)
    return sql.SQL("{}::{}[]").format(sql.Literal(f"{{{listed}}}"), sql.SQL(type_name))


def quantiles(rows: sql.Composable, form: Form, *, percent: float, count: int) -> sql.Composed:
    """Values of a column that cut some pages of the table into `count` parts and two halves of
    one at the ends, in order."""
    return sql.SQL(
        "COPY (SELECT unnest(percentile_disc({fractions}) WITHIN GROUP (ORDER BY {v}))::text"
        " FROM {rows} TABLESAMPLE SYSTEM ({p}) REPEATABLE (1) WHERE {v} IS NOT NULL) TO STDOUT"
    ).format(
        v=form.target,
        rows=rows,
        p=sql.Literal(percent),
        fractions=array_of([str((part + 0.5) / count) for part in range(count)], "float8"),
    )


def pages(oid: int) -> sql.Composed:
    """How many pages the table has, its partitions together."""
    return sql.SQL(
        "SELECT greatest(pg_relation_size({oid}::oid::regclass), (SELECT coalesce(sum("
        "pg_relation_size(relid)), 0) FROM pg_partition_tree({oid}::oid::regclass)))::bigint"
        " / current_setting('block_size')::bigint"
    ).format(oid=sql.Literal(oid))


def not_deleted(column: str) -> sql.Composable:
    """Rows of the target that no load has marked as deleted."""
    return sql.SQL("({0} IS NULL OR {0}::text = 'false')").format(sql.Identifier("q", column))


#: The first statement of a transaction takes its snapshot.
SEE = sql.SQL("SELECT 1")


def keep(name: TableName) -> sql.Composed:
    """Nobody can put another table in this one's place, in which an older snapshot sees nothing.

    Before the snapshot is taken, which LOCK does not do.
    """
    return sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(table(name))
