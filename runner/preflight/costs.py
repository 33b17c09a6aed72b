"""What the source's planner expects of a query; nothing is run, and words are elsewhere."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from psycopg import sql
from psycopg.pq.abc import PGresult

from runner.connections import Session
from runner.preflight.looking import Ask, looking
from runner.statements import preview, source

#: A node of what EXPLAIN (FORMAT JSON) gives.
Node: TypeAlias = Mapping[str, Any]

# In the planner's unit, the time of reading one page in sequence. On an ordinary server a plan of
# 10,000 takes well under a second, one of 1,000,000 some ten seconds or more.
MODERATE_COST = 10_000.0
HEAVY_COST = 1_000_000.0
#: Reading the whole of a smaller table is no news.
BIG_TABLE_ROWS = 10_000
#: Fewer rows are sorted in a blink.
MANY_SORTED_ROWS = 100_000
MOST_TABLES = 5


class Weight(StrEnum):
    """How much work a plan is, by its total cost."""

    LIGHT = "light"
    MODERATE = "moderate"
    HEAVY = "heavy"


@dataclass(frozen=True, kw_only=True)
class WholeTable:
    """A table that is read from its first row to its last."""

    name: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The planner's estimates: rows and bytes that come out, big tables that are read as a whole,
    the most rows that are sorted at once (0: not many)."""

    cost: float
    rows: int
    size: int
    whole_tables: tuple[WholeTable, ...] = ()
    sorted_rows: int = 0

    @property
    def weight(self) -> Weight:
        """The cost as a word."""
        if self.cost < MODERATE_COST:
            return Weight.LIGHT
        return Weight.MODERATE if self.cost < HEAVY_COST else Weight.HEAVY


def plan_of(session: Session, query: str, seconds: float) -> tuple[Plan, Node]:
    """The estimates for reading all of the query, and the plan itself."""
    with looking(session, seconds=seconds) as ask:
        root = explained(ask, source.wrapped(query))
    sorts = [int(node["Plan Rows"]) for node in walk(root) if node["Node Type"] == "Sort"]
    most = max(sorts, default=0)
    return Plan(
        cost=float(root["Total Cost"]),
        rows=int(root["Plan Rows"]),
        size=int(root["Plan Rows"]) * int(root["Plan Width"]),
        whole_tables=_whole_tables(session, root),
        sorted_rows=most if most >= MANY_SORTED_ROWS else 0,
    ), root


def explained(ask: Ask, statement: sql.Composable) -> Node:
    """The topmost node of the plan of `statement`."""
    result: PGresult = ask(preview.explain(statement))
    (whole,) = json.loads(result.get_value(0, 0) or b"[{}]")
    root: Node = whole["Plan"]
    return root


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)


def inputs(node: Node) -> list[Node]:
    """The nodes whose rows this one passes on, in order; subqueries in expressions are not."""
    return [
        child
        for child in node.get("Plans", ())
        if child.get("Parent Relationship") not in ("InitPlan", "SubPlan")
    ]


def _whole_tables(session: Session, root: Node) -> tuple[WholeTable, ...]:
    """The largest first."""
    scans = {
        (str(node.get("Schema", "")), str(node["Relation Name"])): int(node["Plan Rows"])
        for node in walk(root)
        if node["Node Type"] == "Seq Scan"
    }
    if not scans:
        return ()
    schemas, tables = zip(*scans, strict=True)
    counted = session.execute(preview.SIZES, [list(schemas), list(tables)]).fetchall()
    # The plan's number is of what is left after its filter, but better than none.
    sizes = scans | {(schema, name): rows for schema, name, rows in counted if rows > 0}
    found = sorted(sizes.items(), key=lambda item: -item[1])
    return tuple(
        WholeTable(name=f"{schema}.{name}", rows=rows)
        for (schema, name), rows in found
        if rows >= BIG_TABLE_ROWS
    )
