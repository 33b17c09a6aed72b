"""Faults of every kind, one at a time, chosen by a seeded dice; each puts right what it broke."""

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from django.db import Error as DatabaseError
from django.db import connection

from pipelines import lifecycle
from pipelines.lifecycle import TransitionRefused
from pipelines.models import Pipeline
from tests.fixtures.processes import WorkerProcess
from tests.whole.faults import points
from tests.whole.faults.ground import Ground
from tests.whole.faults.proxy import AtCommit
from tests.whole.faults.servers import Server

LEASE = 2
_RAISED = ("53100", "53200", "40001", "40P01", "55P03", "57014", "XX000", "23514", "22003")
# Told to stop before it listened to signals, when it has claimed nothing yet either: from then on
# it ends with 0 (`tests.whole.test_worker`).
_ENDED_EARLY = (-signal.SIGTERM,)


class Mischief:
    """Keeps three workers at work, and does to them what the dice says."""

    def __init__(self, ground: Ground, pipelines: list[Pipeline], seed: int) -> None:
        self._ground = ground
        self._pipelines = pipelines
        self._random = random.Random(seed)
        self._workers: list[WorkerProcess] = []
        self._pause = threading.Event()
        self.done: Counter[str] = Counter()
        self.bad_ends: list[str] = []
        self._kinds: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "stop": self._stop,
            "end a session of the source": lambda: self._end(self._servers.source),
            "end a session of the target": lambda: self._end(self._servers.target),
            "end a session of the metadata": lambda: self._end(self._servers.metadata),
            "cut": self._cut,
            "interfere with a commit of the target": lambda: self._commit(self._servers.target),
            "interfere with a commit of the metadata": (
                lambda: self._commit(self._servers.metadata)
            ),
            "stall": self._stall,
            "refuse": self._refuse,
            "crash": self._crash,
            "lock": self._lock,
            "pause or cancel": self._person,
            "raise": self._raise,
        }

    @property
    def _servers(self) -> Any:
        return self._ground.servers

    def strike(self) -> str:
        """One fault, and its end."""
        name = self._random.choice(sorted(self._kinds))
        try:
            self._kinds[name]()
        except (DatabaseError, psycopg.Error):
            connection.close()
            return ""  # it met a server that something else had just broken
        self.done[name] += 1
        return name

    def keep_three(self) -> None:
        """Workers that ended are replaced."""
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            self._workers.remove(worker)
            if code not in (0, -signal.SIGKILL, *_ENDED_EARLY):
                self.bad_ends.append(f"{code}: {worker.output[-2000:]}")
        while len(self._workers) < 3:
            self._workers.append(
                self._ground.start(RUNNER_LEASE_SECONDS=LEASE, LOG_LEVEL="WARNING")
            )

    def stop_all(self) -> list[int]:
        """SIGTERM to each; their exit codes."""
        return [worker.stop() for worker in self._workers]

    def _wait(self, least: float, most: float) -> None:
        self._pause.wait(self._random.uniform(least, most))

    def _worker(self) -> WorkerProcess:
        return self._random.choice(self._workers)

    def _any(self) -> Server:
        server: Server = self._random.choice(self._servers.all())
        return server

    def _kill(self) -> None:
        self._ground.kill(self._worker())

    def _freeze(self) -> None:
        worker = self._worker()
        worker.signal(signal.SIGSTOP)
        self._wait(0.5, 3 * LEASE)
        worker.signal(signal.SIGCONT)

    def _stop(self) -> None:
        worker = self._worker()
        worker.signal(signal.SIGTERM)
        if self._random.random() < 0.3:
            self._wait(0.1, 1)
            worker.signal(signal.SIGINT)
        worker.wait(40)

    def _end(self, server: Server) -> None:
        server.end_sessions("random() < 0.5 AND application_name !~ 'writer'")

    def _cut(self) -> None:
        self._any().proxy.cut(reset=self._random.random() < 0.5)

    def _commit(self, server: Server) -> None:
        what = self._random.choice((AtCommit.BEFORE, AtCommit.AFTER, AtCommit.HOLD))
        server.proxy.arm(what)
        server.proxy.met.wait(3)
        self._wait(0, 7 if what is AtCommit.HOLD else 0)
        server.proxy.arm(AtCommit.PASS)
        server.proxy.let_through()

    def _stall(self) -> None:
        proxy = self._any().proxy
        proxy.stalled.set()
        self._wait(1, 4 * LEASE)
        proxy.stalled.clear()

    def _refuse(self) -> None:
        proxy = self._any().proxy
        proxy.refusing.set()
        proxy.cut()
        self._wait(0.5, 2 * LEASE)
        proxy.refusing.clear()

    def _crash(self) -> None:
        server = self._any()
        if server is self._servers.metadata:
            connection.close()
        server.crash()
        self._wait(0, 2 * LEASE)
        server.start()

    def _lock(self) -> None:
        pipeline = self._random.choice(self._pipelines)
        with self._servers.target.admin() as session:
            session.execute("SET lock_timeout = '2s'")
            session.execute(f"BEGIN; LOCK TABLE {pipeline.target_table} IN ACCESS EXCLUSIVE MODE")
            self._wait(0.5, 2 * LEASE)
            session.execute("ROLLBACK")

    def _person(self) -> None:
        pipeline = self._random.choice(self._pipelines)
        verb = self._random.choice((lifecycle.request_pause, lifecycle.request_cancel))
        with suppress(TransitionRefused):
            verb(pipeline.pk, by=None)

    def _raise(self) -> None:
        sqlstate = self._random.choice(_RAISED)
        with self._servers.target.admin() as session:
            session.execute("SET lock_timeout = '2s'")
            # In the batch, or inside its COMMIT.
            deferred = self._random.random() < 0.5
            points.at_checkpoint(session, "random() < 0.3", does=sqlstate, deferred=deferred)
            self._wait(0.5, 2)
            session.execute("SET lock_timeout = 0")
            points.remove(session, "etl.checkpoint")
