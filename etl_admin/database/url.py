"""The embedded database `warehouse`, which the connection named `default` points at."""

from pathlib import Path
from typing import Literal, TypedDict

from django.conf import settings

from etl_admin.database import embedded
from etl_admin.database.roles import WAREHOUSE


class WarehouseAddress(TypedDict):
    """Connection parameters, in psycopg's own names."""

    host: str
    port: int
    dbname: str
    user: str
    password: str
    sslmode: Literal["disable"]


def embedded_warehouse() -> WarehouseAddress:
    """The address of the warehouse; starts the server if needed. Raises EmbeddedDatabaseError.

    After a failed connection call `forget_embedded_warehouse`, since the server may have gone.
    """
    address = embedded.ensure_running(Path(settings.DATA_DIR) / "postgres")
    return WarehouseAddress(
        host=address.host,
        port=address.port,
        dbname=WAREHOUSE,
        user=WAREHOUSE,
        password=address.warehouse_password,
        sslmode="disable",
    )


def forget_embedded_warehouse() -> None:
    """Look for the server anew at the next call."""
    embedded.reset(Path(settings.DATA_DIR) / "postgres")
