"""Queries that try to do more than read, a world for them, and its digest; no tests.

Each query that is a SELECT has one column called `a`, so that nothing but its own doing can be
what makes it fail.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from etl_admin.database.cluster import Cluster

ADDRESSED = ("etl_source", "etl_target")

#: Made in both databases by the superuser.
_WORLD = """
CREATE TABLE victims AS SELECT g AS id, 'victim ' || g AS name FROM generate_series(1, 3) g;
CREATE INDEX victims_brin ON victims USING brin (id);
CREATE SEQUENCE numbers;
SELECT nextval('numbers');
SELECT lo_from_bytea(77, 'large');
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO victims VALUES (9, 'written'); RETURN 1; END $$;
CREATE FUNCTION writes_later() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('default_transaction_read_only', 'off', false);
    PERFORM set_config('transaction_read_only', 'off', false);
    INSERT INTO victims VALUES (9, 'written'); RETURN 1; END $$;
CREATE FUNCTION writes_in_disguise() RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'INSERT INTO victims VALUES (9)'; RETURN 1; END $$;
CREATE FUNCTION commits() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'COMMIT'; RETURN 1; END $$;
CREATE FUNCTION settles() RETURNS int LANGUAGE plpgsql SET work_mem = '1MB' AS
    $$ BEGIN EXECUTE 'SET SESSION statement_timeout = 0'; RETURN 1; END $$;
CREATE FUNCTION makes_temporary() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN CREATE TEMPORARY TABLE victims AS SELECT 1; RETURN 1; END $$;
"""

# What is no SELECT, or stops being one half-way.
_STATEMENTS = (
    "INSERT INTO victims VALUES (9) RETURNING id AS a",
    "UPDATE victims SET name = 'x' RETURNING id AS a",
    "DELETE FROM victims RETURNING id AS a",
    "MERGE INTO victims v USING (SELECT 1 AS id) s ON v.id = s.id WHEN MATCHED THEN DELETE",
    "TRUNCATE victims",
    "DROP TABLE victims",
    "CREATE TEMPORARY TABLE t AS SELECT 1 AS a",
    "SELECT 1 AS a INTO more",
    "SELECT 1 AS a INTO TEMPORARY more",
    "DO $$ BEGIN DELETE FROM victims; END $$",
    "SET statement_timeout = 0",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "RESET ALL",
    "DISCARD ALL",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "ALTER ROLE current_user SET work_mem = '1GB'",
    "COPY victims TO PROGRAM 'touch marker_copy'",
    "COPY (SELECT 1 AS a) TO PROGRAM 'touch marker_copy'",
    "COPY victims FROM PROGRAM 'echo 9'",
    "COPY victims TO '/tmp/etl_admin_hostile'",
    "PREPARE p AS DELETE FROM victims",
    "EXECUTE p",
    "LISTEN bell",
    "NOTIFY bell",
    "LOCK TABLE victims",
    "CALL pg_catalog.nothing()",
    "VACUUM victims",
    "BEGIN READ WRITE",
    "COMMIT",
    "ROLLBACK; DELETE FROM victims",
    "WITH gone AS (DELETE FROM victims RETURNING id) SELECT id AS a FROM gone",
    "WITH new AS (INSERT INTO victims VALUES (9) RETURNING id) SELECT 1 AS a",
    "WITH up AS (UPDATE victims SET id = 9 RETURNING id) SELECT 1 AS a",
    "WITH one AS (SELECT 1 AS a) DELETE FROM victims RETURNING id AS a",
    "SELECT id AS a FROM victims FOR UPDATE",
    "SELECT id AS a FROM victims FOR NO KEY UPDATE",
    "SELECT id AS a FROM victims FOR SHARE",
    "SELECT a FROM (SELECT id AS a FROM victims FOR UPDATE) q",
)
_DELETE = "DELETE FROM victims"
_BREAKING_OUT = (
    f"SELECT 1 AS a; {_DELETE}",
    f"SELECT 1 AS a;{_DELETE};",
    f"SELECT 1 AS a;\r\n{_DELETE};\r\n",
    f"SELECT 1 AS a; -- \n {_DELETE}",
    f"SELECT 1 AS a) TO STDOUT; COMMIT; BEGIN READ WRITE; {_DELETE}; COMMIT; COPY (SELECT 1 AS a",
    f"SELECT 1 AS a) AS q) TO STDOUT; COMMIT; {_DELETE}; COPY (SELECT a FROM (SELECT 1 AS a",
    "SELECT 1 AS a) AS q) TO PROGRAM 'touch marker_break' --",
    "SELECT 1 AS a) AS q) TO PROGRAM 'touch marker_break' /*",
    "SELECT 1 AS a\n) AS q) TO PROGRAM 'touch marker_break'; --",
    "SELECT 1 AS a) AS q) TO PROGRAM 'touch marker_break' (FORMAT text); COPY (SELECT a FROM"
    " (SELECT 1 AS a",
    f"SELECT 1 AS a) AS q; {_DELETE}; SELECT count(*) FROM (SELECT 1 AS a",
    "SELECT 1 AS a) AS q UNION SELECT writes() FROM (SELECT 2 AS a",
    "SELECT 1 AS a) AS q, LATERAL (SELECT writes()",
    f"SELECT 1 AS a /* never closed ; {_DELETE}",
    f"SELECT 1 AS a /* /* nested */ ; {_DELETE}",
    f"SELECT 1 AS a /* /* nested */ */ ; {_DELETE}",
    f"SELECT 1 AS a -- comment \r; {_DELETE}",
    f"SELECT $x$ never closed AS a; {_DELETE}",
    f"SELECT $x$ $y$ $x$ AS a; {_DELETE} --$y$",
    f"SELECT E'\\'' AS a; {_DELETE} --'",
    f"SELECT '\\' AS a; {_DELETE} --'",
    f"SELECT U&'\\0027' AS a; {_DELETE}",
    f"SELECT U&'!0027; {_DELETE} --' UESCAPE '!' AS a; {_DELETE}",
    f'SELECT 1 AS U&"a\\0022"; {_DELETE}',
    f'SELECT 1 AS "a""; {_DELETE} --"; {_DELETE}',
    f"SELECT 'never closed AS a; {_DELETE}",
    f'SELECT 1 AS "never closed; {_DELETE}',
    f"SELECT 1 AS a\0; {_DELETE}",
    f"SELECT 1 AS a\0) TO STDOUT; {_DELETE}",
    f"SELECT 1 AS a\n\\.\n{_DELETE}",
    f"SELECT 1 AS a \\; {_DELETE}",
    f"SELECT 1 AS a \\gexec {_DELETE}",
    f"SELECT 1 AS a ＝ 1；{_DELETE}",
    "SELECT $1 AS a",
    "SELECT 1 AS a) WITH (FORMAT csv) --",
)
# Calls that PostgreSQL itself refuses in a READ ONLY transaction.
_REFUSED_CALLS = (
    "writes()",
    "writes_later()",
    "writes_in_disguise()",
    "commits()",
    "nextval('numbers')",
    "setval('numbers', 500)",
    "lo_create(4242)",
    "lo_unlink(77)",
    "lo_put(77, 0, 'overwritten')",
    "lo_from_bytea(0, 'new')",
    "lo_import('/etc/hostname')",
    "lo_truncate(lo_open(77, 131072), 0)",
    "lowrite(lo_open(77, 131072), 'overwritten')",
    "set_config('transaction_read_only', 'off', true)",
    "set_config('transaction_read_only', 'off', false)",
    "set_config('transaction_isolation', 'serializable', true)",
    "query_to_xml('DELETE FROM victims', true, true, '')::text",
    "query_to_xml('COPY (SELECT 1) TO PROGRAM ''touch marker_xml''', true, true, '')::text",
    "query_to_xml('SET work_mem = 1', true, true, '')::text",
    "query_to_xml('SELECT writes()', true, true, '')::text",
    "query_to_xml('SELECT 1; DELETE FROM victims', true, true, '')::text",
    "(SELECT count(*) FROM ts_stat('DELETE FROM victims RETURNING to_tsvector(name)'))",
    "ts_rewrite('a'::tsquery, 'DELETE FROM victims RETURNING NULL::tsquery, NULL::tsquery')::text",
)
# Calls that it lets pass, and whose effect our ROLLBACK takes back.
_UNDONE_CALLS = (
    "set_config('default_transaction_read_only', 'off', false)",
    "set_config('statement_timeout', '0', false)",
    "set_config('lock_timeout', '0', false)",
    "set_config('session_replication_role', 'replica', false)",
    "set_config('role', 'etl_other', false)",
    "set_config('session_authorization', 'etl_other', false)",
    "set_config('search_path', 'nowhere', false)",
    "settles()",
    "makes_temporary()",
    "pg_notify('bell', 'x')::text",
    "pg_advisory_lock(99)::text",
    "pg_advisory_lock_shared(98)::text",
    "pg_advisory_xact_lock(97)::text",
    "pg_replication_origin_create('etl_origin')::text",
    "pg_import_system_collations('public')",
    "pg_current_xact_id()::text",
    "txid_current()",
    "pg_export_snapshot()",
    "pg_backup_start('etl', true)::text",
    "brin_summarize_new_values('victims_brin')",
    "setseed(0.5)::text",
    "pg_create_physical_replication_slot('etl_slot', false, true)::text",
)
_ONLY_FROM_18 = ("pg_clear_relation_stats('public', 'victims')::text",)

CALLS = tuple(f"SELECT {call} AS a" for call in (*_REFUSED_CALLS, *_UNDONE_CALLS, *_ONLY_FROM_18))
QUERIES = (*_STATEMENTS, *_BREAKING_OUT, *CALLS)


class World:
    """A server, and what is in it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        with cluster.connect() as session:
            session.autocommit = True
            session.execute("CREATE ROLE etl_other")
            for name in ADDRESSED:
                session.execute(f"CREATE DATABASE {name}")
        for name in ADDRESSED:
            with self.session(name) as session:
                session.execute(_WORLD)
        with self.session(ADDRESSED[1]) as session:
            session.execute("CREATE SCHEMA analytics")

    def session(self, database: str = ADDRESSED[0]) -> psycopg.Connection[Any]:
        """An autocommit session as the superuser."""
        return psycopg.connect(self.cluster.url(database), autocommit=True)

    def digests(self) -> dict[str, str]:
        """Of both databases and the server, part by part, so that a difference has a name."""
        found = {}
        for database in ADDRESSED:
            with self.session(database) as session:
                for part, query in (_IN_DATABASE | _IN_SERVER).items():
                    rows = session.execute(query).fetchall()
                    found[f"{database}: {part}"] = _digest(rows)
                for (table,) in session.execute(_TABLES).fetchall():
                    rows = session.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
                    found[f"{database}: {table}"] = _digest(rows)
        return found

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing in the server is different afterwards, and nobody's bell has rung."""
        before = self.digests()
        with self.session() as listener:
            listener.execute("LISTEN bell")
            yield
            heard = list(listener.notifies(timeout=0))
        assert heard == []
        after = self.digests()
        assert {part for part in before | after if before.get(part) != after.get(part)} == set()


def _digest(rows: list[tuple[Any, ...]]) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()


#: Our own state schema and what loads make is looked at by name instead.
_TABLES = """
SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n
ON n.oid = relnamespace WHERE relkind IN ('r', 'm', 'S') AND nspname = 'public' ORDER BY 1
"""
_IN_DATABASE = {
    "relations": "SELECT oid, relname, relkind, relacl, reltuples FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace ORDER BY oid",
    "functions": "SELECT oid, proname, prosrc FROM pg_proc WHERE oid >= 16384 ORDER BY oid",
    "schemas": "SELECT nspname, nspacl FROM pg_namespace WHERE nspname !~ '^pg_'"
    " AND nspname NOT IN ('etl') ORDER BY oid",
    "large objects": "SELECT oid, lomowner, lomacl, lo_get(oid) FROM pg_largeobject_metadata"
    " ORDER BY oid",
    "extensions": "SELECT extname FROM pg_extension ORDER BY 1",
    "collations": "SELECT count(*) FROM pg_collation",
}
_IN_SERVER = {
    "roles": "SELECT * FROM pg_authid ORDER BY oid",
    "members": "SELECT roleid, member FROM pg_auth_members ORDER BY 1, 2",
    "settings of roles": "SELECT * FROM pg_db_role_setting ORDER BY 1, 2",
    "settings in files": "SELECT sourcefile, name, setting FROM pg_file_settings ORDER BY 1, 2, 3",
    "settings": "SELECT name, setting FROM pg_settings ORDER BY 1",
    "databases": "SELECT datname, datacl FROM pg_database ORDER BY oid",
    "slots": "SELECT slot_name FROM pg_replication_slots WHERE NOT temporary ORDER BY 1",
    "origins": "SELECT roname FROM pg_replication_origin ORDER BY 1",
    "prepared": "SELECT gid FROM pg_prepared_xacts ORDER BY 1",
    "advisory locks": "SELECT objid FROM pg_locks WHERE locktype = 'advisory' ORDER BY 1",
    "files": "SELECT name FROM pg_ls_dir('.') AS name ORDER BY 1",
    "files in tmp": "SELECT (pg_stat_file('/tmp/etl_admin_hostile', true)).size",
}
