"""Making a full load visible, in one transaction that readers see whole or not at all."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from pipelines.names import TableName
from runner.connections import Session
from runner.errors import RunError
from runner.fence import Fence, commit, ensure_schema
from runner.plan import Definition, Method
from runner.preflight.examine import Examined
from runner.preflight.table import Table, find_table, swap_obstacles
from runner.statements import catalog, load, publish

#: While we wait for a lock, everybody behind us waits too: give up soon, try again later.
LOCK_SECONDS = 3
LOCK_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A full load that is staged and not yet visible."""

    definition: Definition
    examined: Examined
    staging: TableName
    rows: int

    @property
    def target(self) -> TableName:
        """The table that is to change."""
        return self.definition.target_table

    @property
    def names(self) -> list[str]:
        """The query's columns."""
        return [column.name for column in self.examined.findings.columns]


def create_staging(session: Session, staged: Staged) -> None:
    """The empty staging table that the publish will need."""
    table = staged.examined.table
    columns = staged.examined.findings.columns
    if table is None:
        key = staged.examined.findings.key
        session.execute(load.create_table(staged.staging, columns, ()))
        if key:
            session.execute(
                load.not_null(staged.staging, key),
            )
    elif staged.examined.findings.method is Method.SWAP:
        session.execute(
            load.staging_like(
                staged.staging,
                staged.target,
                tablespace=table.facts["tablespace"],
                compression=session.info.server_version >= 140000,
            )
        )
        for (text,) in session.execute(publish.BEFORE_LOAD, {"oid": table.oid}).fetchall():
            session.run(publish.on_staging(text, staged.staging))
    else:
        session.execute(load.staging_for_rows(staged.staging, staged.target, columns))


def publish_staged(session: Session, fence: Fence, staged: Staged) -> int:
    """Build what the method needs, then publish. Returns the rows inserted, updated, deleted.

    Raises RunError for a guard that refuses, control.Fenced, errors.UnknownOutcome.
    """
    _check_count(session, staged)
    method = staged.examined.findings.method
    if staged.examined.table is None or method is Method.SWAP:
        renames = _build_indexes(session, staged)
        session.run(publish.analyze(staged.staging))
        return _transaction(session, fence, staged, lambda: _swap(session, staged, renames))
    if method is Method.MERGE:
        _build_merge_key(session, staged)
        session.run(publish.analyze(staged.staging))
        return _transaction(session, fence, staged, lambda: _merge(session, staged))
    return _transaction(session, fence, staged, lambda: _replace(session, staged))


def _check_count(session: Session, staged: Staged) -> None:
    """Never publish less than was staged, whatever happened to the server meanwhile."""
    row = session.execute(load.count(staged.staging)).fetchone()
    if row is None or row[0] != staged.rows:
        raise RunError(
            "The staging table does not hold what was loaded into it; the load starts again.",
            error_class="StagingLost",
        )


def _build_indexes(session: Session, staged: Staged) -> list[tuple[str, str]]:
    """The target's indexes on staging, under names of their own. Returns (name, target's name)."""
    table = staged.examined.table
    if table is None:
        return _build_new_key(session, staged)
    renames = []
    rows = session.execute(publish.INDEXES, [table.oid]).fetchall()
    for number, (name, *facts) in enumerate(rows):
        own = f"{staged.staging.name}_{number}"
        _build_index(session, staged.staging, own, facts)
        renames.append((own, name))
    return renames


def _build_index(session: Session, staging: TableName, own: str, facts: list[object]) -> None:
    unique, kind, method, space, definition, deferrable, deferred, tail, understood = facts
    session.execute("SELECT set_config('default_tablespace', %s, false)", [space or ""])
    plain = kind is None or (kind in ("p", "u") and method == "btree")
    if not plain:
        session.run(publish.constraint(own, staging, str(definition)))
        return
    if not understood:
        raise RunError(
            "An index of the target cannot be rebuilt on a new table. Pin publish to merge.",
            error_class="IndexNotUnderstood",
        )
    session.run(publish.index(own, staging, unique=bool(unique), tail=str(tail)))
    if kind is not None:
        session.run(
            publish.constraint_from_index(
                own,
                staging,
                primary=kind == "p",
                deferrable=bool(deferrable),
                deferred=bool(deferred),
            )
        )


def _build_new_key(session: Session, staged: Staged) -> list[tuple[str, str]]:
    """The primary key of a table that did not exist before."""
    key = staged.examined.findings.key
    if not key:
        return []
    own = f"{staged.staging.name}_0"
    session.run(publish.unique_key(own, staged.staging, key))
    session.run(
        publish.constraint_from_index(
            own, staged.staging, primary=True, deferrable=False, deferred=False
        )
    )
    # PostgreSQL's own choice of name, cut so that it stays within 63 bytes.
    stem = staged.target.name.encode()[:58].decode(errors="ignore")
    return [(own, f"{stem}_pkey")]


def _build_merge_key(session: Session, staged: Staged) -> None:
    name = f"{staged.staging.name}_k"
    try:
        session.run(publish.unique_key(name, staged.staging, staged.examined.findings.key))
    except psycopg.errors.UniqueViolation as error:
        key = ", ".join(staged.examined.findings.key)
        raise RunError(
            f"The query returns several rows with the same key ({key}). Make the key unique in "
            "the query, or name other key columns.",
            error_class=type(error).__name__,
            sqlstate="23505",
        ) from None


def _transaction(session: Session, fence: Fence, staged: Staged, change: Callable[[], int]) -> int:
    """One publish: locks with short time-outs, guards, the change, the fence last."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            session.run("BEGIN")
            session.run(load.batch_limits(seconds=0))
            session.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
            session.execute(publish.serialize(staged.target))
            changed = change()
            fence.stage(None, "done")
            commit(session)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            session.rollback()
            if not left:
                raise
            _wait(session, random.uniform(0.2, 1.0))  # noqa: S311 (spreads rivals)
        else:
            return changed
    raise AssertionError("the last try returns or raises")


def _swap(session: Session, staged: Staged, renames: list[tuple[str, str]]) -> int:
    table = find_table(session, staged.target)
    carry: list[str] = []
    if table is not None:
        session.execute(publish.lock_out(staged.target))
        _check_unchanged(session, staged, table)
        _check_empty(session, staged)
        carry = [text for (text,) in session.execute(publish.CARRY_OVER, [table.oid])]
    elif staged.examined.table is not None:
        raise _changed(staged)
    else:
        ensure_schema(session, staged.target.schema)
    for statement in publish.swap(staged.staging, staged.target, old=table is not None):
        session.execute(statement)
    for own, name in renames:
        session.execute(publish.rename_index(staged.target.schema, own, name))
    for text in carry:
        session.run(text)
    return staged.rows


def _merge(session: Session, staged: Staged) -> int:
    session.execute(publish.lock_writers(staged.target))
    _check_empty(session, staged)
    _check_cascades(session, staged)
    key = staged.examined.findings.key
    table = staged.examined.table
    statements = [
        publish.delete_missing(staged.target, staged.staging, key),
        publish.update_differing(staged.target, staged.staging, staged.names, key),
        publish.insert_new(
            staged.target,
            staged.staging,
            staged.names,
            key=key,
            identity=bool(table and table.has_identity),
        ),
    ]
    changed = sum(session.execute(s).rowcount for s in statements if s is not None)
    _check_result(session, staged)
    session.execute(load.drop_staging(staged.staging))
    return changed


def _replace(session: Session, staged: Staged) -> int:
    session.execute(publish.lock_writers(staged.target))
    _check_empty(session, staged)
    table = staged.examined.table
    statements = [
        publish.delete_all(staged.target),
        publish.insert_new(
            staged.target,
            staged.staging,
            staged.names,
            key=(),
            identity=bool(table and table.has_identity),
        ),
    ]
    changed = sum(session.execute(statement).rowcount for statement in statements)
    _check_result(session, staged)
    session.execute(load.drop_staging(staged.staging))
    return changed


def _check_empty(session: Session, staged: Staged) -> None:
    """A source that suddenly returns nothing is far more often a mistake than a wish."""
    if staged.rows or staged.definition.allow_empty:
        return
    row = session.execute(load.has_rows(staged.target)).fetchone()
    if row and row[0]:
        raise RunError(
            f"The query returned no rows, and {staged.target} has some: nothing was changed. "
            "Check the query, or allow an empty result for this pipeline.",
            error_class="EmptySource",
        )


def _check_unchanged(session: Session, staged: Staged, table: Table) -> None:
    """Something may have come to depend on the table since preflight chose a swap."""
    if staged.examined.table is None or table.oid != staged.examined.table.oid:
        raise _changed(staged)
    found = find_table(session, staged.target)
    if found is None or found.columns != table.columns or swap_obstacles(found):
        raise _changed(staged)


def _check_cascades(session: Session, staged: Staged) -> None:
    """Deletes that pass on to other tables' rows are refused unless the pipeline allows them."""
    table = staged.examined.table
    if staged.definition.allow_cascade or table is None:
        return
    for name, schema, child, _action, columns, referenced in session.execute(
        catalog.CASCADES, [table.oid]
    ).fetchall():
        child_name = TableName(schema=schema, name=child)
        statement = publish.referencing(
            child_name,
            list(zip(columns, referenced, strict=True)),
            target=staged.target,
            staging=staged.staging,
            key=staged.examined.findings.key,
        )
        row = session.execute(statement).fetchone()
        if row and row[0]:
            raise RunError(
                f"Rows that the query no longer returns are referred to by {child_name} "
                f"(foreign key “{name}”), and deleting them would change that table: nothing was "
                "changed. Keep them in the query, or allow cascading for this pipeline.",
                error_class="CascadeRefused",
            )


def _check_result(session: Session, staged: Staged) -> None:
    """A trigger or rule that swallows rows must not pass for a complete load."""
    row = session.execute(load.count(staged.target)).fetchone()
    if row is None or row[0] != staged.rows:
        raise RunError(
            f"After the load {staged.target} would not hold the {staged.rows} rows of the query "
            "(a trigger, a rule, or rows with equal keys?): nothing was changed.",
            error_class="ResultDiffers",
        )


def _changed(staged: Staged) -> RunError:
    return RunError(
        f"The table {staged.target} was changed while the load ran: nothing was published. "
        "Run again.",
        error_class="TargetChanged",
    )


def _wait(session: Session, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        session.wait_for(read=True, seconds=end - time.monotonic())
