"""The ground of a measurement: a throw-away cluster with three databases, and Django on it.

The server has its own defaults (fsync on, 128 MB of shared buffers): nothing is tuned for us.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from etl_admin.database import binaries
from etl_admin.database.account import server_account
from etl_admin.database.cluster import Cluster
from etl_admin.database.throwaway import throwaway_cluster

METADATA, SOURCE, TARGET = "etl", "source", "target"
#: Rows come in the order of `modified` while ids are spread over their whole range, as in tables
#: that are written by an application.
ROWS = """
INSERT INTO items
SELECT md5('row ' || n)::uuid, 'Item number ' || n || ' of many',
    sqrt(n), timestamptz '2026-01-01 00:00:00+00' + n * interval '1 ms'
FROM generate_series({first}::int, {last}::int) AS n
"""
ITEMS = """
CREATE TABLE {} (id uuid {} NOT NULL, name text, rating float8, modified timestamptz)
"""
QUERY = "SELECT id, name, rating, modified FROM items"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where everything is. Roles are ordinary ones that own their databases."""

    cluster: Cluster

    def url(self, dbname: str) -> str:
        """The address of a database as its owner."""
        return f"{self.cluster.url(dbname, user=dbname, password=dbname)}?sslmode=disable"

    def session(self, dbname: str) -> psycopg.Connection:
        """An autocommit session as the database's owner."""
        return psycopg.connect(self.url(dbname), autocommit=True)

    def superuser(self, dbname: str) -> psycopg.Connection:
        """An autocommit session that may do everything."""
        return self.cluster.connect(dbname)

    def server_version(self) -> str:
        """As the server calls it, such as 18.4."""
        with self.superuser("postgres") as session:
            return session.info.parameter_status("server_version") or "unknown"

    def programs(self) -> Path:
        """The folder of the server's own programs."""
        directory = self.cluster.directory
        return binaries.programs(
            major=self.cluster.major, account=server_account(directory), directory=directory
        )

    def settle(self) -> None:
        """Write out what earlier measurements left, so that none pays for another."""
        with self.superuser(TARGET) as session:
            session.execute("CHECKPOINT")


@contextmanager
def ground() -> Iterator[Ground]:
    """A running cluster with empty databases, and the environment and Django that lead to it."""
    with throwaway_cluster(options={}) as cluster, tempfile.TemporaryDirectory() as data:
        found = Ground(cluster=cluster)
        _make_databases(found)
        _point_django(found, Path(data))
        try:
            yield found
        finally:
            _leave_django()


def make_source(ground: Ground, rows: int) -> None:
    """The source's table with rows numbered from 1, indexed by key and by (modified, key)."""
    with ground.session(SOURCE) as session:
        session.execute("DROP TABLE IF EXISTS items")
        session.execute(ITEMS.format("items", "PRIMARY KEY"))
        session.execute(ROWS.format(first=1, last=rows))
        session.execute("CREATE INDEX ON items (modified, id)")
    with ground.superuser(SOURCE) as session:
        session.execute("VACUUM ANALYZE items")


def make_target(ground: Ground, name: str, *, key: bool = True) -> None:
    """An empty target table in `analytics`, with its primary key or without any index."""
    with ground.session(TARGET) as session:
        session.execute("SET client_min_messages = warning")
        session.execute("CREATE SCHEMA IF NOT EXISTS analytics")
        session.execute(f"DROP TABLE IF EXISTS analytics.{name}")
        session.execute(ITEMS.format(f"analytics.{name}", "PRIMARY KEY" if key else ""))


def _make_databases(ground: Ground) -> None:
    with ground.superuser("postgres") as session:
        for name in (METADATA, SOURCE, TARGET):
            role = sql.Identifier(name)
            session.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(name))
            )
            session.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(role))
        # With it the horizon of late commits is known, as the documentation asks for.
        session.execute(f"GRANT pg_read_all_stats TO {SOURCE}")


def _point_django(ground: Ground, data: Path) -> None:
    import django
    from django.core.management import call_command

    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "etl_admin.settings",
        "DATABASE_URL": ground.url(METADATA),
        "WAREHOUSE_URL": ground.url(TARGET),
        "DATA_DIR": str(data),
        "SECRET_KEY": "measurements-only-" + "x" * 50,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "CONNECTIONS_ALLOW_LOCAL": "1",
        "LOG_LEVEL": "WARNING",
    }
    django.setup()
    call_command("migrate", verbosity=0)


def _leave_django() -> None:
    from django.db import connections

    connections.close_all()
