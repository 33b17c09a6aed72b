"""A server that says nothing: when it is believed to work for us, and when not (F7).

What a run does about it is in `test_fault_servers`; here the watch is asked alone, and often.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import pytest

from runner import connections
from runner.connections import reading
from runner.errors import Side, classify_connect
from runner.plan import Address
from runner.silence import Answer, Watch
from tests.data.loading import meanwhile
from tests.waiting import until
from tests.whole.faults import points
from tests.whole.faults.servers import Server, Servers

#: Seconds of silence after which the server is asked, and asked again.
LIMIT = 0.1
ENOUGH = 3


@pytest.fixture
def server(servers: Servers) -> Iterator[Server]:
    """The source, empty; as it was afterwards."""
    server = servers.source
    server.start()
    server.proxy.clear()
    server.make()
    yield server
    server.start()
    server.proxy.clear()
    with server.admin() as session:
        session.execute("ALTER ROLE source CONNECTION LIMIT -1")
        session.execute("ALTER ROLE source RESET ALL")


@pytest.fixture
def address(server: Server) -> Address:
    """Where it is, behind its proxy."""
    return Address(
        name="source",
        host="127.0.0.1",
        port=server.proxy.port,
        dbname="source",
        user="source",
        password=server.password,
        sslmode="disable",
        target_schemas=(),
        may_be_local=True,
    )


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What each asking found out; waits are looked at so often that asking takes no time."""
    found: list[Answer] = []
    ask = Watch._ask

    def remember(watch: Watch) -> Answer:
        found.append(ask(watch))
        return found[-1]

    monkeypatch.setattr(Watch, "_ask", remember)
    monkeypatch.setattr(connections, "_INTERVAL", 0.02)
    return found


def deadline() -> Callable[[], None]:
    """A tick that ends a wait which would never end."""
    until = time.monotonic() + 20

    def tick() -> None:
        assert time.monotonic() < until, "the silence is borne for ever"

    return tick


def nothing(_server: Server) -> None:
    """An ordinary server."""


def hides(server: Server) -> None:
    """It does not track what its sessions do."""
    with server.admin() as session:
        session.execute("ALTER ROLE source SET track_activities = off")


def is_full(server: Server) -> None:
    """It has no slot for a second session."""
    with server.admin() as session:
        session.execute("ALTER ROLE source CONNECTION LIMIT 1")


@pytest.mark.parametrize(
    ("circumstance", "answer"),
    [(nothing, Answer.WORKS), (hides, Answer.WORKS), (is_full, Answer.UNKNOWN)],
)
def test_a_server_that_is_busy_for_us_is_waited_for(
    server: Server,
    address: Address,
    answers: list[Answer],
    circumstance: Callable[[Server], None],
    answer: Answer,
) -> None:
    with server.admin() as holder:
        points.make_hold(holder)
        gate = points.gate(holder)
        circumstance(server)
        with reading(address, tick=deadline(), patience=LIMIT) as session:

            def open_late() -> None:
                until(lambda: len(answers) >= ENOUGH, what="the server is not asked")
                gate.open()

            with meanwhile(open_late):
                assert session.execute("SELECT public.hold(1, 1)").fetchone() == (True,)

    assert set(answers) == {answer}


def test_a_server_that_stops_when_all_have_gone_is_waited_for(
    server: Server, address: Address, answers: list[Answer]
) -> None:
    with server.admin() as holder:
        points.make_hold(holder)
        gate = points.gate(holder)
        with reading(address, tick=deadline(), patience=LIMIT) as session:

            def stop() -> None:
                gate.until_waited_at()
                stopping.start()
                until(lambda: answers.count(Answer.UNKNOWN) >= ENOUGH, what="nobody is refused")
                gate.open()

            stopping = threading.Thread(target=server.cluster.stop, args=("smart",))
            with meanwhile(stop):
                assert session.execute("SELECT public.hold(1, 1)").fetchone() == (True,)

    stopping.join(30)
    assert set(answers) <= {Answer.WORKS, Answer.UNKNOWN}


def test_a_server_that_waits_for_us_as_we_for_it_is_given_up(
    server: Server, address: Address, answers: list[Answer]
) -> None:
    """What we said was swallowed, and new sessions are served as ever."""
    with reading(address, tick=deadline(), patience=LIMIT) as session:
        server.proxy.freeze_present()
        with pytest.raises(psycopg.OperationalError, match="died without a word"):
            session.execute("SELECT 1")

    assert answers == [Answer.WAITS, Answer.WAITS]


def test_a_server_that_knows_nothing_of_us_is_given_up_at_once(
    server: Server, address: Address, answers: list[Answer]
) -> None:
    with reading(address, tick=deadline(), patience=LIMIT) as session:
        server.proxy.freeze_present()
        assert server.end_sessions("application_name = 'etl_admin:read'") == 1
        gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'etl_admin:read'"
        with server.admin() as admin:
            until(lambda: admin.execute(gone).fetchone() == (0,), what="the session lives on")
        with pytest.raises(psycopg.OperationalError, match="died without a word"):
            session.execute("SELECT 1")

    assert answers == [Answer.GONE]


REFUSED = 'connection to server at "127.0.0.1", port 5432 failed: '
#: How often a server may say so before our session with it counts as dead; None: always.
WORDS = {
    "FATAL:  the database system is starting up": 1,
    "FATAL:  the database system is in recovery mode": 1,
    "FATAL:  the database system is not yet accepting connections": 1,
    "FATAL:  the database system is shutting down": None,
    "FATAL:  sorry, too many clients already": None,
    "ВАЖНО:  извините, уже слишком много клиентов": None,
    "Connection refused\n\tIs the server running on that host and accepting connections?": 2,
    "server closed the connection unexpectedly": 2,
}


@pytest.mark.parametrize("words", WORDS)
def test_the_words_of_a_refusal_decide(server: Server, words: str) -> None:
    @contextmanager
    def refusing(_deadline: Callable[[], None]) -> Iterator[Any]:
        error = psycopg.OperationalError(REFUSED + words)
        raise classify_connect(error, Side.SOURCE, "source") from error
        yield

    with server.admin() as session:
        watch = Watch(session, limit=0, probing=refusing)
        asked = 0
        with pytest.raises(psycopg.OperationalError) if WORDS[words] else nullcontext():
            while asked < 2 * ENOUGH:
                asked += 1
                watch.silent()

    assert asked == (WORDS[words] or 2 * ENOUGH)


def test_a_word_in_between_forgives_a_silence(server: Server) -> None:
    @contextmanager
    def unreachable(_deadline: Callable[[], None]) -> Iterator[Any]:
        raise psycopg.OperationalError("unreachable")
        yield

    with server.admin() as session:
        watch = Watch(session, limit=0, probing=unreachable)
        for _ in range(ENOUGH):
            watch.silent()
            watch.heard()
