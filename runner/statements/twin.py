"""Statements that make a new table like the target: its indexes, statistics, rights, comments."""

from psycopg import sql

from pipelines.names import TableName
from runner.statements.parts import table

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

#: Parameter: the table's oid. Its extended statistics: schema, name, the text between their name
#: and the table's, target.
STATISTICS = """
SELECT n.nspname::text, s.stxname::text,
    substr(d.def, length(p.prefix) + 1, length(d.def) - length(p.prefix) - length(p.suffix)),
    nullif(s.stxstattarget, -1)::int,
    starts_with(d.def, p.prefix) AND right(d.def, length(p.suffix)) = p.suffix
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
CROSS JOIN LATERAL (SELECT pg_get_statisticsobjdef(s.oid) AS def) d
CROSS JOIN LATERAL (SELECT format('CREATE STATISTICS %%I.%%I ', n.nspname, s.stxname) AS prefix,
    (SELECT format(' FROM %%I.%%I', tn.nspname, c.relname) FROM pg_class c
        JOIN pg_namespace tn ON tn.oid = c.relnamespace WHERE c.oid = s.stxrelid) AS suffix) p
WHERE s.stxrelid = %s ORDER BY s.oid
"""

#: Parameters: schema and name of the staging table. Statements that take all rights on it away from
#: everybody but the owner.
REVOKE_ALL = """
SELECT DISTINCT format('REVOKE ALL ON %%I.%%I FROM %%s', n.nspname, c.relname,
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
WHERE n.nspname = %s AND c.relname = %s AND a.grantee <> c.relowner
"""

#: Parameters: schema and name of a table that is new. The rights that it would have got had it been
#: made in its own schema.
DEFAULT_GRANTS = """
SELECT format('GRANT %%s ON %%I.%%I TO %%s%%s', a.privilege_type, n.nspname, w.name,
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM (SELECT %s AS schema, %s AS name) w JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_default_acl d ON d.defaclnamespace = n.oid AND d.defaclobjtype = 'r'
    AND pg_get_userbyid(d.defaclrole) = current_user, aclexplode(d.defaclacl) a
"""

#: Parameters: schema, name. Whether a table, index or the like is called so.
NAME_TAKEN = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s)
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
SELECT 6, format('ALTER INDEX %%I.%%I ALTER COLUMN %%s SET STATISTICS %%s', n.nspname, i.relname,
    a.attnum, a.attstattarget)
FROM t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_namespace n ON n.oid = i.relnamespace JOIN pg_attribute a ON a.attrelid = i.oid
WHERE a.attstattarget >= 0
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
SELECT 9, format('ALTER STATISTICS %%I.%%I OWNER TO %%I', n.nspname, s.stxname,
    pg_get_userbyid(s.stxowner))
FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE pg_get_userbyid(s.stxowner) <> current_user
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


def statistics(own: TableName, on: TableName, definition: str) -> sql.Composed:
    """Extended statistics of the target for staging, under a name of their own."""
    return sql.SQL("CREATE STATISTICS {} {} FROM {}").format(
        table(own), sql.SQL(definition), table(on)
    )


def statistics_target(own: TableName, target: int) -> sql.Composed:
    """How finely ANALYZE fills them."""
    return sql.SQL("ALTER STATISTICS {} SET STATISTICS {}").format(table(own), target)


def rename_statistics(schema: str, own: str, to: TableName) -> list[sql.Composed]:
    """Back to schema and name of the target's."""
    moved = TableName(schema=to.schema, name=own)
    return [
        sql.SQL("ALTER STATISTICS {} SET SCHEMA {}").format(
            sql.Identifier(schema, own), sql.Identifier(to.schema)
        ),
        sql.SQL("ALTER STATISTICS {} RENAME TO {}").format(table(moved), sql.Identifier(to.name)),
    ]
