"""What we ask a server about the powers of the role that we are there, beyond reading tables."""

#: Functions whose effect no ROLLBACK takes back, or that read the server's files; where their
#: EXECUTE was granted to an ordinary role.
_LASTING = """
    'lo_export', 'lo_import', 'pg_reload_conf', 'pg_rotate_logfile', 'pg_switch_wal',
    'pg_create_restore_point', 'pg_promote', 'pg_wal_replay_pause', 'pg_stat_reset',
    'pg_read_file', 'pg_read_binary_file', 'pg_ls_dir', 'pg_file_write', 'pg_file_unlink',
    'pg_file_rename'
"""

#: Who a query can be: a query may ask for any role of which ours is a member, inheriting or not,
#: by set_config('role', …). A superuser can be everybody, which says nothing more.
_REACHED = """(
    SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname IN (current_user, session_user)
        OR NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)
            AND NOT r.rolsuper AND pg_has_role(session_user, r.oid, 'MEMBER'))"""

ROLE = f"""
SELECT current_user::text, bool_or(rolsuper), bool_or(rolcreaterole), bool_or(rolreplication),
    bool_or(rolbypassrls) AND EXISTS (SELECT FROM pg_catalog.pg_class WHERE relrowsecurity),
    has_database_privilege(current_database(), 'CREATE'), current_database()::text
FROM {_REACHED} r
"""  # noqa: S608 (constants of this module)

#: Powerful roles that ours can become, and the membership of ours that leads there.
MEMBERSHIPS = """
SELECT p.rolname::text, p.rolsuper, coalesce((
    SELECT g.rolname::text FROM pg_catalog.pg_auth_members a
    JOIN pg_catalog.pg_roles g ON g.oid = a.roleid
    WHERE a.member = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)
        AND (g.oid = p.oid OR pg_has_role(g.oid, p.oid, 'MEMBER'))
    ORDER BY g.oid <> p.oid LIMIT 1), p.rolname::text), session_user::text
FROM pg_catalog.pg_roles p
WHERE (p.rolsuper OR p.rolname IN ('pg_execute_server_program', 'pg_write_server_files',
        'pg_read_server_files', 'pg_write_all_data', 'pg_signal_backend'))
    AND p.rolname NOT IN (current_user, session_user) AND pg_has_role(session_user, p.oid, 'MEMBER')
ORDER BY p.rolname
"""

#: A few tables that the role may write to; more are not counted, because there may be many.
WRITABLE = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema' AND has_schema_privilege(n.oid, 'USAGE')
    AND (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
LIMIT 4
"""

#: Schemas that the role may make tables and functions in.
CREATABLE = """
SELECT quote_ident(nspname) FROM pg_catalog.pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND has_schema_privilege(oid, 'CREATE')
ORDER BY nspname LIMIT 4
"""

#: Functions that the role may call and that leave the transaction: those of dblink, of languages
#: that do what they like (plpython3u), and those of _LASTING.
FUNCTIONS = f"""
SELECT kind, array_agg(signature ORDER BY signature) FROM (
    SELECT p.oid::regprocedure::text AS signature,
        CASE WHEN d.objid IS NOT NULL THEN 'dblink'
            WHEN l.oid IS NOT NULL THEN l.lanname::text ELSE 'lasting' END AS kind
    FROM pg_catalog.pg_proc p
    LEFT JOIN (pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e
        ON e.oid = d.refobjid AND e.extname = 'dblink')
        ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        AND d.refclassid = 'pg_catalog.pg_extension'::regclass
        AND p.proname ~ '^dblink(_connect|_connect_u|_exec|_open|_send_query)?$'
    LEFT JOIN pg_catalog.pg_language l
        ON l.oid = p.prolang AND NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c')
    WHERE (d.objid IS NOT NULL OR l.oid IS NOT NULL
            OR p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ({_LASTING}))
        AND p.prokind <> 'p' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND EXISTS (SELECT FROM {_REACHED} r WHERE has_function_privilege(r.oid, p.oid, 'EXECUTE')
            AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE'))) f
GROUP BY kind ORDER BY kind
"""  # noqa: S608 (constants of this module)

#: Servers of other databases that the role may make foreign tables for.
FOREIGN_SERVERS = f"""
SELECT quote_ident(s.srvname) FROM pg_catalog.pg_foreign_server s
JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname IN ('postgres_fdw', 'dblink_fdw')
    AND EXISTS (SELECT FROM {_REACHED} r WHERE has_server_privilege(r.oid, s.oid, 'USAGE'))
ORDER BY s.srvname LIMIT 4
"""  # noqa: S608 (constants of this module)

#: Schemas with tables that the role may read, for the GRANTs of a role that may do no more.
READABLE = """
SELECT quote_ident(n.nspname) FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_table_privilege(c.oid, 'SELECT'))
ORDER BY n.nspname <> 'public', n.nspname LIMIT 4
"""
