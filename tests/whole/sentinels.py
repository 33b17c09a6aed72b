"""Secrets that cannot be there by chance, a world in which all of them are used, and the search."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from tests import cluster

#: What is written in another way wherever text is quoted: by URLs, HTML, JSON, SQL or repr.
_TROUBLE = "'\"%/+&<é \\"


@dataclass(frozen=True)
class Sentinel:
    """A secret; `core` is the part of it that looks the same however it is quoted."""

    name: str
    value: str
    core: str

    def is_in(self, text: str) -> bool:
        """Whether the text has the core, plain, in base64 at any offset, or in hexadecimal."""
        return any(form in text for form in self.forms())

    def forms(self) -> list[str]:
        """Ways in which the core can be written."""
        bare = self.core.encode()
        shifted = [base64.b64encode(b"\0" * n + bare).decode()[n and n + 1 : -4] for n in range(3)]
        return [self.core, self.core.upper(), bare.hex(), *shifted]


def new(name: str) -> Sentinel:
    """A password with every character that is trouble."""
    core = f"Sentinel{secrets.token_hex(20)}"
    return Sentinel(name, f"{_TROUBLE}{core}{_TROUBLE}", core)


def new_key(name: str) -> Sentinel:
    """A Fernet key."""
    key = Fernet.generate_key().decode()
    return Sentinel(name, key, key[:30])


@dataclass
class Found:
    """Everything that was seen, by where."""

    sentinels: tuple[Sentinel, ...]
    seen: list[tuple[str, str]] = field(default_factory=list)

    def see(self, where: str, what: Any) -> None:
        """Add bytes, text, or anything else by its repr and str."""
        if isinstance(what, bytes):
            what = what.decode("utf-8", "replace")
        texts = [what] if isinstance(what, str) else [repr(what), str(what)]
        self.seen += [(where, text) for text in texts]

    def leaks(self) -> list[str]:
        """Which secret was seen where."""
        return [
            f"{sentinel.name} in {where}"
            for where, text in self.seen
            for sentinel in self.sentinels
            if sentinel.is_in(text)
        ]


@contextmanager
def roles(
    passwords: dict[str, str], *, databases: tuple[str, ...], groups: tuple[str, ...]
) -> Iterator[None]:
    """Roles with these passwords, members of `groups`; what they own goes with them."""
    with cluster.superuser() as session:
        for role, password in passwords.items():
            session.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                    sql.Identifier(role),
                    sql.Literal(password),
                    sql.SQL(", ").join(map(sql.Identifier, groups)),
                )
            )
    try:
        yield
    finally:
        for database in databases:
            with cluster.superuser(database) as session:
                for role in passwords:
                    session.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        with cluster.superuser() as session:
            for role in passwords:
                session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def url_as(url: str, role: str, password: str) -> str:
    """The address of the same database as somebody else."""
    parts = urlsplit(url)
    netloc = f"{role}:{quote(password, safe='')}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=netloc).geturl()


def every_row(database: str) -> Iterator[tuple[str, str]]:
    """Each row of each table of a database, as text, with the table's name."""
    with cluster.superuser(database) as session:
        tables = session.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, name in tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, name))
            for (row,) in session.execute(query):
                yield f"{database}: {schema}.{name}", row


def sessions() -> Iterator[tuple[str, str]]:
    """What the server shows of everybody's sessions."""
    with cluster.superuser() as session:
        for (row,) in session.execute("SELECT a::text FROM pg_stat_activity a"):
            yield "pg_stat_activity", row


def command_lines() -> Iterator[tuple[str, str]]:
    """What the system shows of everybody's processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield str(path), path.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue


def rows_of(connection: psycopg.Connection[Any]) -> str:
    """A session of ours, as logs would show it."""
    return f"{connection!r} {connection.info.dsn} {connection.info.get_parameters()}"
