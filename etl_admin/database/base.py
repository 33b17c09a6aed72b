"""Django's PostgreSQL backend on the embedded server (`ENGINE = "etl_admin.database"`).

The server is started by the first connection, so that importing settings starts nothing.
"""

from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base
from django.db.utils import OperationalError

from etl_admin.database import embedded
from etl_admin.database.errors import EmbeddedDatabaseError
from etl_admin.database.roles import METADATA


class DatabaseWrapper(base.DatabaseWrapper):
    """Fills in the address; the name of the database stays Django's, for tests have their own."""

    def get_connection_params(self) -> dict[str, Any]:
        """Ask for the server, which may make or start it. Raises OperationalError."""
        try:
            address = embedded.ensure_running(_data_dir())
        except EmbeddedDatabaseError as error:
            raise OperationalError(str(error)) from error
        params: dict[str, Any] = super().get_connection_params()
        return params | {
            "host": address.host,
            "hostaddr": address.host,
            "port": address.port,
            "user": METADATA,
            "password": address.metadata_password,
            "sslmode": "disable",
            # Another program may get the port while ours is down: it must not get the password.
            "require_auth": "scram-sha-256",
        }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; if the server has gone since it was last seen, once more after a start."""
        try:
            return super().get_new_connection(conn_params)
        except psycopg.OperationalError:
            embedded.reset(_data_dir())
            return super().get_new_connection(self.get_connection_params())


def _data_dir() -> Path:
    return Path(settings.DATA_DIR) / "postgres"
