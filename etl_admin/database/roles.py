"""Roles and databases inside the embedded server: who owns what, and who may not connect where."""

import psycopg
from psycopg import sql

METADATA = "etl"
WAREHOUSE = "warehouse"
# Kept as the comment of the metadata database, written last: a preparation cut short runs again.
_LAYOUT = "etl-admin embedded layout 1"


def prepare(session: psycopg.Connection, passwords: dict[str, str]) -> None:
    """Make what is missing; `passwords` by role. One query if all is there already."""
    if _is_prepared(session):
        return
    for role, attributes in ((METADATA, "LOGIN CREATEDB"), (WAREHOUSE, "LOGIN")):
        _ensure_role(session, role, attributes, passwords[role])
        _ensure_database(session, role)
    # The age of the oldest transaction of other roles decides what an incremental run may read.
    session.execute(sql.SQL("GRANT pg_read_all_stats TO {}").format(sql.Identifier(WAREHOUSE)))
    session.execute(
        sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(METADATA), _LAYOUT)
    )


def _is_prepared(session: psycopg.Connection) -> bool:
    databases = session.execute(
        "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database"
    ).fetchall()
    comments: dict[str, str | None] = dict(databases)
    return WAREHOUSE in comments and comments.get(METADATA) == _LAYOUT


def _ensure_role(session: psycopg.Connection, role: str, attributes: str, password: str) -> None:
    name = sql.Identifier(role)
    if not session.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchall():
        session.execute(sql.SQL("CREATE ROLE {}").format(name))
    # Hashed here, so that the server's log cannot show the password.
    hashed = session.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    session.execute(
        sql.SQL("ALTER ROLE {} {} PASSWORD {}").format(
            name,
            sql.SQL(attributes),
            hashed.decode(),
        )
    )


def _ensure_database(session: psycopg.Connection, name: str) -> None:
    """A database of the role's own name that no other role may enter."""
    database = sql.Identifier(name)
    if not session.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
        session.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, database))
    session.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
