"""The throw-away PostgreSQL cluster of a test session, and the environment that leads to it.

The process that the developer started owns the cluster; workers of pytest-xdist only find it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from cryptography.fernet import Fernet

from etl_admin.database.binaries import DEFAULT_MAJOR
from etl_admin.database.throwaway import FAST, throwaway_cluster

#: The superuser's address, for tests that need one; set for xdist's workers by their parent.
SUPERUSER_URL = "TEST_SUPERUSER_URL"
#: TEST_POSTGRES=16 runs everything on the other server in the wheel.
MAJOR = int(os.environ.get("TEST_POSTGRES", DEFAULT_MAJOR))

METADATA = "etl"
SOURCE = "source"
TARGET = "target"

_SERVER_OPTIONS = {
    **FAST,
    "max_connections": "200",
    "max_prepared_transactions": "20",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10min",
}
# What the settings read must not depend on the developer's shell.
_CLEARED = (
    "ALLOWED_HOSTS",
    "ALLOW_HTTP",
    "AUDIT_DAYS",
    "DEBUG",
    "LIMIT_PREVIEW",
    "LIMIT_RECONCILE",
    "LIMIT_RUN",
    "LIMIT_TEST",
    "LOG_LEVEL",
    "PRIVILEGED_ROLES",
    "PUBLIC_URL",
    "RECONCILE_SECONDS",
    "RUNNER_LEASE_SECONDS",
    "RUNNER_POLL_SECONDS",
    "SIGN_IN_FAILURES",
    "SIGN_IN_LOCK_MINUTES",
    "STATE_SCHEMA",
    "TRUSTED_PROXIES",
)


@contextmanager
def environment() -> Iterator[None]:
    """Bring up the cluster unless our parent did, and set every variable that settings need."""
    if SUPERUSER_URL in os.environ:
        _point_at_own_databases()
        yield
        return
    with throwaway_cluster(major=MAJOR, options=_SERVER_OPTIONS) as cluster:
        os.environ[SUPERUSER_URL] = cluster.url("postgres")
        _make_roles()
        _set_constants(cluster.directory / "installation")
        _point_at_own_databases()
        try:
            yield
        finally:
            del os.environ[SUPERUSER_URL]


def url(dbname: str, role: str | None = None) -> str:
    """The address of a database as `role` (its password is its name), or as the superuser."""
    parts = urlsplit(os.environ[SUPERUSER_URL])
    if role is not None:
        parts = parts._replace(netloc=f"{role}:{role}@{parts.hostname}:{parts.port}")
    return urlunsplit(parts._replace(path=f"/{quote(dbname)}", query="sslmode=disable"))


def own(name: str) -> str:
    """`name` made different for each of xdist's workers: source_gw0."""
    return f"{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


def superuser(dbname: str = "postgres") -> psycopg.Connection:
    """An autocommit session as the superuser."""
    return psycopg.connect(url(dbname), autocommit=True)


def _make_roles() -> None:
    with superuser() as session:
        for role in (METADATA, SOURCE, TARGET):
            rights = "CREATEDB" if role == METADATA else "NOCREATEDB"
            session.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}' {rights}")
        session.execute(f"GRANT pg_read_all_stats TO {SOURCE}")
        session.execute(f"CREATE DATABASE {METADATA} OWNER {METADATA}")


def _set_constants(data: Path) -> None:
    for name in _CLEARED:
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # libpq would obey PGHOST, PGOPTIONS and the like
    os.environ |= {
        "DATABASE_URL": url(METADATA, METADATA),
        "DATA_DIR": str(data),
        "SECRET_KEY": "tests-only-" + "x" * 50,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "TARGET_SCHEMAS": "analytics",
        "CONNECTIONS_ALLOW_LOCAL": "1",
    }


def _point_at_own_databases() -> None:
    os.environ["WAREHOUSE_URL"] = url(own(TARGET), TARGET)
