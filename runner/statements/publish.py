"""Statements that make a full load visible: swap, merge, replace; likeness is in `twin`."""

from collections.abc import Sequence

from psycopg import sql

from pipelines.names import TableName
from runner.plan import Column
from runner.statements.parts import image_columns, names, table


def unique_key(name: str, on: TableName, key: Sequence[str]) -> sql.Composed:
    """What a merge finds its rows by; also finds out that the query gives a key twice."""
    return sql.SQL("CREATE UNIQUE INDEX {} ON {} ({})").format(
        sql.Identifier(name), table(on), names(key)
    )


def analyze(name: TableName) -> sql.Composed:
    """Statistics, so that the first reader gets a good plan."""
    return sql.SQL("ANALYZE {}").format(table(name))


def serialize(name: TableName) -> sql.Composed:
    """One publish to a table at a time; held until the transaction ends."""
    return sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended({}, 0))").format(
        sql.Literal(f"etl_admin:publish:{name}")
    )


def lock_out(name: TableName) -> sql.Composed:
    """Before a swap: nobody reads or writes."""
    return sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table(name))


def lock_writers(name: TableName) -> sql.Composed:
    """Before a merge or replace: nobody else writes, everybody reads on."""
    return sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table(name))


def swap(staging: TableName, target: TableName, *, old: bool) -> list[sql.Composed]:
    """The staging table takes the target's name; `old` tells whether there is one to drop."""
    moved = TableName(schema=target.schema, name=staging.name)
    drop = [sql.SQL("DROP TABLE {}").format(table(target))] if old else []
    return [
        *drop,
        sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(
            table(staging), sql.Identifier(target.schema)
        ),
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(table(moved), sql.Identifier(target.name)),
    ]


def rename_index(schema: str, name: str, to: str) -> sql.Composed:
    """Back to the name it has on the target; renames the constraint that it backs too."""
    return sql.SQL("ALTER INDEX {} RENAME TO {}").format(
        sql.Identifier(schema, name), sql.Identifier(to)
    )


def delete_missing(target: TableName, staging: TableName, key: Sequence[str]) -> sql.Composed:
    """Rows whose key the query no longer gives."""
    return sql.SQL("DELETE FROM {} t WHERE {}").format(table(target), _missing_from(staging, key))


def update_differing(
    target: TableName, staging: TableName, columns: Sequence[Column], key: Sequence[str]
) -> sql.Composed | None:
    """Rows that differ, by record image; None when the key is all there is."""
    others = image_columns(columns, key)
    if not others:
        return None
    return sql.SQL(
        "UPDATE {} t SET {} FROM {} s WHERE {}"
        " AND ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record"
    ).format(
        table(target),
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(c), sql.Identifier("s", c)) for c in others
        ),
        table(staging),
        _same_key("t", "s", key),
        names(others, "t"),
        names(others, "s"),
    )


def insert_new(
    target: TableName,
    staging: TableName,
    columns: Sequence[Column],
    *,
    key: Sequence[str],
    identity: bool,
) -> sql.Composed:
    """Rows whose key the target does not have; all rows when `key` is empty."""
    absent: sql.Composable = sql.SQL("")
    if key:
        absent = sql.SQL(" WHERE NOT EXISTS (SELECT FROM {} t WHERE {})").format(
            table(target), _same_key("t", "s", key)
        )
    return sql.SQL("INSERT INTO {} ({}) {}SELECT {} FROM {} s{}").format(
        table(target),
        names(c.name for c in columns),
        sql.SQL("OVERRIDING SYSTEM VALUE " if identity else ""),
        names((c.name for c in columns), "s"),
        table(staging),
        absent,
    )


def delete_all(target: TableName) -> sql.Composed:
    """DELETE, not TRUNCATE: readers with an older snapshot go on seeing the old rows."""
    return sql.SQL("DELETE FROM {}").format(table(target))


def referencing(
    child: TableName,
    columns: Sequence[tuple[str, str]],
    *,
    target: TableName,
    staging: TableName,
    key: Sequence[str],
) -> sql.Composed:
    """Would the deletes of a merge pass on to rows of `child` that are not deleted themselves?

    `columns` are pairs: the child's column and the target's that it references.
    """
    stays: sql.Composable = sql.SQL("")
    if child == target:
        stays = sql.SQL(" AND EXISTS (SELECT FROM {} s WHERE {})").format(
            table(staging), _same_key("c", "s", key)
        )
    joined = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier("c", a), sql.Identifier("t", b))
        for a, b in columns
    )
    return sql.SQL("SELECT EXISTS (SELECT FROM {} c JOIN {} t ON {} WHERE {}{})").format(
        table(child), table(target), joined, _missing_from(staging, key), stays
    )


def rows_of_heirs(target: TableName) -> sql.Composed:
    """One table that inherits from the target and has rows; no row when there is none."""
    return sql.SQL(
        "SELECT t.tableoid::regclass::text FROM {} t WHERE t.tableoid <> {}::regclass LIMIT 1"
    ).format(table(target), sql.Literal(table(target).as_string()))


def _missing_from(staging: TableName, key: Sequence[str]) -> sql.Composed:
    return sql.SQL("NOT EXISTS (SELECT FROM {} s WHERE {})").format(
        table(staging), _same_key("t", "s", key)
    )


def _same_key(left: str, right: str, key: Sequence[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, c), sql.Identifier(right, c)) for c in key
    )
