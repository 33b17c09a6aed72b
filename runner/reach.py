"""Whether a connection may lead where it leads: asked before each sign-in, and once after it."""

from typing import Any

import psycopg

from pipelines import hosts
from runner.errors import RunError
from runner.plan import Address

_WHERE = """
SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
    (SELECT oid::int8 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""
#: For a role that may not ask for the server's number.
_HOLDS_METADATA = """
SELECT count(DISTINCT relname) = 2 FROM pg_catalog.pg_class
WHERE relname IN ('pipelines_installation', 'django_migrations')
"""


class ForbiddenHost(RunError):
    """Our own rules forbid this host or this database; no server has said anything."""

    def __init__(self, connection: str, sentence: str) -> None:
        sentence = f"The connection “{connection}” may not be used. {sentence}"
        super().__init__(sentence, error_class="ForbiddenHost")


def ways_to(address: Address) -> dict[str, str]:
    """`host` and `hostaddr` as libpq takes them: exactly the addresses that were judged.

    TLS goes on checking the name. Raises ForbiddenHost; OSError and UnicodeError where there is no
    such name.
    """
    try:
        hosts.check_name(address.host)
        found = hosts.resolve(address.host)
        if not address.may_be_local:
            hosts.check_addresses(address.host, found)
    except hosts.Forbidden as forbidden:
        raise ForbiddenHost(address.name, str(forbidden)) from None
    ways = found[: hosts.MOST_ADDRESSES]
    return {"host": ",".join([address.host] * len(ways)), "hostaddr": ",".join(ways)}


def check_not_metadata(session: psycopg.Connection[Any], address: Address) -> None:
    """By whichever name it was reached, the server knows best which database this is.

    Raises ForbiddenHost for the one where our own tables are.
    """
    if address.metadata is None:
        return
    try:
        row = session.execute(_WHERE).fetchone()
        is_ours = row is not None and tuple(row) == address.metadata
    except psycopg.errors.InsufficientPrivilege:
        row = session.execute(_HOLDS_METADATA).fetchone()
        is_ours = row is not None and bool(row[0])
    if is_ours:
        raise ForbiddenHost(address.name, hosts.METADATA)
