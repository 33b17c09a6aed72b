"""Looking at a definition before it is stored: its checks, and what its query and plan look like.

Nothing is written on either server. What the parts say in words is in `words`.
"""

from dataclasses import dataclass, replace
from functools import partial

from runner.connections import Session
from runner.plan import Definition, Mode
from runner.preflight.ask import LIMIT_SECONDS, examining
from runner.preflight.costs import Plan, plan_of
from runner.preflight.examine import Examined
from runner.preflight.keys import KeyFacts, facts_of
from runner.preflight.looking import Trouble, attempt, looking
from runner.preflight.match import is_binary
from runner.preflight.table import swap_obstacles
from runner.preflight.values import Findings
from runner.statements import catalog
from runner.statements import preview as statements

USUAL_ROWS = 20
MOST_ROWS = 100
#: Longer values are cut by the server: to so many characters, or to fewer where there are so many
#: values that all together would be longer than the other two numbers say.
VALUE_LENGTH = 200
_ALL_LENGTHS = 1_000_000
_LEAST_LENGTH = 10
_CUT = "…"

Rows = tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A column of the query: its type there, the type that it gets, and whether the table's column
    is there already. `as_bytes`: its values could pass as they are, without becoming text."""

    name: str
    type_name: str
    becomes: str
    is_created: bool
    as_bytes: bool


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A definition that can run, and what it looks like.

    `obstacles` are the reasons against a swap, `unfilled` the table's columns that the query does
    not return. `ddl` is what will be created. `rows` has each value as text made by PostgreSQL,
    None for NULL, a cut one ending in “…”; it is None when no rows were asked for, or for the
    reason in `rows_trouble`. So is `plan`. `key` is known of incremental definitions only.
    """

    definition: Definition
    findings: Findings
    columns: tuple[Shown, ...]
    as_bytes: bool
    obstacles: tuple[str, ...] = ()
    unfilled: tuple[str, ...] = ()
    ddl: str | None = None
    rows: Rows | None = None
    rows_trouble: Trouble | None = None
    plan: Plan | None = None
    plan_trouble: Trouble | None = None
    key: KeyFacts | None = None


def validate(definition: Definition) -> Preview:
    """Check `definition`, running nothing. Raises Rejected."""
    with examining(definition) as (examined, _source, target):
        return _checked(definition, examined, target)


def preview(
    definition: Definition, *, rows: int = USUAL_ROWS, seconds: float = LIMIT_SECONDS
) -> Preview:
    """Check `definition`, ask the planner, read the first `rows`. Raises Rejected.

    Each part of it has so many `seconds`, and is missing where they were too few.
    """
    with examining(definition) as (examined, source, target):
        checked = _checked(definition, examined, target)
        planned, trouble = attempt(partial(plan_of, source, examined.query), seconds)
        plan, root = planned or (None, None)
        checked = replace(checked, plan=plan, plan_trouble=trouble)
        if definition.mode is Mode.INCREMENTAL:
            found = facts_of(source, examined, plan=root, seconds=seconds)
            checked = replace(checked, key=found)
        # The rows last, because a query may end its own session.
        if not rows:
            return checked
        read, trouble = attempt(partial(_first_rows, source, examined, rows), seconds)
        return replace(checked, rows=read, rows_trouble=trouble)


def _checked(definition: Definition, examined: Examined, target: Session) -> Preview:
    findings = examined.findings
    pairs = list(zip(findings.columns, findings.target_columns, strict=True))
    return Preview(
        definition=definition,
        findings=findings,
        columns=tuple(
            Shown(
                name=column.name,
                type_name=column.type_name,
                becomes=match.type_name,
                is_created=examined.table is None,
                as_bytes=is_binary((column,), (match,)),
            )
            for column, match in pairs
        ),
        as_bytes=examined.binary,
        obstacles=tuple(swap_obstacles(examined.table)) if examined.table else (),
        unfilled=_unfilled(examined),
        ddl=_ddl(definition, findings, target) if examined.table is None else None,
    )


def _unfilled(examined: Examined) -> tuple[str, ...]:
    if examined.table is None:
        return ()
    filled = {column.name for column in examined.findings.columns}
    return tuple(c.name for c in examined.table.columns if c.name not in filled)


def _ddl(definition: Definition, findings: Findings, target: Session) -> str:
    row = target.execute(catalog.SCHEMA, [definition.target_table.schema]).fetchone()
    return statements.create_table(
        definition.target_table,
        findings.columns,
        findings.key,
        with_schema=row is None or row[0] is None,
    ).as_string()


def _first_rows(session: Session, examined: Examined, rows: int, seconds: float) -> Rows:
    columns = examined.findings.columns
    length = max(_LEAST_LENGTH, min(VALUE_LENGTH, _ALL_LENGTHS // (rows * len(columns))))
    # One character more than is shown tells whether there are more.
    statement = statements.first_rows(examined.query, columns, rows=rows, width=length + 1)
    with looking(session, seconds=seconds) as ask:
        result = ask(statement)
    return tuple(
        tuple(_shown(result.get_value(row, column), length) for column in range(result.nfields))
        for row in range(result.ntuples)
    )


def _shown(value: bytes | None, length: int) -> str | None:
    if value is None:
        return None
    # A database in SQL_ASCII may hold bytes that are no text.
    text = value.decode(errors="replace")
    return text if len(text) <= length else text[:length] + _CUT
