"""Sessions with sources and targets: pinned settings, time-outs, and waits that tick."""

import select
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import sql, waiting
from psycopg.abc import PQGen
from psycopg.generators import execute
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from runner.control import Interruption
from runner.errors import Side, blame
from runner.opening import CONNECT_SECONDS, sign_in
from runner.pinning import PINNED, PINNED_SOURCE, PINNED_TARGET, SETTINGS, own_names, pin
from runner.plan import Address
from runner.silence import Watch
from runner.watchdog import Limit, limited

RV = TypeVar("RV")
Tick = Callable[[], None]

#: Names every session of ours to the servers' people; the horizon query leaves readers out by it.
READER = "etl_admin:read"
WRITER = "etl_admin:write"
PROBE = "etl_admin:probe"

# Half a second between ticks keeps the promise of one a second with room to spare.
_INTERVAL = 0.5


def _no_tick() -> None:
    return None


def _nothing() -> bool:
    return False


class Session(psycopg.Connection[Any]):
    """A connection whose every wait ticks; an Interruption out of a tick cancels the statement.

    After an Interruption in the middle of a statement the session is closed, which rolls back.
    """

    tick: Tick = staticmethod(_no_tick)
    side: Side = Side.TARGET
    watch: Watch | None = None
    limit: Limit | None = None
    has_own_names = False
    #: What to do while the server computes: a little at each call, False when nothing is left to
    #: do. It never waits and never raises.
    meanwhile: Callable[[], bool] = staticmethod(_nothing)

    def wait(self, gen: PQGen[RV], interval: float = _INTERVAL, timeout: float | None = None) -> RV:
        """Drive `gen` to its end, ticking whenever the server is silent."""
        try:
            return waiting.wait(
                self._ticking(gen), self.pgconn.socket, interval=_INTERVAL, timeout=timeout
            )
        except Interruption:
            self.abandon()
            raise
        except psycopg.Error as error:
            if (meant := self._meant(error)) is not error:
                raise meant from error
            raise

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Our own statement. On a source the names in it mean PostgreSQL's own things: whoever may
        make a function in a schema of the role's path would else have it called in place of one."""
        is_setting = isinstance(query, str) and query.startswith(SETTINGS)
        if self.side is not Side.SOURCE or is_setting:
            return super().execute(query, params, **options)
        with own_names(self):
            return super().execute(query, params, **options)

    @property
    def version(self) -> str:
        """The server's, as people write it."""
        return f"PostgreSQL {self.info.parameter_status('server_version')}"

    def abandon(self) -> None:
        """Cancel what runs and close, so that the server rolls back at once."""
        if self.closed:
            return
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
            # Where the cancel fails, closing ends the statement too, only later.
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=3.0)
        self.close()

    def run(self, statement: sql.Composable | str) -> PGresult:
        """One statement by the extended protocol, which takes one command only."""
        self.pgconn.send_query_params(_bytes(statement, self), None)
        return self._last(self.wait(execute(self.pgconn)))

    def run_all(self, statements: Sequence[str]) -> PGresult:
        """Statements of our own in one round trip, up to the first that fails.

        Never people's SQL, in which there may be more statements than one sees.
        """
        self.pgconn.send_query("; ".join(statements).encode())
        return self._last(self.wait(execute(self.pgconn)))

    def end_copy(self, error: bytes | None = None) -> PGresult:
        """After the last row: what the server made of them. With `error` it takes none.

        A session that is ended meanwhile gives two results, its reason and that it is gone.
        """
        while self.pgconn.put_copy_end(error) == 0:
            self.wait_for(read=False, seconds=1.0)
        return self._last(self.wait(execute(self.pgconn)))

    def describe(self, statement: sql.Composable | str) -> PGresult:
        """Parse and describe without running. The result has fields and parameters."""
        pgconn = self.pgconn
        pgconn.send_prepare(b"", _bytes(statement, self))
        self._last(self.wait(execute(pgconn)))
        pgconn.send_describe_prepared(b"")
        return self._last(self.wait(execute(pgconn)))

    def wait_for(self, *, read: bool, seconds: float) -> bool:
        """Tick, then wait until the socket can be read (or written), `seconds` at most."""
        self.tick()
        poller = select.poll()
        poller.register(self.pgconn.socket, select.POLLIN if read else select.POLLOUT)
        ready = bool(poller.poll(max(0.0, min(seconds, _INTERVAL)) * 1000))
        if ready or seconds:
            self._heed(ready)
        return ready

    def _heed(self, ready: object) -> None:
        """Whether the server was heard, while we waited for it; and whether it has time left."""
        if self.limit is not None:
            self.limit.heed()
        if self.watch is None:
            return None
        if ready:
            return self.watch.heard()
        try:
            return self.watch.silent()
        except psycopg.Error as error:
            blame(error, self.side)
            raise

    def _last(self, results: list[PGresult]) -> PGresult:
        for result in results:
            if result.status in _FAILED:
                raise self.failed(result)
        return results[-1]

    def failed(self, result: PGresult) -> psycopg.Error:
        """The error that a failed result stands for, with the side that it came from."""
        return self._meant(psycopg.errors.error_from_result(result, encoding="utf-8"))

    def _meant(self, error: psycopg.Error) -> psycopg.Error:
        meant = error if self.limit is None else self.limit.meant(error)
        blame(meant, self.side)
        return meant

    def consume(self) -> None:
        """Take what has arrived on the socket."""
        try:
            self.pgconn.consume_input()
        except psycopg.Error as error:
            blame(error, self.side)
            raise

    def _ticking(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        try:
            state = next(gen)
            while True:
                if state == waiting.WAIT_R:
                    self._use_the_wait()
                ready = yield state
                if not ready:
                    self.tick()
                self._heed(ready)
                state = gen.send(ready)
        except StopIteration as stop:
            result: RV = stop.value
            return result

    def _use_the_wait(self) -> None:
        while not self._is_answered() and self.meanwhile():
            self.tick()

    def _is_answered(self) -> bool:
        poller = select.poll()
        poller.register(self.pgconn.socket, select.POLLIN)
        return bool(poller.poll(0))


_FAILED = {psycopg.pq.ExecStatus.FATAL_ERROR, psycopg.pq.ExecStatus.BAD_RESPONSE}


def _bytes(statement: sql.Composable | str, session: Session) -> bytes:
    text = statement if isinstance(statement, str) else statement.as_string(session)
    return text.encode()


@contextmanager
def reading(
    address: Address, *, tick: Tick = _no_tick, patience: float | None = None
) -> Iterator[Session]:
    """A session with a source; autocommit, every transaction of it READ ONLY.

    A server that says nothing for `patience` seconds is asked whether it still works for us.
    """
    with _session(
        address,
        side=Side.SOURCE,
        name=READER,
        settings=PINNED_SOURCE,
        tick=tick,
        patience=patience,
    ) as session:
        session.read_only = True
        yield session


@contextmanager
def writing(
    address: Address, *, tick: Tick = _no_tick, patience: float | None = None
) -> Iterator[Session]:
    """A session with a target; autocommit, transactions are opened where they are needed.

    `patience` as in `reading`.
    """
    pinned = PINNED | PINNED_TARGET
    with _session(
        address, side=Side.TARGET, name=WRITER, settings=pinned, tick=tick, patience=patience
    ) as session:
        yield session


@contextmanager
def _session(
    address: Address,
    *,
    side: Side,
    name: str,
    settings: dict[str, str],
    tick: Tick,
    patience: float | None,
) -> Iterator[Session]:
    session = sign_in(Session, address, side=side, name=name, tick=tick)
    try:
        session.tick, session.side = tick, side
        with limited(session, CONNECT_SECONDS):
            pin(session, settings)
        if patience is not None:
            probing = partial(_probing, address, side, tick)
            session.watch = Watch(session, limit=patience, probing=probing)
        yield session
    finally:
        session.abandon()


@contextmanager
def _probing(
    address: Address, side: Side, tick: Tick, deadline: Callable[[], None]
) -> Iterator[Session]:
    """A second session with the same server, whose waits keep a deadline besides."""

    def both() -> None:
        tick()
        deadline()

    session = sign_in(Session, address, side=side, name=PROBE, tick=both)
    session.tick = both
    try:
        yield session
    finally:
        session.close()
