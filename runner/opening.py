"""Signing in to a server without standing still; what a session then does is in `connections`."""

import os
import socket
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Thread, Timer
from typing import Any, TypeVar

import psycopg

from runner import libpq
from runner.errors import RunError, Side, blame, classify_connect
from runner.plan import Address
from runner.reach import check_not_metadata, ways_to

S = TypeVar("S", bound=psycopg.Connection[Any])

CONNECT_SECONDS = 10
_INTERVAL = 0.5


def sign_in(
    kind: type[S], address: Address, *, side: Side, name: str, tick: Callable[[], None]
) -> S:
    """A session on a thread of its own until it is there, because libpq waits longer than a tick.

    Raises RunError, and what `tick` raises; then whatever still comes of it is closed.
    """
    opening: Future[S] = Future()
    words = (opening, kind, address, name)
    Thread(target=_open_into, args=words, name="sign in", daemon=True).start()
    try:
        while not wait([opening], timeout=_INTERVAL).done:
            tick()
    except BaseException:
        opening.add_done_callback(_close_unwanted)
        raise
    try:
        return opening.result()
    except RunError as error:
        blame(error, side)
        raise
    except (psycopg.OperationalError, ValueError) as error:  # UnicodeError is a ValueError, too
        failed = _failed(error, side, address.name)
        blame(failed, side)
        # A log shows it, and the server may have said what it was sent.
        error.args = tuple(_without(address.password, text) for text in error.args)
        raise failed from error


def _without(password: str, text: Any) -> Any:
    return str(text).replace(password, "***") if password else text


def _failed(error: psycopg.OperationalError | ValueError, side: Side, name: str) -> RunError:
    if isinstance(error, psycopg.OperationalError):
        return classify_connect(error, side, name)
    sentence = f"The {side} connection “{name}” has a host that cannot be one. Correct it."
    return RunError(sentence, error_class=type(error).__name__)


def _open_into(opening: Future[S], kind: type[S], address: Address, name: str) -> None:
    try:
        session = _open(kind, address, name)
    except BaseException as error:  # raised where it is waited for
        opening.set_exception(error)
    else:
        opening.set_result(session)


def _close_unwanted(opening: Future[S]) -> None:
    if opening.exception() is None:
        opening.result().close()


def _open(kind: type[S], address: Address, name: str) -> S:
    try:
        parameters: dict[str, Any] = {**libpq.fixed(), **ways_to(address)}
    except OSError as error:
        raise psycopg.OperationalError("the host has no address") from error
    try:
        session = kind.connect(
            **parameters,
            port=address.port,
            dbname=address.dbname,
            user=address.user,
            password=address.password,
            sslmode=address.sslmode,
            application_name=name,
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
            prepare_threshold=None,
        )
    except psycopg.Error as error:
        # The frames of psycopg hold the password; what reports them must not have them.
        raise error.with_traceback(None) from None
    cutting = Timer(CONNECT_SECONDS, _cut, [session])
    cutting.start()
    try:
        check_not_metadata(session, address)
    except BaseException:
        session.close()
        raise
    finally:
        cutting.cancel()
    return session


def _cut(session: psycopg.Connection[Any]) -> None:
    """Of a server that lets us in and says no more, nobody waits for an answer."""
    with (
        suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(session.pgconn.socket)) as ours,
    ):
        ours.shutdown(socket.SHUT_RDWR)
