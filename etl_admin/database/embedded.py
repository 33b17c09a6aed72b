"""The embedded PostgreSQL of an installation: brought up when first needed, shared by everybody.

Whoever needs it first starts it, and it lives on when that process dies; only `stop` and
`stop_if_idle` end it. Each of them works under a lock between processes.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe

import psycopg

from etl_admin.database import roles
from etl_admin.database.cluster import Cluster
from etl_admin.database.errors import EmbeddedDatabaseError
from etl_admin.database.files import locked, write_private
from etl_admin.database.location import Location, locate
from etl_admin.database.loopback import HOST, SUPERUSER

_logger = logging.getLogger(__name__)
_PASSWORDS = "passwords.json"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the running server is, and how its two roles enter the databases of their names.

    `notice` is a sentence for the operator when the data could not stay in the project's folder;
    `started_here` tells whether this process started the server.
    """

    host: str
    port: int
    metadata_password: str = field(repr=False)
    warehouse_password: str = field(repr=False)
    notice: str = ""
    started_here: bool = False


_known: dict[Path, Address] = {}


def ensure_running(data_dir: Path) -> Address:
    """The server's address; made, started or started again as needed.

    Later calls of this process cost nothing, so a server that has gone is noticed by a failed
    connection: call `reset`, then this again. Raises EmbeddedDatabaseError.
    """
    data_dir = data_dir.absolute()
    if (address := _known.get(data_dir)) is not None:
        return address
    with _exclusive(data_dir) as location:
        address = _bring_up(location)
    _known[data_dir] = address
    return address


def reset(data_dir: Path | None = None) -> None:
    """Forget the address (of every installation without an argument); nothing is stopped."""
    if data_dir is None:
        _known.clear()
    else:
        _known.pop(data_dir.absolute(), None)


def stop(data_dir: Path) -> None:
    """Stop the server, ending the sessions that are connected; nothing if it does not run."""
    reset(data_dir)
    if data_dir.exists():
        with _exclusive(data_dir) as location:
            Cluster(location.directory).stop()


def stop_if_idle(data_dir: Path) -> bool:
    """Stop the server unless a client is connected; True when it is not running any more.

    A caller's own connections count too: close them first.
    """
    if not data_dir.exists():
        return True
    with _exclusive(data_dir) as location:
        cluster = _cluster(location, _read_passwords(location.home))
        if cluster.is_running() and _has_clients(cluster):
            return False
        reset(data_dir)
        cluster.stop()
    return True


@contextmanager
def _exclusive(data_dir: Path) -> Iterator[Location]:
    """The location, with nobody else at work in it; what the system refuses becomes a sentence."""
    try:
        location = locate(data_dir)
        with locked(location.directory / "lock"):
            yield location
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL cannot use {error.filename or data_dir}: {error.strerror}. "
            "Run as the user who began this project's database, or set DATABASE_URL."
        ) from error
    except psycopg.Error as error:
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL runs, but refused its supervisor: {error}"
        ) from error


def _bring_up(location: Location) -> Address:
    passwords = _read_passwords(location.home)
    if not passwords:
        _set_aside(location)
        passwords = {role: token_urlsafe(24) for role in _roles()}
        write_private(location.home / _PASSWORDS, json.dumps(passwords))
    cluster = _cluster(location, passwords)
    if not cluster.exists:
        _logger.info("Making the embedded PostgreSQL in %s.", location.directory)
        cluster.init()
    started_here = cluster.start()
    if started_here and location.notice:
        _logger.warning(location.notice)
    with cluster.connect() as session:
        roles.prepare(session, passwords)
    return Address(
        host=HOST,
        port=cluster.port,
        metadata_password=passwords[roles.METADATA],
        warehouse_password=passwords[roles.WAREHOUSE],
        notice=location.notice,
        started_here=started_here,
    )


def _set_aside(location: Location) -> None:
    """Data whose passwords are gone cannot be used; they are never deleted and never adopted."""
    cluster = Cluster(location.directory)
    if not cluster.exists:
        return
    if not location.is_elsewhere:
        raise EmbeddedDatabaseError(
            f"There is a database in {location.directory}, but its {_PASSWORDS} is missing. "
            "Restore that file, or move the folder away to begin with an empty database."
        )
    cluster.stop()
    kept = cluster.data.with_name(f"data-until-{time.strftime('%Y%m%d-%H%M%S')}")
    cluster.data.rename(kept)
    _logger.warning(
        "The project's folder of passwords was removed, so it begins with an empty database. "
        "The earlier data were kept in %s: remove them if nobody needs them.",
        kept,
    )


def _read_passwords(home: Path) -> dict[str, str]:
    """By role; empty when there is no such file yet."""
    path = home / _PASSWORDS
    try:
        passwords = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        passwords = None
    if not isinstance(passwords, dict) or not _roles() <= passwords.keys():
        raise EmbeddedDatabaseError(
            f"The file {path} is damaged: the passwords of the embedded PostgreSQL are not in it. "
            "Restore it, or move the folder away to begin with an empty database."
        )
    return passwords


def _roles() -> set[str]:
    return {SUPERUSER, roles.METADATA, roles.WAREHOUSE}


def _cluster(location: Location, passwords: dict[str, str]) -> Cluster:
    return Cluster(location.directory, password=passwords.get(SUPERUSER, ""))


def _has_clients(cluster: Cluster) -> bool:
    with cluster.connect() as session:
        row = session.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())"
        ).fetchone()
    return row == (True,)
