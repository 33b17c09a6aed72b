"""The ground of one fault test: pipelines between the three servers, workers, and the oracle."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.models import Connection, Pipeline
from pipelines.states import BUSY, RUN_REQUESTED
from runner.statements import checkpoint
from tests.control.standing import status
from tests.factories import ConnectionFactory, PipelineFactory
from tests.fixtures.processes import ROOT, WorkerProcess, command
from tests.waiting import until
from tests.whole.faults import oracle, points
from tests.whole.faults.servers import Server, Servers
from tests.whole.gates import Gate

Session = psycopg.Connection[Any]

TABLE = "analytics.things"
COLUMNS = "id, modified, amount, doc, pad"
#: Three out of the first eight batches are enough for every point.
ROWS, BATCH = 40, 5
LEASE = 1
_MADE = """
CREATE TABLE public.things (id int PRIMARY KEY, modified timestamptz NOT NULL, amount numeric,
    doc json, pad text);
CREATE INDEX ON public.things (modified, id);
"""
# Rows wide enough that the server sends each of them at once, and not with a later one. Three in a
# row have the same `modified`, so that batches end within such a tie and begin within it.
_ROWS = """
INSERT INTO public.things
SELECT g, '2020-01-01 00:00:00.123456Z'::timestamptz + g / 3 * interval '1 ms',
    (g % 7 || '.' || repeat('0', g % 3 + 1))::numeric, json_build_object('n', g),
    repeat(chr(97 + g % 26), 9000)
FROM generate_series({first}, {last}) AS g
"""
# The same columns as the source's, and a key, so that every way to publish is possible.
_TARGET = f"""
CREATE TABLE {TABLE} (id int PRIMARY KEY, modified timestamptz NOT NULL, amount numeric,
    doc json, pad text);
ALTER TABLE {TABLE} OWNER TO target;
"""


@dataclass(kw_only=True)
class Ground:
    """One test's three servers with an empty source and target, and an empty metadata."""

    servers: Servers
    folder: Path
    workers: list[WorkerProcess] = field(default_factory=list)
    _sessions: dict[str, Session] = field(default_factory=dict)
    # A worker whose tests were killed hears of it by the end of this pipe, and ends too.
    _pipe: tuple[int, int] = field(default_factory=os.pipe)

    # Servers

    @property
    def metadata(self) -> Session:
        """A superuser's session with the metadata, opened again where it was lost."""
        return self._session(self.servers.metadata)

    @property
    def source(self) -> Session:
        """The same with the source."""
        return self._session(self.servers.source)

    @property
    def target(self) -> Session:
        """The same with the target."""
        return self._session(self.servers.target)

    def _session(self, server: Server) -> Session:
        known = self._sessions.get(server.name)
        if known is None or not _answers(known):
            self._sessions[server.name] = server.admin()
        return self._sessions[server.name]

    def gate(self, server: str) -> Gate:
        """A closed gate on `server`, kept by a session of its own."""
        session = getattr(self.servers, server).admin()
        self._sessions[f"gate-{server}-{id(session)}"] = session
        return points.gate(session)

    # Pipelines

    def fill(self, first: int = 1, last: int = ROWS) -> None:
        """Rows into the source."""
        self.source.execute(_ROWS.format(first=first, last=last))

    def pipeline(self, mode: str, *, hold_at: int = 0, **fields: Any) -> Pipeline:
        """A pipeline from `things` to analytics.things: incremental, or full and then by `mode`.

        With `hold_at` a full load waits at the source's gate before that row.
        """
        query = f"SELECT {COLUMNS} FROM public.things"
        if hold_at:
            query += f" WHERE public.hold({hold_at}, id)"
        made: dict[str, Any] = {"mode": "full", "publish": mode}
        if mode == "incremental":
            made = {"mode": mode, "incremental_key": "modified"}
        made |= {"key_columns": ["id"], "batch_size": BATCH, "target_table": TABLE}
        pipeline: Pipeline = PipelineFactory(
            source_connection=Connection.objects.get(name="fault_source"),
            target_connection=Connection.objects.get(name="fault_target"),
            source_query=query,
            **(made | fields),
        )
        return pipeline

    def ask(self, pipeline: Pipeline) -> Pipeline:
        """Request a run."""
        lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
        return pipeline

    def until(self, pipeline: Pipeline, *wanted: str, seconds: float = 30.0) -> None:
        """Wait for a status; what waits for its next try is tried now."""

        def is_there() -> bool:
            self.hurry(pipeline)
            return status(pipeline) in wanted

        until(is_there, seconds=seconds, what=lambda: f"{wanted}: {self.story(pipeline)}")

    def hurry(self, pipeline: Pipeline) -> None:
        """A try that is put off is due now."""
        late = Pipeline.objects.filter(
            pk=pipeline.pk, status=RUN_REQUESTED, next_attempt_at__gt=Now()
        )
        if late.update(next_attempt_at=Now()):
            lifecycle.wake()

    def runs(self, pipeline: Pipeline) -> list[str]:
        """How the runs ended, oldest first."""
        return list(pipeline.runs.order_by("generation").values_list("status", flat=True))

    def errors(self, pipeline: Pipeline) -> list[str]:
        """Error class and SQLSTATE of the runs that failed, oldest first."""
        failed = pipeline.runs.exclude(error_class="").order_by("generation")
        return [" ".join(pair).strip() for pair in failed.values_list("error_class", "sqlstate")]

    def committed(self, pipeline: Pipeline) -> int:
        """The number of the last batch that the target has."""
        row = self.target.execute(
            "SELECT seq FROM etl.checkpoint WHERE pipeline_uid = %s", [pipeline.pk]
        ).fetchone()
        return row[0] if row else 0

    def until_batch_is_open(self, pipeline: Pipeline, *, after: int) -> None:
        """Wait until the worker has heard of `after` commits and begun to copy the next batch."""
        copying = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'etl_admin:write'"
            " AND wait_event = 'ClientRead' AND query LIKE 'COPY%'"
        )
        until(
            lambda: (
                self.committed(pipeline) == after
                and self.target.execute(copying).fetchone() == (1,)
            ),
            what=lambda: f"batch {after + 1} is not open: {self.story(pipeline)}",
        )

    def until_target_waits(self) -> None:
        """Wait until a session of ours waits for a lock in the target."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'etl_admin:write'"
            " AND wait_event_type = 'Lock' AND query !~* '^COMMIT'"
        )
        until(
            lambda: self.target.execute(waiting).fetchone() == (1,), what="nobody waits for a lock"
        )

    def story(self, pipeline: Pipeline) -> str:
        """What happened, for a test that fails."""
        rows = pipeline.runs.order_by("generation").values_list(
            "generation", "status", "phase", "batches", "error_class", "error_message"
        )
        logs = "\n".join(f"--- worker {n}\n{w.output}" for n, w in enumerate(self.workers))
        return f"{status(pipeline)}, {list(rows)}\n{logs}"

    # Workers

    def start(self, *arguments: str, direct: bool = False, **variables: Any) -> WorkerProcess:
        """A real worker with a lease of one second, its metadata behind the proxy."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        environment = {
            **os.environ,
            "DATABASE_URL": self.servers.metadata.url(direct=direct),
            "RUNNER_LEASE_SECONDS": str(LEASE),
            "RUNNER_POLL_SECONDS": "0.5",
            **{name: str(value) for name, value in variables.items()},
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(*(arguments or ("--processes=1",)), "--parent", str(self._pipe[0])),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self._pipe[0]],
            )
        self.workers.append(WorkerProcess(process=process, log=log))
        return self.workers[-1]

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL, and gone."""
        worker.signal(signal.SIGKILL)
        worker.wait()

    # The end

    def settle(self, *pipelines: Pipeline, moved_by_hand: bool = False) -> None:
        """After the fault: one more run that must succeed, then everything must be right.

        The steps of a checkpoint that the test itself moved are not looked at.
        """
        for pipeline in pipelines:
            self.until(pipeline, "IDLE", "FAILED", "PAUSED")
            self.ask(pipeline)
        for pipeline in pipelines:
            self.until(pipeline, "IDLE", "FAILED")
            assert status(pipeline) == "IDLE", self.story(pipeline)
            self.judge(pipeline, moved_by_hand=moved_by_hand)
        oracle.nothing_left(self.source, self.target)
        assert not Pipeline.objects.filter(status__in=BUSY).exists()

    def judge(self, pipeline: Pipeline, *, moved_by_hand: bool = False) -> None:
        """The rows are the source's, once each, and the checkpoint's steps have no gap."""
        query = f"SELECT {COLUMNS} FROM public.things"
        oracle.same_rows(self.source, query, self.target, pipeline)
        if not moved_by_hand:
            oracle.steps_without_gaps(self.target, pipeline)

    def close(self) -> None:
        """End what the test started."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.signal(signal.SIGKILL)
                worker.wait()
        for session in self._sessions.values():
            session.close()
        for end in self._pipe:
            os.close(end)


def _answers(session: Session) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


@contextmanager
def pointing_at(server: Server) -> Iterator[None]:
    """Django's own connection leads to this server's database instead of the test session's."""
    connection.close()
    before = dict(connection.settings_dict)
    parts = urlsplit(server.url(direct=True))
    connection.settings_dict.update(
        HOST=parts.hostname,
        PORT=parts.port,
        NAME=server.name,
        USER=server.name,
        PASSWORD=server.password,
    )
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.clear()
        connection.settings_dict.update(before)


def prepare_metadata(server: Server) -> None:
    """Migrate, once."""
    with pointing_at(server):
        call_command("migrate", verbosity=0)


def prepare(ground: Ground) -> None:
    """An empty source and target, metadata without pipelines."""
    servers = ground.servers
    for server in servers.all():
        server.start()
        server.proxy.clear()
    servers.source.make()
    servers.target.make()
    ground.source.execute(_MADE)
    ground.source.execute("ALTER TABLE public.things OWNER TO source")
    points.make_hold(ground.source)
    _make_target(ground)
    ground.metadata.execute("DROP SCHEMA IF EXISTS points CASCADE")
    ground.metadata.execute(
        "TRUNCATE pipelines_pipeline, pipelines_worker CASCADE;"
        " DELETE FROM pipelines_connection WHERE name <> 'default'"
    )
    for server in (servers.source, servers.target):
        ConnectionFactory(
            name=f"fault_{server.name}",
            host="127.0.0.1",
            port=server.proxy.port,
            dbname=server.name,
            user=server.name,
            password=server.password,
            target_schemas=["analytics"],
        )


def _make_target(ground: Ground) -> None:
    """The tables of ours are there already, so that points can be set on them."""
    with psycopg.connect(ground.servers.target.url(direct=True), autocommit=True) as session:
        session.execute("CREATE SCHEMA analytics; CREATE SCHEMA etl")
        for statement in checkpoint.setup("etl"):
            session.execute(statement)
    ground.target.execute(oracle.HISTORY)
    ground.target.execute(_TARGET)
