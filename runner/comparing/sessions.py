"""Signing in to both sides of a comparison at once, and the limits that are set there."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager

from runner.comparing.asking import Pair
from runner.connections import Session, Tick, reading, writing
from runner.control import Interruption
from runner.plan import Definition
from runner.watchdog import limited

_INTERVAL = 0.5
_MINUTE = 60_000


@contextmanager
def signed_in(
    definition: Definition, *, seconds: float, tick: Tick, source: Session | None = None
) -> Iterator[Pair]:
    """Sessions with both servers; all that they do may take `seconds`, and neither can write.

    With a `source` it is that one which is asked: behind its address may be several copies, and
    another session may see less than this one has seen.
    """
    with ExitStack() as sessions:
        if source is None:
            pair = _both(sessions, definition, tick)
        else:
            pair = Pair(source, sessions.enter_context(writing(definition.target, tick=tick)))
        milliseconds = max(1, int(seconds * 1000))
        limits = {
            "statement_timeout": milliseconds,
            # Who waits for a lock until the end has run out of time like anybody else.
            "lock_timeout": 0,
            # While one side computes, the other one waits in its transaction.
            "idle_in_transaction_session_timeout": milliseconds + _MINUTE,
        }
        for session in (pair.source, pair.target):
            sessions.enter_context(limited(session, seconds))
            for name, value in limits.items():
                session.execute("SELECT pg_catalog.set_config(%s, %s, false)", [name, str(value)])
        pair.target.execute("SET default_transaction_read_only = on")
        yield pair


def _both(sessions: ExitStack, definition: Definition, tick: Tick) -> Pair:
    """The target on a thread, so that both sign in at once. `tick` is called on this one only."""
    given_up = threading.Event()

    def unless_given_up() -> None:
        if given_up.is_set():
            raise Interruption

    with ThreadPoolExecutor(max_workers=1) as pool:
        opening = pool.submit(
            sessions.enter_context, writing(definition.target, tick=unless_given_up)
        )
        try:
            source = sessions.enter_context(reading(definition.source, tick=tick))
            target = _opened(opening, tick)
        except BaseException:
            given_up.set()
            raise
    target.tick = tick
    return Pair(source, target)


def _opened(opening: Future[Session], tick: Tick) -> Session:
    while not opening.done():
        wait([opening], timeout=_INTERVAL)
        tick()
    return opening.result()
