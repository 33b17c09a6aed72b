"""Statements of a preview: a few rows as text, plans without running, the tables behind a plan."""

from collections.abc import Collection, Sequence

from psycopg import sql

from pipelines.names import TableName
from runner.plan import Column
from runner.statements.parts import names, subquery, table

#: Every plan that can do without reading a whole table, or without sorting, now wins. Only for
#: EXPLAIN: on a table of a few pages the planner reads it all, whatever indexes there are.
INDEXES_FIRST = ("SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off")

#: Parameters: schemas and names of tables. How many rows they hold by the server's statistics,
#: -1 or 0 where it has never counted.
SIZES = """
SELECT n.nspname::text, c.relname::text, c.reltuples::int8
FROM unnest(%s::text[], %s::text[]) AS w(schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
"""

#: Parameters: table oids and column numbers. The tables (with their kind) and the columns' names,
#: in order.
ORIGINS = """
SELECT n.nspname::text, c.relname::text, c.relkind::text, a.attname::text
FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS w(oid, number, position)
JOIN pg_catalog.pg_class c ON c.oid = w.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = w.number
ORDER BY w.position
"""

#: Parameters: a table's oid, column numbers. A unique index that has no other columns.
UNIQUE_WITHIN = """
SELECT i.relname::text
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = %s AND x.indisunique AND x.indisvalid AND x.indislive
    AND x.indpred IS NULL AND x.indexprs IS NULL
    AND (x.indkey::int2[])[0:x.indnkeyatts - 1] <@ %s::int2[]
ORDER BY x.indnkeyatts, i.relname LIMIT 1
"""

#: Parameter: a table's oid. The names under which a plan reads it: its own, or its partitions'.
FAMILY = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = %(oid)s
    OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(oid)s::oid::regclass))
"""


def first_rows(query: str, columns: Sequence[Column], *, rows: int, width: int) -> sql.Composed:
    """Some rows of the query, each value as its first `width` characters."""
    values = sql.SQL(", ").join(
        sql.SQL("pg_catalog.left({}::pg_catalog.text, {})").format(
            sql.Identifier("q", column.name), sql.Literal(width)
        )
        for column in columns
    )
    return sql.SQL("SELECT {} FROM {} LIMIT {}").format(values, subquery(query), sql.Literal(rows))


def explain(statement: sql.Composable) -> sql.Composed:
    """The plan of `statement`, which is not run. VERBOSE tells the schemas of tables."""
    return sql.SQL("EXPLAIN (FORMAT JSON, VERBOSE) {}").format(statement)


def create_index(name: TableName, columns: Sequence[str], *, concurrently: bool) -> sql.Composed:
    """The index that would help a read in the order of `columns`.

    PostgreSQL cannot make one of a partitioned table without keeping writers out.
    """
    return sql.SQL("CREATE INDEX {}ON {} ({});").format(
        sql.SQL("CONCURRENTLY " if concurrently else ""), table(name), names(columns)
    )


def create_table(
    name: TableName, columns: Sequence[Column], key: Collection[str], *, with_schema: bool
) -> sql.Composed:
    """What a first run will create, laid out for people."""
    parts = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type_name))
        for column in columns
    ]
    if key:
        parts.append(sql.SQL("PRIMARY KEY ({})").format(names(key)))
    schema = (
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {};\n\n").format(sql.Identifier(name.schema))
        if with_schema
        else sql.SQL("")
    )
    return sql.SQL("{}CREATE TABLE {} (\n    {}\n);").format(
        schema, table(name), sql.SQL(",\n    ").join(parts)
    )
