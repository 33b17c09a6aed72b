"""Statements on our own tables in the target: `checkpoint` and `version` in the state schema."""

from psycopg import sql

VERSION = 1

_COLUMNS = """
    pipeline_uid uuid NOT NULL, part int NOT NULL DEFAULT 0, installation_uid uuid NOT NULL,
    generation bigint NOT NULL, epoch int NOT NULL, seq bigint NOT NULL, phase text NOT NULL,
    cursor_text text, cursor_type text, key_text text[], basis text, rows bigint NOT NULL,
    staging text,
    definition_hash text NOT NULL, backend_pid int, backend_start timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (pipeline_uid, part)"""


def exists(schema: str) -> sql.Composed:
    """The version of our tables, NULL where they are not there yet."""
    return sql.SQL("SELECT pg_catalog.to_regclass({})::text").format(
        sql.Literal(_quoted(schema, "version"))
    )


def lock_setup(schema: str) -> sql.Composed:
    """One session at a time makes or upgrades the tables; held until its transaction ends."""
    return sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended({}, 0))").format(
        sql.Literal(f"etl_admin:setup:{schema}")
    )


def setup(schema: str) -> list[sql.Composed]:
    """Make the tables in their schema; run under `lock_setup`.

    The fill factor leaves room for the update that every batch makes (HOT, no index work).
    """
    return [
        sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) WITH (fillfactor = 50)").format(
            sql.Identifier(schema, "checkpoint"), sql.SQL(_COLUMNS)
        ),
        sql.SQL("CREATE TABLE IF NOT EXISTS {} (version int NOT NULL)").format(
            sql.Identifier(schema, "version")
        ),
        sql.SQL("INSERT INTO {0} SELECT {1} WHERE NOT EXISTS (SELECT FROM {0})").format(
            sql.Identifier(schema, "version"), sql.Literal(VERSION)
        ),
    ]


def grants(schema: str, role: str, database: str) -> str:
    """What a DBA runs when our role may not make the schema itself."""
    name, who = sql.Identifier(schema).as_string(), sql.Identifier(role).as_string()
    return (
        f"GRANT CREATE ON DATABASE {sql.Identifier(database).as_string()} TO {who}; "
        f"or: CREATE SCHEMA {name} AUTHORIZATION {who};"
    )


def grants_to_use(schema: str, role: str) -> str:
    """What the owner of the tables runs when another role made them."""
    name, who = sql.Identifier(schema).as_string(), sql.Identifier(role).as_string()
    return (
        f"GRANT USAGE, CREATE ON SCHEMA {name} TO {who}; "
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {name} TO {who};"
    )


def first(schema: str) -> sql.Composed:
    """The row of a pipeline that never ran here. Parameters: uid, installation, epoch, hash."""
    return sql.SQL(
        "INSERT INTO {} (pipeline_uid, installation_uid, generation, epoch, seq, phase, rows,"
        " definition_hash) VALUES (%s, %s, 0, %s, 0, 'new', 0, %s) ON CONFLICT DO NOTHING"
    ).format(sql.Identifier(schema, "checkpoint"))


def locked(schema: str) -> sql.Composed:
    """The row as the last committed batch left it; waits for one that is committing.

    Parameter: uid.
    """
    return sql.SQL(
        "SELECT installation_uid, generation, epoch, definition_hash, seq, rows, phase,"
        " cursor_text, cursor_type, key_text, basis, staging, backend_pid, backend_start"
        " FROM {} WHERE pipeline_uid = %s AND part = 0 FOR UPDATE"
    ).format(sql.Identifier(schema, "checkpoint"))


def fence(schema: str, *, clear: bool) -> sql.Composed:
    """Raise the generation, so that whoever held a smaller one can commit no batch any more.

    Parameters: generation, epoch, hash, uid, generation. `clear` forgets the position.
    """
    cleared = (
        ", seq = 0, rows = 0, phase = 'new', cursor_text = NULL, cursor_type = NULL,"
        " key_text = NULL, basis = NULL"
        if clear
        else ""
    )
    return sql.SQL(
        "UPDATE {} SET generation = %s, epoch = %s, definition_hash = %s, updated_at = now(),"
        " backend_pid = pg_backend_pid(), backend_start = (SELECT backend_start FROM"
        " pg_stat_activity WHERE pid = pg_backend_pid()), staging = NULL{}"
        " WHERE pipeline_uid = %s AND part = 0 AND generation < %s"
    ).format(sql.Identifier(schema, "checkpoint"), sql.SQL(cleared))


def terminate() -> str:
    """End the backend of a lost worker that still holds locks. Parameters: pid, its start."""
    return (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid = %s AND backend_start = %s AND usename = current_user"
        " AND pid <> pg_backend_pid()"
    )


def advance(schema: str) -> sql.Composed:
    """The end of a batch: 1 row, or we were fenced.

    Parameters: rows, phase, cursor, cursor type, key, basis, uid, generation, seq.
    """
    return sql.SQL(
        "UPDATE {} SET seq = seq + 1, rows = rows + %s, phase = %s, updated_at = now(),"
        " cursor_text = coalesce(%s, cursor_text), cursor_type = coalesce(%s, cursor_type),"
        " key_text = coalesce(%s, key_text), basis = coalesce(%s, basis)"
        " WHERE pipeline_uid = %s AND part = 0 AND generation = %s AND seq = %s"
    ).format(sql.Identifier(schema, "checkpoint"))


def stage(schema: str) -> sql.Composed:
    """A full load begins or ends: its staging table (or NULL) and phase, counters from zero.

    Parameters: staging, phase, uid, generation.
    """
    return sql.SQL(
        "UPDATE {} SET staging = %s, phase = %s, seq = 0, rows = 0, updated_at = now()"
        " WHERE pipeline_uid = %s AND part = 0 AND generation = %s"
    ).format(sql.Identifier(schema, "checkpoint"))


def phase(schema: str) -> sql.Composed:
    """Only the phase; also the fence of a publish. Parameters: phase, uid, generation."""
    return sql.SQL(
        "UPDATE {} SET phase = %s, updated_at = now()"
        " WHERE pipeline_uid = %s AND part = 0 AND generation = %s"
    ).format(sql.Identifier(schema, "checkpoint"))


def staged(schema: str) -> sql.Composed:
    """Uid and generation of each checkpoint that names a staging table. Parameter: installation."""
    return sql.SQL(
        "SELECT pipeline_uid, generation FROM {} WHERE staging IS NOT NULL"
        " AND installation_uid = %s"
    ).format(sql.Identifier(schema, "checkpoint"))


def unstage(schema: str) -> sql.Composed:
    """Forget the staging table that this generation named. Parameters: uid, generation."""
    return sql.SQL(
        "UPDATE {} SET staging = NULL, phase = 'new', seq = 0, rows = 0, updated_at = now()"
        " WHERE pipeline_uid = %s AND generation = %s AND staging IS NOT NULL"
    ).format(sql.Identifier(schema, "checkpoint"))


def abandoned_staging(schema: str) -> sql.Composed:
    """Staging tables of this installation that no checkpoint names. Parameter: their prefix."""
    return sql.SQL(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = {} AND c.relkind = 'r' AND starts_with(c.relname::text, %s)"
        " AND NOT EXISTS (SELECT FROM {} WHERE staging = c.relname::text)"
    ).format(sql.Literal(schema), sql.Identifier(schema, "checkpoint"))


def _quoted(schema: str, name: str) -> str:
    return sql.Identifier(schema, name).as_string()
