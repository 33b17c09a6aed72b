"""What we ask a server's catalog: a table with everything that hangs on it, types, collations."""

from collections.abc import Sequence

from psycopg import sql

from runner.plan import Column
from runner.statements.parts import subquery

#: Parameters: schema, table. One row, or none where the table does not exist.
TABLE = """
SELECT c.oid, c.relkind, c.relpersistence, c.relrowsecurity,
    pg_has_role(current_user, c.relowner, 'USAGE') AS owned, pg_get_userbyid(c.relowner) AS owner,
    has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'SELECT') AS writable,
    has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS changeable,
    has_schema_privilege(n.oid, 'USAGE') AS reachable, current_user::text AS role,
    row_security_active(c.oid) AS filtered,
    c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
        AS inherits,
    c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_heirs,
    EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = c.oid) AS fk_in,
    EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = c.oid) AS fk_out,
    EXISTS (SELECT FROM pg_publication_tables p
        WHERE p.schemaname = n.nspname AND p.tablename = c.relname) AS published,
    t.spcname AS tablespace,
    has_schema_privilege(n.oid, 'CREATE') AND (c.relowner = (SELECT oid FROM pg_roles
        WHERE rolname = current_user) OR has_schema_privilege(c.relowner, n.oid, 'CREATE'))
        AS movable,
    c.reloftype = 0 AND c.relam IN (0, (SELECT oid FROM pg_am WHERE amname = 'heap'))
        AND NOT EXISTS (SELECT FROM pg_seclabel l
            WHERE l.objoid = c.oid AND l.classoid = 'pg_class'::regclass)
        AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid
            AND NOT k.convalidated) AS copyable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind <> 't'
"""

#: Parameter: the table's oid. Everything but the table's own parts, in words.
DEPENDENTS = """
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend d, pg_class t
WHERE t.oid = %s AND d.deptype <> 'p'
  AND ((d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid)
    OR (d.refclassid = 'pg_type'::regclass
        AND d.refobjid IN (t.reltype, (SELECT typarray FROM pg_type WHERE oid = t.reltype))))
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid = t.oid)
  AND NOT (d.classid = 'pg_class'::regclass
    AND (SELECT relkind FROM pg_class WHERE oid = d.objid) IN ('i', 't'))
  AND NOT (d.classid = 'pg_constraint'::regclass AND (SELECT conrelid = t.oid AND contype <> 'f'
    FROM pg_constraint WHERE oid = d.objid))
  AND NOT (d.classid = 'pg_attrdef'::regclass
    AND (SELECT adrelid = t.oid FROM pg_attrdef WHERE oid = d.objid))
  AND NOT (d.classid = 'pg_type'::regclass AND d.objid IN (t.reltype,
    (SELECT typarray FROM pg_type WHERE oid = t.reltype)))
  AND d.classid <> 'pg_statistic_ext'::regclass
ORDER BY 1
"""

#: Parameter: schema. Whether the metadata or the checkpoints of an installation of ours are there,
#: under whatever address we came: so no host name has to be compared.
HOLDS_OURS = """
SELECT count(*) FILTER (WHERE c.relname IN ('pipelines_installation', 'django_migrations')) = 2
    OR count(*) FILTER (WHERE c.relname = 'checkpoint' AND EXISTS (SELECT FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = 'definition_hash')) = 1
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s
"""

#: Parameter: the table's oid.
COLUMNS = """
SELECT attname, atttypid::int8, atttypmod, format_type(atttypid, atttypmod), attnotnull,
    atthasdef, attidentity, attgenerated, typbasetype::int8, typtypmod
FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

#: Parameter: the table's oid. What a staging table was made like, as one text to compare later.
SHAPE = """
SELECT md5(string_agg(part, chr(10) ORDER BY part)) FROM (
SELECT jsonb_build_array(attname, attnum, format_type(atttypid, atttypmod), attnotnull,
    attidentity, attgenerated, attcollation, attstorage, attstattarget, attoptions,
    to_jsonb(a) -> 'attcompression', col_description(attrelid, attnum),
    (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid
        AND adnum = attnum))::text AS part
FROM pg_attribute a WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT jsonb_build_array(conname, pg_get_constraintdef(oid),
    obj_description(oid, 'pg_constraint'))::text
FROM pg_constraint WHERE conrelid = %(oid)s
UNION ALL
SELECT jsonb_build_array(pg_get_indexdef(oid), reltablespace, indisvalid)::text
FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = %(oid)s
UNION ALL
SELECT jsonb_build_array(pg_get_statisticsobjdef(oid), stxstattarget)::text
FROM pg_statistic_ext WHERE stxrelid = %(oid)s
UNION ALL
SELECT jsonb_build_array(c.reloptions, t.reloptions, c.reltablespace)::text
FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = %(oid)s) parts
"""

#: Parameter: the table's oid. Column lists of indexes an upsert can rely on.
UNIQUE_KEYS = """
SELECT x.indisprimary, array_agg(a.attname::text ORDER BY k.position)
FROM pg_index x
CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
WHERE x.indrelid = %s AND x.indisunique AND x.indimmediate AND x.indisvalid
  AND x.indpred IS NULL AND x.indexprs IS NULL AND k.position <= x.indnkeyatts
GROUP BY x.indexrelid, x.indisprimary ORDER BY x.indisprimary DESC, x.indexrelid
"""

#: Parameter: oid (named). Columns that are compared by a collation, their own or that of a unique
#: index, which takes different texts for equal.
LOOSE_COLUMNS = """
SELECT a.attname::text FROM pg_attribute a
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND EXISTS (
    SELECT FROM pg_collation c WHERE NOT c.collisdeterministic AND (c.oid = a.attcollation
        OR EXISTS (SELECT FROM pg_index x
            CROSS JOIN LATERAL unnest(x.indkey::int2[], x.indcollation::oid[]) AS k(attnum, ordered)
            WHERE x.indrelid = a.attrelid AND x.indisunique
                AND k.attnum = a.attnum AND k.ordered = c.oid)))
"""

#: Parameter: the table's oid. Unique indexes that each row is held against as it is written, and
#: whether they have more parts than columns. Those of a partitioned table stand for its parts'.
UNIQUE_AT_ONCE = """
SELECT c.relname::text, ARRAY(SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = x.indrelid
            AND a.attnum = ANY((x.indkey::int2[])[0:x.indnkeyatts - 1])),
    x.indexprs IS NOT NULL
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
WHERE x.indrelid = %s AND x.indisunique AND x.indimmediate AND x.indislive
ORDER BY c.relname
"""

#: Parameters: type names as the source writes them. Those that the target does not know.
UNKNOWN_TYPES = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regtype(name) IS NULL"

#: Parameter: schema. Does it exist, may we create in it, may we create it?
SCHEMA = """
SELECT (SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
        FROM pg_namespace WHERE nspname = %s),
    has_database_privilege(current_database(), 'CREATE'), current_user::text,
    current_database()::text
"""

#: Parameters: oids and modifiers of a query's columns. Their types' names and kinds, in order.
TYPES = """
SELECT format_type(t.oid, w.modifier), t.typtype::text
FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS w(oid, modifier, position)
JOIN pg_type t ON t.oid = w.oid ORDER BY w.position
"""

#: Parameter: the table's oid. Foreign keys of other tables that would act on deleted rows.
CASCADES = """
SELECT k.conname::text, n.nspname::text, c.relname::text,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, i)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
    ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, i)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.confrelid = %s AND k.confdeltype IN ('c', 'n', 'd')
  AND k.conparentid = 0
"""

#: Parameter: type oids. Those whose values are ordered by a collation.
COLLATABLE = "SELECT oid::int8 FROM pg_type WHERE oid = ANY(%s::oid[]) AND typcollation <> 0"

#: The OIDs of collations by their names, which mean what they mean in the role's own search_path.
COLLATIONS_BY_NAME = sql.SQL("""
SELECT pg_catalog.to_regcollation(w.name)::pg_catalog.oid
FROM pg_catalog.unnest({}::pg_catalog.text[]) WITH ORDINALITY AS w(name, position)
ORDER BY w.position
""")
#: Parameters: names of collations, and their OIDs. Name with version, and whether only equal texts
#: are equal.
COLLATIONS = sql.SQL("""
SELECT w.name || ' ' || CASE WHEN c.collprovider = 'd' THEN {default}
    ELSE coalesce(pg_collation_actual_version(c.oid), '') END, c.collisdeterministic
FROM unnest(%s::text[], %s::oid[]) WITH ORDINALITY AS w(name, oid, position)
JOIN pg_collation c ON c.oid = w.oid ORDER BY w.position
""")
#: The version of the database's own collation, which PostgreSQL tells from 15 on.
VERSION_OF_DEFAULT = """(SELECT coalesce(pg_database_collation_actual_version(oid), '')
    FROM pg_database WHERE datname = current_database())"""
NO_VERSION_OF_DEFAULT = "''"

#: The number of the cluster, NULL where the role may not ask for it.
CLUSTER = """
SELECT CASE WHEN has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
    THEN (SELECT system_identifier::text FROM pg_control_system()) END
"""


def ordered_by(column: Column) -> sql.Composed:
    """Parsed only by a server that can order values of the column's type."""
    return sql.SQL("SELECT 1 ORDER BY NULL::{}").format(sql.SQL(column.type_name))


def collations_for(query: str, columns: Sequence[Column]) -> sql.Composed:
    """The name of the collation of each column; no row of the query is computed."""
    return sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("pg_catalog.pg_collation_for((SELECT {} FROM {} LIMIT 0))").format(
                sql.Identifier("q", column.name), subquery(query)
            )
            for column in columns
        )
    )
