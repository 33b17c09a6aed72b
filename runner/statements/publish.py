"""Statements that make a full load visible: indexes on staging, swap, merge, replace."""

from collections.abc import Sequence

from psycopg import sql

from pipelines.names import TableName
from runner.statements.parts import names, table

#: Parameter: the table's oid. Its indexes as the text after the table's name, so that each can be
#: built on another table under another name; for constraints what makes them one.
INDEXES = """
SELECT i.relname::text, x.indisunique, k.contype::text, am.amname::text, s.spcname::text,
    pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred,
    substr(d.def, length(p.prefix) + 1), starts_with(d.def, p.prefix)
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am am ON am.oid = i.relam
JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = x.indrelid
    AND k.contype IN ('p', 'u', 'x')
CROSS JOIN LATERAL (SELECT pg_get_indexdef(x.indexrelid) AS def) d
CROSS JOIN LATERAL (SELECT format('CREATE %%sINDEX %%I ON %%I.%%I ',
    CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, i.relname, n.nspname, c.relname)
    AS prefix) p
WHERE x.indrelid = %s AND x.indisvalid ORDER BY x.indexrelid
"""

#: Parameter: the table's oid. What LIKE does not copy and loading or ANALYZE depends on, as
#: statements whose `%%s` is the staging table.
BEFORE_LOAD = """
SELECT format('ALTER TABLE %%%%s SET (%%s)', array_to_string(o.options, ', '))
FROM (SELECT c.reloptions || ARRAY(SELECT 'toast.' || unnest(t.reloptions)) AS options
    FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = %(oid)s) o
WHERE cardinality(o.options) > 0
UNION ALL
SELECT format('ALTER TABLE %%%%s ALTER COLUMN %%I SET STATISTICS %%s', attname, attstattarget)
FROM pg_attribute WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
  AND attstattarget >= 0
UNION ALL
SELECT format('ALTER TABLE %%%%s ALTER COLUMN %%I SET (%%s)', attname,
    array_to_string(attoptions, ', '))
FROM pg_attribute WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
  AND attoptions IS NOT NULL
"""

#: Parameter: the old table's oid. What the new table still lacks when it has the old one's name,
#: as finished statements in their order.
CARRY_OVER = """
WITH t AS (SELECT c.*, format('%%I.%%I', n.nspname, c.relname) AS name,
        pg_get_userbyid(c.relowner) AS owner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s),
grants AS (SELECT t.name, NULL::name AS attname, a.* FROM t, aclexplode(t.relacl) a
    UNION ALL
    SELECT t.name, c.attname, a.* FROM t JOIN pg_attribute c ON c.attrelid = t.oid,
        aclexplode(c.attacl) a WHERE c.attacl IS NOT NULL)
SELECT statement FROM (
SELECT 1 AS step, format('ALTER TABLE %%s OWNER TO %%I', name, owner) AS statement
FROM t WHERE owner <> current_user
UNION ALL
SELECT 2, format('REVOKE ALL ON %%s FROM %%I', name, owner) FROM t WHERE relacl IS NOT NULL
UNION ALL
SELECT 3, format('GRANT %%s%%s ON %%s TO %%s%%s', privilege_type,
    CASE WHEN attname IS NULL THEN '' ELSE format(' (%%I)', attname) END, name,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM grants
UNION ALL
SELECT 4, format('COMMENT ON TABLE %%s IS %%L', name, obj_description(oid, 'pg_class'))
FROM t WHERE obj_description(oid, 'pg_class') IS NOT NULL
UNION ALL
SELECT 5, format('COMMENT ON INDEX %%I.%%I IS %%L', n.nspname, i.relname,
    obj_description(i.oid, 'pg_class'))
FROM t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_namespace n ON n.oid = i.relnamespace WHERE obj_description(i.oid, 'pg_class') IS NOT NULL
UNION ALL
SELECT 6, format('COMMENT ON CONSTRAINT %%I ON %%s IS %%L', k.conname, name,
    obj_description(k.oid, 'pg_constraint'))
FROM t JOIN pg_constraint k ON k.conrelid = t.oid
WHERE k.contype IN ('p', 'u', 'x') AND obj_description(k.oid, 'pg_constraint') IS NOT NULL
UNION ALL
SELECT 7, format('ALTER TABLE %%s CLUSTER ON %%I', name, i.relname)
FROM t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indisclustered
UNION ALL
SELECT 8, format('ALTER TABLE %%s REPLICA IDENTITY %%s', name, CASE relreplident
    WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
    ELSE (SELECT format('USING INDEX %%I', i.relname) FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = t.oid AND x.indisreplident) END)
FROM t WHERE relreplident <> 'd'
UNION ALL
SELECT 9, pg_get_statisticsobjdef(s.oid) FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid
UNION ALL
SELECT 10, format('COMMENT ON STATISTICS %%I.%%I IS %%L', n.nspname, s.stxname,
    obj_description(s.oid, 'pg_statistic_ext'))
FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE obj_description(s.oid, 'pg_statistic_ext') IS NOT NULL
) steps ORDER BY step
"""


def on_staging(text: str, staging: TableName) -> str:
    """A statement of BEFORE_LOAD for this staging table."""
    return text.replace("%s", table(staging).as_string(), 1)


def index(name: str, on: TableName, *, unique: bool, tail: str) -> sql.Composed:
    """An index of the target built on staging. `tail` is what follows the table's name."""
    return sql.SQL("CREATE {}INDEX {} ON {} {}").format(
        sql.SQL("UNIQUE " if unique else ""), sql.Identifier(name), table(on), sql.SQL(tail)
    )


def constraint_from_index(
    name: str, on: TableName, *, primary: bool, deferrable: bool, deferred: bool
) -> sql.Composed:
    """Make the finished unique index a constraint."""
    return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {} USING INDEX {}{}{}").format(
        table(on),
        sql.Identifier(name),
        sql.SQL("PRIMARY KEY" if primary else "UNIQUE"),
        sql.Identifier(name),
        sql.SQL(" DEFERRABLE" if deferrable else ""),
        sql.SQL(" INITIALLY DEFERRED" if deferred else ""),
    )


def constraint(name: str, on: TableName, definition: str) -> sql.Composed:
    """A constraint that cannot be made from a ready index (exclusion, WITHOUT OVERLAPS)."""
    return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
        table(on),
        sql.Identifier(name),
        sql.SQL(definition),
    )


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
    target: TableName, staging: TableName, columns: Sequence[str], key: Sequence[str]
) -> sql.Composed | None:
    """Rows that differ, by record image; None when the key is all there is."""
    others = [c for c in columns if c not in set(key)]
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
    columns: Sequence[str],
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
        names(columns),
        sql.SQL("OVERRIDING SYSTEM VALUE " if identity else ""),
        names(columns, "s"),
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
    """Would the deletes of a merge pass on to rows of `child`?

    `columns` are pairs: the child's column and the target's that it references.
    """
    joined = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier("c", a), sql.Identifier("t", b))
        for a, b in columns
    )
    return sql.SQL("SELECT EXISTS (SELECT FROM {} c JOIN {} t ON {} WHERE {})").format(
        table(child), table(target), joined, _missing_from(staging, key)
    )


def _missing_from(staging: TableName, key: Sequence[str]) -> sql.Composed:
    return sql.SQL("NOT EXISTS (SELECT FROM {} s WHERE {})").format(
        table(staging), _same_key("t", "s", key)
    )


def _same_key(left: str, right: str, key: Sequence[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, c), sql.Identifier(right, c)) for c in key
    )
