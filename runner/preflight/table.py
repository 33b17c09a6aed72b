"""What the target says of the table: its columns, keys, what hangs on it, how to publish."""

from dataclasses import dataclass, field
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from pipelines.names import TableName, is_system_schema
from runner.connections import Session
from runner.plan import Column, Definition, Method
from runner.preflight.values import Rejected
from runner.statements import catalog

FIELD = "target_table"
_NOT_TABLES = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "c": "a composite type",
    "i": "an index",
    "I": "an index",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A target table that exists; `shape` changes with anything that a new one is made like."""

    oid: int
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique_keys: tuple[frozenset[str], ...] = ()
    dependents: tuple[str, ...] = ()
    shape: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def has_identity(self) -> bool:
        """A column whose values the server makes unless it is overridden."""
        return any(column.identity for column in self.columns)


def find_table(session: Session, name: TableName) -> Table | None:
    """The target table, None when it does not exist. Raises Rejected for what is not a table."""
    with session.cursor(row_factory=dict_row) as cursor:
        facts = cursor.execute(catalog.TABLE, [name.schema, name.name]).fetchone()
    if facts is None:
        return None
    if kind := _NOT_TABLES.get(facts["relkind"]):
        raise Rejected({FIELD: [f"“{name}” is {kind}. Name an ordinary table."]})
    oid = facts["oid"]
    keys = session.execute(catalog.UNIQUE_KEYS, [oid]).fetchall()
    return Table(
        oid=oid,
        columns=_columns(session, oid),
        primary_key=next((tuple(columns) for primary, columns in keys if primary), ()),
        unique_keys=tuple(frozenset(columns) for _primary, columns in keys),
        dependents=tuple(row[0] for row in session.execute(catalog.DEPENDENTS, [oid])),
        shape=next(row[0] for row in session.execute(catalog.SHAPE, {"oid": oid})),
        facts=facts,
    )


def check_allowed(definition: Definition) -> None:
    """The connection's list may have changed since the pipeline was stored. Raises Rejected."""
    schema, target = definition.target_table.schema, definition.target
    if schema not in target.target_schemas or is_system_schema(schema):
        allowed = f"Allowed: {', '.join(target.target_schemas)}."
        raise Rejected(
            {
                FIELD: [
                    f"Pipelines may not write to the schema “{schema}” of the connection "
                    f"“{target.name}”. {allowed if target.target_schemas else _NONE_ALLOWED}"
                ]
            }
        )


def check_not_metadata(session: Session, name: TableName) -> None:
    """Our own tables are nobody's target, by whichever name of the server. Raises Rejected."""
    row = session.execute(catalog.HOLDS_OURS, [name.schema]).fetchone()
    if row and row[0]:
        raise Rejected(
            {
                FIELD: [
                    f"The schema “{name.schema}” of this database holds our own tables; use "
                    "another."
                ]
            }
        )


def check_may_create(session: Session, name: TableName) -> None:
    """A missing table needs a schema to stand in. Raises Rejected with the GRANT to ask for."""
    row = session.execute(catalog.SCHEMA, [name.schema]).fetchone()
    in_schema, in_database, role, database = row or (None, False, "", "")
    if in_schema or (in_schema is None and in_database):
        return
    grant = (
        _grant("CREATE ON DATABASE", database, to=role)
        if in_schema is None
        else _grant("USAGE, CREATE ON SCHEMA", name.schema, to=role)
    )
    raise Rejected(
        {FIELD: [f"“{name}” does not exist and the role may not create it. Ask for: {grant}"]}
    )


def check_may_write(name: TableName, table: Table) -> None:
    """An existing table must be ours to write, or the run would fail after reading.

    Raises Rejected with the GRANTs to ask for.
    """
    facts = table.facts
    if facts["filtered"]:
        sentence = (
            f"Row security hides rows of {name} from the target's role “{facts['role']}”, so a "
            "load could not see what it did. Use a role with BYPASSRLS, or the owner without FORCE."
        )
        raise Rejected({FIELD: [sentence]})
    grants = []
    if not facts["reachable"]:
        grants.append(_grant("USAGE ON SCHEMA", name.schema, to=facts["role"]))
    if not facts["owned"] and not (facts["writable"] and facts["changeable"]):
        rights = "SELECT, INSERT, UPDATE, DELETE ON"
        grants.append(_grant(rights, name.schema, name.name, to=facts["role"]))
    if grants:
        raise Rejected(
            {
                FIELD: [
                    f"The target's role may not write to {name}. Ask its owner "
                    f"“{facts['owner']}” for: {' '.join(grants)}"
                ]
            }
        )


def _grant(rights: str, *name: str, to: str) -> str:
    identifier, role = sql.Identifier(*name).as_string(), sql.Identifier(to).as_string()
    return f"GRANT {rights} {identifier} TO {role};"


def choose_method(table: Table | None, pinned: Method, key: tuple[str, ...]) -> Method:
    """How a full load will be published. Raises Rejected when what is pinned cannot be."""
    if pinned is Method.MERGE and not key:
        raise Rejected({"publish": [_MERGE_NEEDS_KEY]})
    if table is None:
        return Method.SWAP if pinned is Method.AUTO else pinned
    obstacles = swap_obstacles(table)
    if pinned is Method.AUTO:
        return _automatic(table, obstacles, key)
    if pinned is Method.SWAP and obstacles:
        raise Rejected({"publish": [f"A swap would break something: {'; '.join(obstacles)}."]})
    if pinned is Method.REPLACE and table.facts["fk_in"]:
        raise Rejected({"publish": [_REPLACE_AND_FOREIGN_KEYS]})
    return pinned


def swap_obstacles(table: Table) -> list[str]:
    """Why a new table cannot take this one's place, in words; empty when it can."""
    facts = table.facts
    found = {
        "the table is partitioned, inherits or is inherited": facts["inherits"]
        or facts["relkind"] == "p",
        "it is not an ordinary permanent table": facts["relpersistence"] != "p",
        "our role does not own it": not facts["owned"],
        "our role or its owner may not create tables in the schema": not facts["movable"],
        "row security is on": facts["relrowsecurity"],
        "foreign keys of other tables refer to it": facts["fk_in"],
        "it has foreign keys": facts["fk_out"],
        "it has an identity column": table.has_identity,
        "it is in a publication": facts["published"],
        "it has settings that cannot be carried over": not facts["copyable"],
    }
    obstacles = [sentence for sentence, holds in found.items() if holds]
    return obstacles + [f"{thing} depends on it" for thing in table.dependents[:5]]


def _automatic(table: Table, obstacles: list[str], key: tuple[str, ...]) -> Method:
    if not obstacles:
        return Method.SWAP
    if key:
        return Method.MERGE
    if table.facts["fk_in"]:
        raise Rejected({"key_columns": [_REPLACE_AND_FOREIGN_KEYS]})
    return Method.REPLACE


def _columns(session: Session, oid: int) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=name,
            oid=type_oid,
            modifier=modifier,
            type_name=type_name,
            not_null=not_null,
            has_default=has_default,
            identity=identity,
            generated=generated,
            base_oid=base_oid,
            base_modifier=base_modifier,
        )
        for (
            name,
            type_oid,
            modifier,
            type_name,
            not_null,
            has_default,
            identity,
            generated,
            base_oid,
            base_modifier,
        ) in session.execute(catalog.COLUMNS, [oid])
    )


_NONE_ALLOWED = "Its list of schemas is empty."
_MERGE_NEEDS_KEY = (
    "Merge needs to know which rows are the same: name key columns, or give the table a primary "
    "key."
)
_REPLACE_AND_FOREIGN_KEYS = (
    "Other tables have foreign keys to this one, so its rows cannot all be deleted: name key "
    "columns, and the load merges."
)
