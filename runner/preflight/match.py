"""Query columns against table columns: names, keys, types; and whether bytes pass as they are."""

from pipelines.names import TableName
from runner.plan import Column, Definition, Mode
from runner.preflight.exact import holds
from runner.preflight.table import Table
from runner.preflight.values import Rejected


def match_columns(
    definition: Definition, columns: tuple[Column, ...], table: Table, key: tuple[str, ...]
) -> tuple[Column, ...]:
    """The table's columns in the query's order. Raises Rejected, naming every mismatch."""
    name = definition.target_table
    errors: dict[str, list[str]] = {}
    found = [table.column(column.name) for column in columns]
    lacking = [c.name for c, match in zip(columns, found, strict=True) if match is None]
    if lacking:
        errors["source_query"] = [
            f"The table {name} has no column {_listed(lacking)}. Add it, or leave it out here."
        ]
    generated = [match.name for match in found if match is not None and match.generated]
    if generated:
        errors.setdefault("source_query", []).append(
            f"The table {name} computes {_listed(generated)} itself. Leave it out of the query."
        )
    if missing := _required(table, columns):
        errors.setdefault("source_query", []).append(
            f"The table {name} needs {_listed(missing)} (NOT NULL without default), which the "
            "query does not return."
        )
    if narrow := _narrow(definition, columns, found, key):
        errors[FIELD] = [_too_narrow(name, *pair) for pair in narrow]
    if errors:
        raise Rejected(errors)
    return tuple(match for match in found if match is not None)


FIELD = "target_table"


def check_keys(
    definition: Definition, columns: tuple[Column, ...], table: Table | None
) -> tuple[str, ...]:
    """The key columns in force: those given, else the table's primary key. Raises Rejected."""
    names = {column.name for column in columns}
    errors: dict[str, list[str]] = {}
    unknown = [name for name in definition.key_columns if name not in names]
    if unknown:
        errors["key_columns"] = [f"The query does not return the key column {_listed(unknown)}."]
    # In full mode it may be there for later; what is there must be right.
    is_needed = definition.mode is Mode.INCREMENTAL or definition.incremental_key is not None
    if is_needed and definition.incremental_key not in names:
        errors["incremental_key"] = [
            f"The query does not return the incremental key “{definition.incremental_key}”."
        ]
    if definition.mark in names:
        errors["delete_column"] = [
            f"The query returns “{definition.mark}”, so loads fill it. Marks of deleted rows need "
            "a column of the table that the query leaves alone."
        ]
    if errors:
        raise Rejected(errors)
    key = definition.key_columns or (table.primary_key if table else ())
    if not definition.key_columns and not set(key) <= names:
        key = ()
    if definition.mode is Mode.INCREMENTAL:
        _check_incremental_key(definition, table, key)
    return key


def check_updatable(name: TableName, targets: tuple[Column, ...], key: tuple[str, ...]) -> None:
    """PostgreSQL lets nobody update GENERATED ALWAYS AS IDENTITY. Raises Rejected."""
    fixed = [c.name for c in targets if c.identity == "a" and c.name not in key]
    if fixed:
        raise Rejected(
            {
                "source_query": [
                    f"The table {name} numbers {_listed(fixed)} itself (GENERATED ALWAYS AS "
                    "IDENTITY), so it can only be a key column. Leave it out of the query."
                ]
            }
        )


def is_binary(columns: tuple[Column, ...], targets: tuple[Column, ...]) -> bool:
    """Whether each column's bytes mean the same on both sides, so that they pass undecoded."""
    return all(
        source.oid == target.oid and source.modifier == target.modifier and source.is_universal
        for source, target in zip(columns, targets, strict=True)
    )


def _check_incremental_key(
    definition: Definition, table: Table | None, key: tuple[str, ...]
) -> None:
    if not key:
        raise Rejected(
            {
                "key_columns": [
                    "An incremental pipeline needs to know which rows are the same: name key "
                    "columns, or give the target table a primary key that the query returns."
                ]
            }
        )
    if table is not None and frozenset(key) not in table.unique_keys:
        raise Rejected(
            {
                "key_columns": [
                    f"The table {definition.target_table} has no unique index on exactly "
                    f"{_listed(key)}. Create one (not partial, not deferrable), or name other "
                    "key columns."
                ]
            }
        )


def _required(table: Table, columns: tuple[Column, ...]) -> list[str]:
    given = {column.name for column in columns}
    return [
        c.name
        for c in table.columns
        if c.not_null
        and not c.has_default
        and not c.identity
        and not c.generated
        and c.name not in given
    ]


def _narrow(
    definition: Definition,
    columns: tuple[Column, ...],
    found: list[Column | None],
    key: tuple[str, ...],
) -> list[tuple[Column, Column]]:
    """Key columns whose type in the table cannot hold each value of the query's exactly."""
    exact = {*key}
    if definition.mode is Mode.INCREMENTAL:
        exact.add(definition.incremental_key or "")
    return [
        (source, target)
        for source, target in zip(columns, found, strict=True)
        if target is not None and source.name in exact and not holds(source, target)
    ]


def _too_narrow(name: TableName, source: Column, target: Column) -> str:
    return (
        f"Column “{target.name}” of {name} is {target.type_name}, which cannot hold the query's "
        f"{source.type_name} exactly. Change the table's column, or cast it in the query."
    )


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"“{name}”" for name in names)
