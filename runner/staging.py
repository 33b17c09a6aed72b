"""The staging table of a full load: made like the target, later given the target's indexes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from pipelines.names import TableName
from runner.connections import Session
from runner.errors import RunError
from runner.plan import Column, Definition, Method
from runner.preflight.examine import Examined
from runner.preflight.table import Table
from runner.statements import load, parts, publish, twin


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
    def columns(self) -> tuple[Column, ...]:
        """The query's columns."""
        return self.examined.findings.columns

    @property
    def key(self) -> tuple[str, ...]:
        """The key columns in force, none when no key is known."""
        return self.examined.findings.key


@dataclass(frozen=True, kw_only=True)
class Renames:
    """What was built on staging under names of its own: own name, and the target's name for it.

    A statistics object's name for the target has a schema.
    """

    indexes: tuple[tuple[str, str], ...] = ()
    statistics: tuple[tuple[str, TableName], ...] = ()


def create_staging(session: Session, staged: Staged) -> None:
    """The empty staging table that the publish will need."""
    table = staged.examined.table
    if table is None:
        not_null = {c: parts.object_name(staged.target.name, c, "not_null") for c in staged.key}
        session.execute(load.create_staging(staged.staging, staged.columns, not_null))
    elif staged.examined.findings.method is Method.SWAP:
        session.execute(
            load.staging_like(
                staged.staging,
                staged.target,
                tablespace=table.facts["tablespace"],
                compression=session.info.server_version >= 140000,
            )
        )
        for (text,) in session.execute(twin.BEFORE_LOAD, {"oid": table.oid}).fetchall():
            session.run(twin.on_staging(text, staged.staging))
    else:
        session.execute(load.staging_for_rows(staged.staging, staged.target, staged.columns))


def build_twin(session: Session, staged: Staged) -> Renames:
    """Give the full staging table what it needs to take the target's place."""
    table = staged.examined.table
    if table is None:
        renames = Renames(indexes=_build_new_key(session, staged))
    else:
        renames = Renames(
            indexes=_build_indexes(session, staged, table),
            statistics=_build_statistics(session, staged, table),
        )
    session.run(publish.analyze(staged.staging))
    return renames


def build_merge_key(session: Session, staged: Staged) -> None:
    """What a merge finds rows by. Raises RunError when the query gives a key twice."""
    with _naming_key(staged.key):
        session.run(publish.unique_key(f"{staged.staging.name}_k", staged.staging, staged.key))
    session.run(publish.analyze(staged.staging))


def _build_indexes(session: Session, staged: Staged, table: Table) -> tuple[tuple[str, str], ...]:
    renames = []
    rows = session.execute(twin.INDEXES, [table.oid]).fetchall()
    for number, (name, *facts) in enumerate(rows):
        own = f"{staged.staging.name}_{number}"
        with _naming_index(name, str(facts[-2])):
            _build_index(session, staged.staging, own, facts)
        renames.append((own, name))
    return tuple(renames)


def _build_index(session: Session, staging: TableName, own: str, facts: list[object]) -> None:
    unique, kind, method, space, definition, deferrable, deferred, tail, understood = facts
    session.execute("SELECT set_config('default_tablespace', %s, false)", [space or ""])
    plain = kind is None or (kind in ("p", "u") and method == "btree")
    if not plain:
        session.run(twin.constraint(own, staging, str(definition)))
        return
    _check_understood(bool(understood))
    session.run(twin.index(own, staging, unique=bool(unique), tail=str(tail)))
    if kind is not None:
        session.run(
            twin.constraint_from_index(
                own,
                staging,
                primary=kind == "p",
                deferrable=bool(deferrable),
                deferred=bool(deferred),
            )
        )


def _build_statistics(
    session: Session, staged: Staged, table: Table
) -> tuple[tuple[str, TableName], ...]:
    """Extended statistics, before ANALYZE, which fills them."""
    renames = []
    rows = session.execute(twin.STATISTICS, [table.oid]).fetchall()
    for number, (schema, name, definition, target, understood) in enumerate(rows):
        _check_understood(understood)
        own = TableName(schema=staged.staging.schema, name=f"{staged.staging.name}_s{number}")
        session.run(twin.statistics(own, staged.staging, definition))
        if target is not None:
            session.run(twin.statistics_target(own, target))
        renames.append((own.name, TableName(schema=schema, name=name)))
    return tuple(renames)


def _build_new_key(session: Session, staged: Staged) -> tuple[tuple[str, str], ...]:
    """The primary key of a table that did not exist before."""
    if not staged.key:
        return ()
    own = f"{staged.staging.name}_0"
    with _naming_key(staged.key):
        session.run(publish.unique_key(own, staged.staging, staged.key))
    session.run(
        twin.constraint_from_index(
            own, staged.staging, primary=True, deferrable=False, deferred=False
        )
    )
    return ((own, _free_name(session, staged.target, "pkey")),)


def _free_name(session: Session, table: TableName, label: str) -> str:
    """PostgreSQL's own choice of name for a part of `table`: numbered when it is taken."""
    number = 0
    while True:
        name = parts.object_name(table.name, "", f"{label}{number or ''}")
        row = session.execute(twin.NAME_TAKEN, [table.schema, name]).fetchone()
        if row is None or not row[0]:
            return name
        number += 1


def _check_understood(understood: bool) -> None:
    if not understood:
        raise RunError(
            "An index or statistics object of the target cannot be rebuilt on a new table. "
            "Pin publish to merge.",
            error_class="IndexNotUnderstood",
        )


@contextmanager
def _naming_key(key: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise RunError(
            f"The query returns several rows with the same key ({', '.join(key)}). Make the key "
            "unique in the query, or name other key columns.",
            error_class=type(error).__name__,
            sqlstate="23505",
        ) from None


@contextmanager
def _naming_index(name: str, tail: str) -> Iterator[None]:
    """The target's name in the sentence, where the server would name the one on staging."""
    try:
        yield
    except (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation) as error:
        raise RunError(
            f"The query returns rows that the target's “{name}” ({tail.strip()}) does not allow "
            "together. Make them different in the query.",
            error_class=type(error).__name__,
            sqlstate=error.sqlstate or "",
        ) from None
