"""Questions that load a server are asked one at a time per connection, whoever asks them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import blake2b
from typing import Any

from django.db import connection as metadata
from django.utils.translation import gettext as _

from pipelines.models import Connection


class Busy(Exception):
    """Another question is being asked of the connection; `wait` is in seconds."""

    wait = 5

    def __init__(self, connection: Connection) -> None:
        self.sentence = _(
            "The connection “%(name)s” is busy: another comparison or preview is using it. "
            "Ask again in a moment."
        ) % {"name": connection.name}
        super().__init__(self.sentence)


@contextmanager
def alone(*connections: Connection) -> Iterator[None]:
    """Hold these connections for oneself, or raise Busy at once.

    Advisory locks of a session of its own in the metadata database: the server frees them when
    this process dies, whatever it dies of, and no transaction stays open meanwhile.
    """
    wanted = {_key(connection): connection for connection in connections}
    with metadata.wrap_database_errors:
        session = metadata.get_new_connection(metadata.get_connection_params())
    with closing(session):
        session.autocommit = True
        for key in sorted(wanted):
            if not _try_lock(session, key):
                raise Busy(wanted[key])
        yield


def _try_lock(session: Any, key: int) -> bool:
    with metadata.wrap_database_errors, session.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


def _key(connection: Connection) -> int:
    """A number of 64 bits that no other use of advisory locks is likely to have."""
    digest = blake2b(b"busy:" + connection.pk.bytes, digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
