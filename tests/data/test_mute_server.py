"""Nobody waits for a server that lets us in and then says no more."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from runner import preflight
from runner.errors import RunError
from runner.plan import Address
from runner.preflight import Rejected, inspect, preview
from tests.data.loading import definition

_READY = b"Z\0\0\0\x05I"
_ALLOWED = b"R\0\0\0\x08\0\0\0\0"


def _told(name: str, value: str) -> bytes:
    body = name.encode() + b"\0" + value.encode() + b"\0"
    return b"S" + (len(body) + 4).to_bytes(4, "big") + body


def _let_in(connection: socket.socket) -> None:
    """Sign in whoever comes, and answer nothing after that."""
    with connection, suppress(OSError):
        connection.recv(10_000)
        greeting = [_told("server_version", "18.0"), _told("client_encoding", "UTF8")]
        connection.sendall(_ALLOWED + b"".join(greeting) + _READY)
        while connection.recv(10_000):
            pass


@pytest.fixture
def mute(target_address: Address) -> Iterator[Address]:
    """The address of such a server."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=_let_in, args=[connection], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        facts = {"host": "127.0.0.1", "port": server.getsockname()[1], "sslmode": "disable"}
        yield Address(**{**vars(target_address), **facts})
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(params=[None, ("number", 1)], ids=["pinning", "asked for its number"])
def quick(
    mute: Address, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Address:
    """The same, with a limit of a second; once as an address that may lead to the metadata."""
    monkeypatch.setattr("runner.opening.CONNECT_SECONDS", 1)
    monkeypatch.setattr("runner.connections.CONNECT_SECONDS", 1)
    return Address(**{**vars(mute), "metadata": request.param})


def test_a_test_of_the_connection_ends(quick: Address) -> None:
    began = time.monotonic()
    assert not preflight.test_connection(quick).ok
    assert time.monotonic() - began < 15


def test_a_check_and_a_preview_end(quick: Address, target_address: Address) -> None:
    asked = definition("SELECT 1 AS id", source=quick, target=target_address)
    for ask in (inspect, preview):
        began = time.monotonic()
        with pytest.raises((Rejected, RunError)):
            ask(asked)
        assert time.monotonic() - began < 15
