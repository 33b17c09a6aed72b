"""Three clusters for the fault tests (metadata, source, target), each behind a proxy."""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from etl_admin.database.cluster import Cluster
from etl_admin.database.throwaway import throwaway_cluster
from tests import cluster as session_cluster
from tests.whole.faults.proxy import HOST, Proxy

# What a crash of the server alone may lose must be lost here too, so commits stay synchronous, and
# those that need not be are written as late as can be; only the machine does not crash.
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "autovacuum_naptime": "10min",
    "wal_level": "minimal",
    "wal_writer_delay": "10s",
    "max_wal_senders": "0",
}


@dataclass(kw_only=True)
class Server:
    """A cluster with one database and one role of the same name, and the proxy before it."""

    name: str
    cluster: Cluster
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    proxy: Proxy = field(init=False)

    def __post_init__(self) -> None:
        self.proxy = Proxy(lambda: self.cluster.port)
        rights = "CREATEDB" if self.name == "metadata" else "NOCREATEDB"
        with self.cluster.connect() as session:
            session.execute(f"CREATE ROLE {self.name} LOGIN PASSWORD '{self.password}' {rights}")
            session.execute(f"GRANT pg_read_all_stats TO {self.name}")
        self.make()

    def url(self, *, direct: bool = False) -> str:
        """The address of the database as its role, through the proxy unless `direct`."""
        port = self.cluster.port if direct else self.proxy.port
        return f"postgresql://{self.name}:{self.password}@{HOST}:{port}/{self.name}?sslmode=disable"

    def admin(self) -> psycopg.Connection:
        """An autocommit session as the superuser, past the proxy."""
        return self.cluster.connect(self.name)

    def make(self) -> None:
        """The database, empty."""
        with self.cluster.connect() as session:
            session.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            session.execute(f"CREATE DATABASE {self.name} OWNER {self.name}")

    def crash(self) -> None:
        """Every process of the server ends at once, as in a power cut of the database alone."""
        self.cluster.stop("immediate")

    def start(self) -> None:
        """After a crash, on the same port."""
        self.cluster.start()

    def back_up(self) -> None:
        """A copy of the whole server, aside."""
        self.cluster.stop("fast")
        self._copy(self.cluster.data, self._backup)
        self.start()

    def restore(self) -> None:
        """As it was at `back_up`."""
        self.cluster.stop("fast")
        shutil.rmtree(self.cluster.data)
        self._copy(self._backup, self.cluster.data)
        self.start()

    @property
    def _backup(self) -> Path:
        return self.cluster.directory / "backup"

    def _copy(self, source: Path, to: Path) -> None:
        shutil.rmtree(to, ignore_errors=True)
        # With owners: the server's own files are not ours when we are root.
        subprocess.run(["cp", "-a", str(source), str(to)], check=True)

    def end_sessions(self, where: str = "true") -> int:
        """pg_terminate_backend on the sessions of our role that fit; how many there were."""
        with self.cluster.connect() as session:
            rows = session.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE usename = '{self.name}' AND {where}"
            ).fetchall()
        return len(rows)


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The three."""

    metadata: Server
    source: Server
    target: Server

    def all(self) -> tuple[Server, Server, Server]:
        """In the order in which a run meets them."""
        return self.metadata, self.source, self.target


@contextmanager
def three_servers() -> Iterator[Servers]:
    """Three running servers, gone at the end."""
    with ExitStack() as stack:
        made = {}
        for name in ("metadata", "source", "target"):
            cluster = stack.enter_context(
                throwaway_cluster(major=session_cluster.MAJOR, options=_OPTIONS)
            )
            made[name] = Server(name=name, cluster=cluster)
            stack.callback(made[name].proxy.close)
        yield Servers(**made)
