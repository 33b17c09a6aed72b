"""Which schemas pipelines may write to; names of tables and columns are checked elsewhere."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import connection as metadata
from django.utils.translation import gettext as _

from pipelines import hosts
from pipelines.models import Connection
from pipelines.names import is_system_schema

_LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}


def target_schemas(connection: Connection) -> list[str]:
    """The schemas on the connection's allow-list; the built-in one's is TARGET_SCHEMAS."""
    return list(settings.TARGET_SCHEMAS if connection.is_built_in else connection.target_schemas)


def reserved(schema: str) -> str | None:
    """Why no connection may have this schema on its allow-list, None when it may."""
    if is_system_schema(schema):
        return _("The schema “%(schema)s” belongs to PostgreSQL itself; choose another.") % {
            "schema": schema
        }
    if schema == settings.STATE_SCHEMA:
        return _("The schema “%(schema)s” holds the checkpoints; choose another.") % {
            "schema": schema
        }
    return None


def forbidden(schema: str, connection: Connection) -> str | None:
    """Why pipelines may not write to this schema through `connection`, None when they may."""
    if sentence := reserved(schema):
        return sentence
    allowed = target_schemas(connection)
    facts = {"schema": schema, "name": connection.name, "allowed": ", ".join(allowed)}
    if not allowed:
        return (
            _("The connection “%(name)s” is never a target: its list of schemas is empty.") % facts
        )
    if schema not in allowed:
        sentence = _(
            "Pipelines may not write to the schema “%(schema)s” of the connection “%(name)s”. "
            "Allowed: %(allowed)s."
        )
        return sentence % facts
    if _is_metadata(connection) and schema == _own_schema():
        sentence = _("The schema “%(schema)s” of this database holds our own tables; use another.")
        return sentence % facts
    return None


def is_metadata(addresses: Iterable[str], port: int, dbname: str) -> bool:
    """True when the metadata database is at one of these addresses, as far as names can tell."""
    own: dict[str, Any] = metadata.get_connection_params()
    if (int(own.get("port") or 5432), str(own.get("dbname") or "")) != (port, dbname):
        return False
    try:
        ours = hosts.resolve(str(own.get("host") or ""))
    except (OSError, UnicodeError):
        return False
    return bool(set(ours) & set(addresses))


def _is_metadata(connection: Connection) -> bool:
    """True when the address is that of the metadata database, as far as it can be read."""
    if not connection.is_built_in:
        address = (connection.host, connection.port, connection.dbname)
    elif settings.WAREHOUSE_URL:
        parts = urlsplit(settings.WAREHOUSE_URL)
        address = (parts.hostname or "", parts.port or 5432, unquote(parts.path.lstrip("/")))
    else:
        return False  # the embedded server has another database for the warehouse
    own: dict[str, Any] = metadata.get_connection_params()
    ours = (str(own.get("host") or ""), int(own.get("port") or 5432), str(own.get("dbname") or ""))
    return _comparable(*address) == _comparable(*ours)


def _comparable(host: str, port: int, dbname: str) -> tuple[str, int, str]:
    # A host that is a path is a Unix socket of this machine.
    local = host.lower() in _LOOPBACK or host.startswith("/")
    return ("localhost" if local else host.lower(), port, dbname)


def _own_schema() -> str | None:
    with metadata.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        row = cursor.fetchone()
    return row[0] if row else None
