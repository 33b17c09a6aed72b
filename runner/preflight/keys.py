"""Whether the source can serve an incremental read: an index, no NULLs, no two equal positions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from pipelines.names import TableName
from runner.connections import Session
from runner.plan import DATE, TIMESTAMP, TIMESTAMPTZ, XID8, Column, Position
from runner.preflight.costs import Node, explained, inputs, walk
from runner.preflight.examine import Examined
from runner.preflight.looking import attempt, looking
from runner.statements import preview, source
from runner.statements.source import Bounds

#: Worth a wait only where an index answers.
SECONDS_FOR_NULLS = 2.0

#: Kinds of relations (pg_class.relkind) that can have an index.
_TABLE, _PARTITIONED, _MATERIALIZED = "r", "p", "m"
_INDEXED = {_TABLE, _PARTITIONED, _MATERIALIZED}


class Reading(StrEnum):
    """How a run gets at what is new, in the order that it needs."""

    INDEX = "an index gives the order, and begins at the checkpoint"
    WHOLE_INDEX = "an index gives the order, and is read from its beginning"
    SORT = "an index finds what is new, which is then sorted"
    EVERYTHING = "everything is read and sorted"
    NOTHING = "there is nothing that would have to be sorted"


@dataclass(frozen=True, kw_only=True)
class KeyFacts:
    """Answers about the incremental key, None where there is none.

    `placeless`: are there rows whose key is NULL or infinite? `unique`: does an index (of the name
    `unique_index`) keep two rows from having the same key and key columns? `advice` is the index
    to create.
    """

    reading: Reading | None
    placeless: bool | None
    unique: bool | None
    unique_index: str = ""
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the catalog tells: see KeyFacts."""

    unique: bool | None = None
    index: str = ""
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """The columns of a table that columns of the order are; `has_all`: that all of them are."""

    oid: int
    table: TableName
    numbers: tuple[int, ...]
    columns: tuple[str, ...]
    kind: str
    has_all: bool

    @property
    def advice(self) -> str:
        """The index that gives the order."""
        concurrently = self.kind != _PARTITIONED
        statement = preview.create_index(self.table, self.columns, concurrently=concurrently)
        return statement.as_string()


def facts_of(
    session: Session, examined: Examined, *, plan: Node | None, seconds: float
) -> KeyFacts:
    """What can be known of the order (the incremental key, the key columns) without reading it all.

    `plan` is that of the whole query. Never raises for what the source says.
    """
    reading, _ = attempt(partial(_reading, session, examined), seconds)
    placeless, _ = attempt(partial(_placeless, session, examined), SECONDS_FOR_NULLS)
    known, _ = attempt(partial(_unique, session, examined, plan), seconds)
    return KeyFacts(
        reading=reading,
        placeless=placeless,
        unique=known.unique if known else None,
        unique_index=known.index if known else "",
        advice=known.advice if known and reading in (Reading.EVERYTHING, Reading.SORT) else "",
    )


# The order.


def _reading(session: Session, examined: Examined, seconds: float) -> Reading:
    """By the plan of what an incremental run really asks, as if tables were too large to sort."""
    bounds, mark = _sample(examined.order)
    statement = source.select_after(
        examined.query, examined.findings.columns, examined.order, bounds=bounds
    )
    with looking(session, seconds=seconds) as ask:
        for setting in preview.INDEXES_FIRST:
            session.run(setting)
        root = explained(ask, statement)
    from_checkpoint = mark is not None and any(
        mark.search(str(node.get("Index Cond", ""))) for node in walk(root)
    )
    if _is_sorted(root):
        return Reading.SORT if from_checkpoint else Reading.EVERYTHING
    if not any("Index Name" in node for node in walk(root)):
        return Reading.NOTHING
    return Reading.INDEX if from_checkpoint or mark is None else Reading.WHOLE_INDEX


def _is_sorted(node: Node) -> bool:
    """Whether the order of the rows comes from a sort of them all.

    An incremental sort only puts rows with equal keys into order; of a join the outer side counts.
    """
    if node["Node Type"] == "Sort":
        return True
    below = inputs(node)
    if node["Node Type"] not in ("Append", "Merge Append"):
        below = below[:1]
    return any(_is_sorted(child) for child in below)


#: Values that no query will have, and what they look like in a plan, in any time zone. Only types
#: whose values are neither rounded nor refused.
_MOMENT = ("1987-06-05 12:34:56", r"1987-06-0[456] \d\d:\d\d:56")
_SAMPLES = {
    TIMESTAMPTZ: _MOMENT,
    TIMESTAMP: _MOMENT,
    DATE: ("1987-06-05", "1987-06-05"),
    21: ("12347", r"\b12347\b"),
    23: ("1234567891", r"\b1234567891\b"),
    20: ("1234567891", r"\b1234567891\b"),
    XID8: ("1234567891", r"\b1234567891\b"),
    1700: ("1234567891", r"\b1234567891\b"),
    25: ("etl_admin bound", "etl_admin bound"),
    1043: ("etl_admin bound", "etl_admin bound"),
    2950: ("e71ad000-0000-4000-8000-000000000000", "e71ad000-0000-4000-8000-000000000000"),
}
_TEMPORAL = (TIMESTAMPTZ, TIMESTAMP)


def _sample(order: Sequence[Column]) -> tuple[Bounds, re.Pattern[str] | None]:
    """Bounds as a later run has them, and how to know the first of them in a plan again."""
    samples = [_sample_of(column) for column in order]
    is_xid = order[0].oid == XID8
    if samples[0] is None:
        return Bounds(xid=is_xid), None
    mark = re.compile(samples[0][1])
    values = [sample[0] for sample in samples if sample is not None]
    if len(values) < len(order):
        return Bounds(lower=values[0], xid=is_xid), mark
    position = Position(cursor=values[0], cursor_type="", key=tuple(values[1:]))
    return Bounds(position=position, xid=is_xid), mark


def _sample_of(column: Column) -> tuple[str, str] | None:
    if column.modifier != -1 and column.oid not in _TEMPORAL:
        return None  # too long, or too large
    return _SAMPLES.get(column.oid)


# NULL.


def _placeless(session: Session, examined: Examined, seconds: float) -> bool:
    with looking(session, seconds=seconds) as ask:
        answer = ask(source.any_placeless(examined.query, examined.order[0]))
    return answer.get_value(0, 0) == b"t"


# Where the columns come from, and what is unique there.


def _unique(session: Session, examined: Examined, plan: Node | None, _seconds: float) -> _Known:
    origins = _origins(session, examined)
    advice = next((o.advice for o in origins if o.has_all and o.kind in _INDEXED), "")
    if plan is None:
        return _Known(advice=advice)
    is_certain = False
    for origin in origins:
        names = session.execute(preview.FAMILY, {"oid": origin.oid}).fetchall()
        if not _comes_once(plan, {(schema, name) for schema, name in names}):
            continue
        row = session.execute(preview.UNIQUE_WITHIN, [origin.oid, list(origin.numbers)]).fetchone()
        if row is not None:
            return _Known(unique=True, index=row[0], advice=advice)
        is_certain = is_certain or origin.has_all
    return _Known(unique=False if is_certain else None, advice=advice)


def _origins(session: Session, examined: Examined) -> list[_Origin]:
    """The tables that columns of the order are plain columns of."""
    described = session.describe(examined.query)
    place = {column.name: i for i, column in enumerate(examined.findings.columns)}
    order = [place[column.name] for column in examined.order]
    plain = [(described.ftable(i), described.ftablecol(i)) for i in order]
    found = [(oid, number) for oid, number in plain if oid and number > 0]
    oids, numbers = [oid for oid, _ in found], [number for _, number in found]
    rows = session.execute(preview.ORIGINS, [oids, numbers]).fetchall()
    tables: dict[int, _Origin] = {}
    for (oid, number), (schema, name, kind, column) in zip(found, rows, strict=True):
        known = tables.get(oid)
        tables[oid] = _Origin(
            oid=oid,
            table=TableName(schema=schema, name=name),
            numbers=(*(known.numbers if known else ()), number),
            columns=(*(known.columns if known else ()), column),
            kind=kind,
            has_all=len([other for other in oids if other == oid]) == len(order),
        )
    return list(tables.values())


def _comes_once(plan: Node, family: set[tuple[str, str]]) -> bool:
    """Whether the plan gives no row of the table twice; `family` is its name and its partitions'.

    False also where that cannot be seen.
    """
    scans = [_table(node) for node in walk(plan) if "Relation Name" in node]
    read = [name for name in scans if name in family]
    return len(read) == len(set(read)) and _passes_on(plan, family)


def _passes_on(node: Node, family: set[tuple[str, str]]) -> bool:
    kind, below = node["Node Type"], inputs(node)
    if "Relation Name" in node:
        return _table(node) in family
    if kind in ("Hash Join", "Merge Join", "Nested Loop"):
        return _survives_join(node, below, family)
    if kind in ("Append", "Merge Append"):
        return all(_passes_on(child, family) for child in below)
    return (
        kind in _PASSING
        and "Grouping Sets" not in node
        and len(below) == 1
        and _passes_on(below[0], family)
    )


def _survives_join(node: Node, below: list[Node], family: set[tuple[str, str]]) -> bool:
    outer, inner = below
    kind = node["Join Type"]
    if kind in ("Right Semi", "Right Anti"):
        return _passes_on(inner, family)
    is_single = kind in ("Semi", "Anti") or (kind in ("Inner", "Left") and node.get("Inner Unique"))
    return bool(is_single) and _passes_on(outer, family)


def _table(node: Node) -> tuple[str, str]:
    return (str(node.get("Schema", "")), str(node["Relation Name"]))


#: Nodes that give each row of their input once at most.
_PASSING = {
    *("Aggregate", "Gather", "Gather Merge", "Group", "Hash", "Incremental Sort", "Limit"),
    *("Materialize", "Memoize", "Result", "Sort", "Subquery Scan", "Unique", "WindowAgg"),
}
