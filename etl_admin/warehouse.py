"""Where the built-in connection `default` leads: WAREHOUSE_URL, or the embedded warehouse."""

from typing import TypedDict
from urllib.parse import parse_qsl, unquote, urlsplit

from django.conf import settings

_LOCAL = {"localhost", "127.0.0.1", "::1"}


class WarehouseAddress(TypedDict):
    """Connection parameters, in psycopg's own names."""

    host: str
    port: int
    dbname: str
    user: str
    password: str
    sslmode: str


def warehouse_address() -> WarehouseAddress:
    """The address as it is now; starts the embedded server where that is the warehouse."""
    if settings.WAREHOUSE_URL:
        return _from_url(settings.WAREHOUSE_URL)
    from etl_admin.database.url import embedded_warehouse

    address = embedded_warehouse()
    return WarehouseAddress(
        host=address["host"],
        port=address["port"],
        dbname=address["dbname"],
        user=address["user"],
        password=address["password"],
        sslmode=address["sslmode"],
    )


def _from_url(url: str) -> WarehouseAddress:
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    # Off this machine nothing goes in clear unless the URL itself says so.
    usual = "prefer" if host in _LOCAL else "require"
    return WarehouseAddress(
        host=host,
        port=parts.port or 5432,
        dbname=unquote(parts.path.lstrip("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        sslmode=dict(parse_qsl(parts.query)).get("sslmode", usual),
    )
