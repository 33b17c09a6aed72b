"""Making a full load visible, in one transaction that readers see whole or not at all."""

import random
import time
from collections.abc import Callable

import psycopg

from runner import guards
from runner.connections import Session
from runner.fence import Fence, commit, ensure_schema
from runner.plan import Method
from runner.preflight.table import Table, find_table
from runner.staging import Renames, Staged, build_merge_key, build_twin
from runner.statements import load, publish, twin

#: While we wait for a lock, everybody behind us waits too: give up soon, try again later.
LOCK_SECONDS = 3
LOCK_TRIES = 20
#: A publish may take long, but between its statements nothing is waited for: a worker that froze
#: there lets its locks go.
IDLE_SECONDS = 120


def publish_staged(session: Session, fence: Fence, staged: Staged) -> int:
    """Build what the method needs, then publish. Returns the rows inserted, updated, deleted.

    Raises RunError for a guard that refuses, control.Fenced, errors.UnknownOutcome.
    """
    guards.check_count(session, staged)
    method = staged.examined.findings.method
    if staged.examined.table is None or method is Method.SWAP:
        renames = build_twin(session, staged)
        return _transaction(session, fence, staged, lambda: _swap(session, staged, renames))
    if method is Method.MERGE:
        build_merge_key(session, staged)
        return _transaction(session, fence, staged, lambda: _merge(session, staged))
    return _transaction(session, fence, staged, lambda: _replace(session, staged))


def _transaction(session: Session, fence: Fence, staged: Staged, change: Callable[[], int]) -> int:
    """One publish: locks with short time-outs, guards, the change, the fence last."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            session.run_all(["BEGIN", *load.batch_limits(seconds=0, idle=IDLE_SECONDS)])
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


def _swap(session: Session, staged: Staged, renames: Renames) -> int:
    carry = _before_swap(session, staged)
    for statement in publish.swap(
        staged.staging, staged.target, old=staged.examined.table is not None
    ):
        session.execute(statement)
    for own, name in renames.indexes:
        session.execute(publish.rename_index(staged.target.schema, own, name))
    for own, target in renames.statistics:
        for statement in twin.rename_statistics(staged.staging.schema, own, target):
            session.execute(statement)
    for text in carry:
        session.run(text)
    return staged.rows


def _before_swap(session: Session, staged: Staged) -> list[str]:
    """Lock and check. Returns what the new table still lacks, as statements for after the swap."""
    if staged.examined.table is None:
        if find_table(session, staged.target) is not None:
            raise guards.changed(staged)
        ensure_schema(session, staged.target.schema)
        statement, parameters = twin.DEFAULT_GRANTS, [staged.target.schema, staged.target.name]
    else:
        guards.check_same(session, staged)
        session.execute(publish.lock_out(staged.target))
        table = guards.check_swappable(session, staged)
        guards.check_empty(session, staged)
        guards.check_shrink(session, staged)
        # Default privileges of the role may have given rights on staging that the target lacks.
        name = [staged.staging.schema, staged.staging.name]
        for (text,) in session.execute(twin.REVOKE_ALL, name).fetchall():
            session.run(text)
        statement, parameters = twin.CARRY_OVER, [str(table.oid)]
    return [text for (text,) in session.execute(statement, parameters)]


def _merge(session: Session, staged: Staged) -> int:
    table = _lock(session, staged)
    guards.check_cascades(session, staged, table)
    statements = [
        publish.delete_missing(staged.target, staged.staging, staged.key),
        publish.update_differing(staged.target, staged.staging, staged.columns, staged.key),
        publish.insert_new(
            staged.target,
            staged.staging,
            staged.columns,
            key=staged.key,
            identity=table.has_identity,
        ),
    ]
    changed = sum(session.execute(s).rowcount for s in statements if s is not None)
    return _checked(session, staged, changed)


def _replace(session: Session, staged: Staged) -> int:
    table = _lock(session, staged)
    if table.facts["fk_in"]:
        raise guards.changed(staged)
    statements = [
        publish.delete_all(staged.target),
        publish.insert_new(
            staged.target, staged.staging, staged.columns, key=(), identity=table.has_identity
        ),
    ]
    changed = sum(session.execute(statement).rowcount for statement in statements)
    return _checked(session, staged, changed)


def _lock(session: Session, staged: Staged) -> Table:
    """Keep other writers out, and see that the table is what it was."""
    guards.check_same(session, staged)
    session.execute(publish.lock_writers(staged.target))
    table = guards.check_same(session, staged)
    guards.check_empty(session, staged)
    guards.check_shrink(session, staged)
    guards.check_no_heirs(session, staged, table)
    return table


def _checked(session: Session, staged: Staged, changed: int) -> int:
    guards.check_result(session, staged)
    session.execute(load.drop_staging(staged.staging))
    return changed


def _wait(session: Session, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        session.wait_for(read=True, seconds=end - time.monotonic())
