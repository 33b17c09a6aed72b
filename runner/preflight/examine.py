"""The whole check of a definition over two open sessions: what the run and the forms both ask."""

from dataclasses import dataclass, replace

from runner.connections import Session
from runner.plan import FIRST_USER_OID, Column, Definition, Method, Mode
from runner.preflight.match import check_keys, check_updatable, is_binary, match_columns
from runner.preflight.merging import check_told_apart, warnings_of
from runner.preflight.order import basis_of, check_ordered
from runner.preflight.powers import check_source_role
from runner.preflight.promise import Promise, promise_for
from runner.preflight.query import describe_query, looks_empty, stripped
from runner.preflight.table import (
    Table,
    check_allowed,
    check_may_create,
    check_may_write,
    check_not_metadata,
    choose_method,
    find_table,
)
from runner.preflight.values import NO_TEXT, Findings, Rejected
from runner.statements import catalog, load
from runner.words import plain

#: Each table has these already: https://www.postgresql.org/docs/current/ddl-system-columns.html
_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
_MOST_COLUMNS = 1600


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Findings for people, with what only a run needs beside them.

    `basis` is what positions rest on: see `order`.
    """

    findings: Findings
    query: str
    table: Table | None
    promise: Promise | None
    binary: bool
    basis: str = ""

    @property
    def order(self) -> tuple[Column, ...]:
        """The columns that an incremental read is ordered by, incremental key first."""
        return ordered(self.findings)


def examine(definition: Definition, source: Session, target: Session) -> Examined:
    """Check `definition`, running nothing. Raises Rejected."""
    try:
        found = _examine(definition, source, target)
    except UnicodeDecodeError:
        raise Rejected({"source_query": [NO_TEXT]}) from None
    said = found.findings
    shown = replace(said, promise=plain(said.promise), warnings=tuple(map(plain, said.warnings)))
    return replace(found, findings=shown)


def _examine(definition: Definition, source: Session, target: Session) -> Examined:
    if looks_empty(definition.source_query):
        raise Rejected({"source_query": ["Write the query: it is empty."]})
    powers = check_source_role(definition, source)
    query = stripped(definition.source_query)
    columns = describe_query(source, query)
    check_allowed(definition)
    check_not_metadata(target, definition.target_table)
    table = find_table(target, definition.target_table)
    key = check_keys(definition, columns, table)
    if table is None:
        _check_creatable(target, definition, columns)
        targets = columns
    else:
        targets = match_columns(definition, columns, table, key)
        check_may_write(definition.target_table, table)
    findings = Findings(
        columns=columns,
        target_columns=targets,
        key=key,
        method=Method.MERGE,
        warnings=powers,
        creates=_creates(definition, columns, key) if table is None else None,
    )
    promise, basis = None, ""
    if definition.mode is Mode.FULL:
        findings = replace(findings, method=choose_method(table, definition.publish, key))
    else:
        findings, promise = _with_order(definition, findings, source)
        basis = basis_of(source, query, ordered(findings))
    if findings.method is Method.MERGE:
        findings = _with_merge(definition, findings, target, table)
    return Examined(
        findings=findings,
        query=query,
        table=table,
        promise=promise,
        binary=is_binary(columns, targets),
        basis=basis,
    )


def ordered(findings: Findings) -> tuple[Column, ...]:
    """The columns that `findings.order` names."""
    by_name = {column.name: column for column in findings.columns}
    return tuple(by_name[name] for name in findings.order)


def _with_order(
    definition: Definition, findings: Findings, source: Session
) -> tuple[Findings, Promise]:
    """Incremental: what the read is ordered by, and what is promised of late commits."""
    first = definition.incremental_key or ""
    column = next(c for c in findings.columns if c.name == first)
    promise = promise_for(source, column, definition.late_margin)
    found = replace(
        findings,
        order=(first, *(name for name in findings.key if name != first)),
        promise=promise.sentence,
        warnings=(*findings.warnings, *([promise.warning] if promise.warning else [])),
    )
    return found, promise


def _with_merge(
    definition: Definition, findings: Findings, target: Session, table: Table | None
) -> Findings:
    """What is written row by row, found by its key: a merge, or each batch of an incremental run.

    Raises Rejected.
    """
    if table is None:
        return findings
    name, columns = definition.target_table, [column.name for column in findings.columns]
    check_updatable(name, findings.target_columns, findings.key)
    check_told_apart(target, name, table, findings.key)
    found = warnings_of(target, name, table, columns, findings.key)
    return replace(findings, warnings=(*findings.warnings, *found))


def _check_possible(columns: tuple[Column, ...]) -> None:
    """What a query may return and a table cannot have."""
    sentences = [
        f"No table can have a column called “{column.name}”. Give it another name: … AS name."
        for column in columns
        if column.name in _SYSTEM_COLUMNS
    ]
    if len(columns) > _MOST_COLUMNS:
        sentences.append(f"The query returns {len(columns):,} columns; a table has at most 1,600.")
    if sentences:
        raise Rejected({"source_query": sentences})


def _creates(definition: Definition, columns: tuple[Column, ...], key: tuple[str, ...]) -> str:
    return load.create_table(definition.target_table, columns, key).as_string()


def _check_creatable(target: Session, definition: Definition, columns: tuple[Column, ...]) -> None:
    check_may_create(target, definition.target_table)
    _check_possible(columns)
    key = [column for column in columns if column.name in definition.key_columns]
    check_ordered(target, key, "key_columns")
    own = {c.type_name: c.name for c in columns if c.oid >= FIRST_USER_OID}
    unknown = target.execute(catalog.UNKNOWN_TYPES, [list(own)]).fetchall()
    if unknown:
        raise Rejected(
            {
                "source_query": [
                    f"Column “{own[name]}” is of type {name}, which the target does not have. "
                    "Create the type there, or cast the column to text."
                    for (name,) in unknown
                ]
            }
        )
