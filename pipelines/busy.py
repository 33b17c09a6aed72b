"""Questions that load a server are asked one at a time per connection, whoever asks them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import blake2b
from time import monotonic, sleep
from typing import Any

from django.db import connection as metadata
from django.utils.translation import gettext as _

from pipelines.models import Connection

#: Whoever saves a definition waits so many seconds for others who do.
_PATIENCE = 15
_BETWEEN_SECONDS = 0.1


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
def alone(*connections: Connection, to_save: bool = False) -> Iterator[None]:
    """Hold these connections for oneself, or raise Busy.

    Who looks before a definition is saved waits for others who do, and for nobody else: saving is
    no reason to be refused because of a long comparison.

    Advisory locks of a session of its own in the metadata database: the server frees them when
    this process dies, whatever it dies of, and no transaction stays open meanwhile.
    """
    wanted = {_key(connection, to_save=to_save): connection for connection in connections}
    with metadata.wrap_database_errors:
        session = metadata.get_new_connection(metadata.get_connection_params())
    with closing(session):
        session.autocommit = True
        until = monotonic() + (_PATIENCE if to_save else 0)
        for key in sorted(wanted):
            while not _try_lock(session, key):
                if monotonic() >= until:
                    raise Busy(wanted[key])
                sleep(_BETWEEN_SECONDS)
        yield


def _try_lock(session: Any, key: int) -> bool:
    with metadata.wrap_database_errors, session.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


def _key(connection: Connection, *, to_save: bool) -> int:
    """A number of 64 bits that no other use of advisory locks is likely to have."""
    purpose = b"save:" if to_save else b"busy:"
    digest = blake2b(purpose + connection.pk.bytes, digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
