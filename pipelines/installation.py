"""Whether this metadata database is the one it was: a copy must not write to the same targets.

PostgreSQL gives each cluster a number at initdb; with the database's OID it tells a restored or
copied metadata database from the original. https://www.postgresql.org/docs/current/functions-info.html
"""

import uuid
from dataclasses import dataclass
from typing import NamedTuple

from django.db import DatabaseError, connection
from django.utils.translation import gettext as _

from pipelines.models import Installation

__all__ = ["DatabaseError", "Installation", "Moved", "Place", "adopt", "check", "here", "renew"]


class Place(NamedTuple):
    """A database: the number of its server, and its OID there."""

    system_identifier: str
    database_oid: int


@dataclass(kw_only=True)  # not frozen: raising writes a traceback to it
class Moved(Exception):
    """The metadata is in another database than it was: restored from a backup, or a copy."""

    recorded: Place
    found: Place

    def __str__(self) -> str:
        return _(
            "This metadata database is not the one it was: it has been restored from a backup, "
            "upgraded or copied. If the original is gone, run: manage.py installation --adopt. "
            "If the original still runs, this is a clone: give its pipelines other targets, and "
            "run: manage.py installation --new."
        )


def here() -> Place:
    """Where the metadata is now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT system_identifier::text, (SELECT oid::bigint FROM pg_database"
            " WHERE datname = current_database()) FROM pg_control_system()"
        )
        identifier, oid = cursor.fetchone()
        return Place(identifier, oid)


def check() -> None:
    """Record the place at the first call ever; raise Moved when it is another one now."""
    Installation.identity()
    found = here()
    unknown = Installation.objects.filter(system_identifier="")
    unknown.update(**found._asdict())
    row = Installation.objects.get(id=1)
    recorded = Place(row.system_identifier, row.database_oid or 0)
    if recorded != found:
        raise Moved(recorded=recorded, found=found)


def adopt() -> None:
    """This is the original, in a new place: targets go on knowing it."""
    Installation.identity()
    Installation.objects.update(**here()._asdict())


def renew() -> uuid.UUID:
    """This is a clone: a new identity, which the original's tables refuse. Returns it."""
    Installation.identity()
    uid = uuid.uuid4()
    Installation.objects.update(uid=uid, **here()._asdict())
    return uid
