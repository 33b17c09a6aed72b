"""Ports and superuser sessions on the loopback interface; knows nothing of clusters."""

import socket

import psycopg

HOST = "127.0.0.1"
SUPERUSER = "postgres"


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As the server itself does: connections in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def superuser_session(*, port: int, dbname: str, password: str, seconds: int) -> psycopg.Connection:
    """A session in autocommit that obeys no PG* variable of the environment.

    Scram proves to us that the other side knows the password, and never gives it away to a
    program that has got hold of the port.
    """
    return psycopg.connect(
        host=HOST,
        hostaddr=HOST,
        port=port,
        dbname=dbname,
        user=SUPERUSER,
        password=password,
        require_auth="scram-sha-256",
        sslmode="disable",
        gssencmode="disable",
        channel_binding="disable",
        options="",
        connect_timeout=seconds,
        application_name="etl-admin supervisor",
        autocommit=True,
    )
