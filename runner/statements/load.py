"""Statements that put rows into a target: staging tables, the batch's temporary table, upsert."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from pipelines.names import TableName
from runner.plan import Column
from runner.statements.parts import image_columns, names, table

#: Temporary tables of an incremental run; a batch starts with them empty.
BATCH = TableName(schema="pg_temp", name="etl_batch")
POSITION = TableName(schema="pg_temp", name="etl_position")


def batch_limits(*, seconds: int, idle: int) -> list[str]:
    """Limits of one transaction: a frozen worker must not hold locks for ever.

    `seconds` (0: none) are for each statement; they also end a COPY whose client went silent,
    which `idle` between two statements does not.
    """
    return [
        f"SET LOCAL statement_timeout = '{seconds}s'",
        "SET LOCAL lock_timeout = '30s'",
        f"SET LOCAL idle_in_transaction_session_timeout = '{idle}s'",
    ]


def relaxed_durability() -> str:
    """For staging batches only: a crash loses them, and a full load starts again then anyway;
    the publish commits durably, and with it everything before it in the log."""
    return "SET LOCAL synchronous_commit = off"


def copy_in(name: TableName, columns: Sequence[Column], *, binary: bool) -> sql.Composed:
    """Rows into `name`, in the query's order of columns."""
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
        table(name), names(c.name for c in columns), sql.SQL("binary" if binary else "text")
    )


def schema_exists() -> str:
    """Whether a schema is there. Asked first, since CREATE SCHEMA IF NOT EXISTS wants the right to
    create one even where it is. Parameter: its name.
    """
    return "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s)"


def lock_schema(schema: str) -> sql.Composed:
    """One session at a time makes the schema; held until its transaction ends."""
    return sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended({}, 0))").format(
        sql.Literal(f"etl_admin:schema:{schema}")
    )


def create_schema(schema: str) -> sql.Composed:
    """The schema of a missing table."""
    return sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))


def create_table(name: TableName, columns: Sequence[Column], key: Sequence[str]) -> sql.Composed:
    """A table from the query's columns; `key` becomes its primary key."""
    parts = [_column(c) for c in columns]
    if key:
        parts.append(sql.SQL("PRIMARY KEY ({})").format(names(key)))
    return sql.SQL("CREATE TABLE {} ({})").format(table(name), sql.SQL(", ").join(parts))


def create_staging(
    name: TableName, columns: Sequence[Column], not_null: Mapping[str, str]
) -> sql.Composed:
    """A table from the query's columns; some are NOT NULL, by constraints of the names given."""
    parts = [
        sql.SQL("{} CONSTRAINT {} NOT NULL").format(_column(c), sql.Identifier(not_null[c.name]))
        if c.name in not_null
        else _column(c)
        for c in columns
    ]
    return sql.SQL("CREATE TABLE {} ({})").format(table(name), sql.SQL(", ").join(parts))


def _column(column: Column) -> sql.Composed:
    return sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type_name))


def not_null(name: TableName, columns: Sequence[str]) -> sql.Composed:
    """Key columns refuse NULL from the first row on."""
    return sql.SQL("ALTER TABLE {} {}").format(
        table(name),
        sql.SQL(", ").join(
            sql.SQL("ALTER COLUMN {} SET NOT NULL").format(sql.Identifier(c)) for c in columns
        ),
    )


def staging_like(
    staging: TableName, target: TableName, *, tablespace: str | None, compression: bool
) -> sql.Composed:
    """An empty twin of the target without its indexes, which are built once it is full.

    `compression` needs a server of 14 or newer.
    """
    kinds = ["DEFAULTS", "CONSTRAINTS", "GENERATED", "STORAGE", "COMMENTS"]
    kinds += ["COMPRESSION"] if compression else []
    return sql.SQL("CREATE TABLE {} (LIKE {} {}){}").format(
        table(staging),
        table(target),
        sql.SQL(" ".join(f"INCLUDING {kind}" for kind in kinds)),
        sql.SQL(" TABLESPACE {}").format(sql.Identifier(tablespace)) if tablespace else sql.SQL(""),
    )


def staging_for_rows(
    staging: TableName, target: TableName, columns: Sequence[Column]
) -> sql.Composed:
    """Only the query's columns in the target's types, for rows that are copied on from here."""
    return sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
        table(staging), names(c.name for c in columns), table(target)
    )


def drop_staging(staging: TableName) -> sql.Composed:
    """A staging table of a load that ended or died."""
    return sql.SQL("DROP TABLE IF EXISTS {}").format(table(staging))


def batch_table(
    target: TableName, columns: Sequence[Column], key: Sequence[str]
) -> list[sql.Composed]:
    """The temporary table of a batch: the target's types, key columns NOT NULL, empty again at
    each commit."""
    made = sql.SQL(
        "CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA"
    )
    return [
        made.format(sql.Identifier(BATCH.name), names(c.name for c in columns), table(target)),
        not_null(BATCH, key),
    ]


def position_table(columns: Sequence[Column]) -> sql.Composed:
    """One row in the source's own types, from which PostgreSQL itself writes the position.

    Types that the target may lack, or understand in its own way, pass as text.
    """
    parts = [
        sql.SQL("{} {}").format(
            sql.Identifier(c.name), sql.SQL(c.type_name if c.is_universal else "text")
        )
        for c in columns
    ]
    return sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DELETE ROWS").format(
        sql.Identifier(POSITION.name), sql.SQL(", ").join(parts)
    )


def read_position(key: Sequence[Column]) -> sql.Composed:
    """cursor, key columns (an array), and both as people read them."""
    cursor_column, *rest = (sql.Identifier(c.name) for c in key)
    shown = _shown(key[0], cursor_column)
    return sql.SQL("SELECT {c}::text, ARRAY[{keys}]::text[], {shown}, {shown_key} FROM {t}").format(
        c=cursor_column,
        keys=sql.SQL(", ").join(sql.SQL("{}::text").format(column) for column in rest),
        shown=shown,
        shown_key=_shown_key(rest or [cursor_column]),
        t=table(POSITION),
    )


def later_of(type_name: str) -> sql.Composed:
    """Is the first text (a parameter) later than the second, as values of the type?"""
    name = sql.SQL(type_name)
    return sql.SQL("SELECT %s::{0} > %s::{0}").format(name)


def upsert(
    target: TableName,
    columns: Sequence[Column],
    key: Sequence[str],
    *,
    identity: bool,
) -> sql.Composed:
    """The batch into the target: of one key twice the last sent wins, what did not change is not
    written.

    Compared by record image, since `IS DISTINCT FROM` has no operator for json and takes 1.0 for
    1.00. Sorted by key, so that two writers lock in the same order.
    """
    others = image_columns(columns, key)
    action: sql.Composable = sql.SQL("NOTHING")
    if others:
        action = sql.SQL(
            "UPDATE SET {} WHERE ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record"
        ).format(
            sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(c)) for c in others
            ),
            names(others, "t"),
            names(others, "excluded"),
        )
    return sql.SQL(
        "INSERT INTO {} AS t ({}) {}SELECT DISTINCT ON ({}) {} FROM {} ORDER BY {}, ctid DESC"
        " ON CONFLICT ({}) DO {}"
    ).format(
        table(target),
        names(c.name for c in columns),
        sql.SQL("OVERRIDING SYSTEM VALUE " if identity else ""),
        names(key),
        names(c.name for c in columns),
        table(BATCH),
        names(key),
        names(key),
        action,
    )


def any_row(name: TableName) -> sql.Composed:
    """Is there a row at all?"""
    return sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table(name))


def count(name: TableName) -> sql.Composed:
    """How many rows a table has."""
    return sql.SQL("SELECT count(*) FROM {}").format(table(name))


def has_rows(name: TableName) -> sql.Composed:
    """Whether a table has any row."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table(name))


def _shown(column: Column, reference: sql.Composable) -> sql.Composed:
    """As JSON would show it; a timestamp with time zone in UTC ending in Z."""
    if not column.is_temporal:
        return sql.SQL("{}::text").format(reference)
    return sql.SQL("replace(to_json({}) #>> '{{}}', '+00:00', 'Z')").format(reference)


def _shown_key(columns: Sequence[sql.Composable]) -> sql.Composable:
    if len(columns) == 1:
        return sql.SQL("{}::text").format(columns[0])
    return sql.SQL("json_build_array({})::text").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(column) for column in columns)
    )
