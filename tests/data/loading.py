"""Running a pipeline in this process from request to settled, and the oracle; no tests."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.lifecycle import Claim
from pipelines.models import Connection, Pipeline, PipelineRun, PipelineState
from pipelines.names import TableName
from pipelines.states import PipelineStatus, RunStatus
from runner.control import Control, clock
from runner.execution import execute
from runner.plan import Address, Definition, Method, Mode, Nulls
from tests.factories import PipelineFactory, WorkerFactory
from tests.waiting import until

#: A condition of a query: true, once the gate is open.
GATE = "pg_advisory_lock_shared(42) IS NOT NULL"
LEASE = 60.0
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
TABLE = "analytics.t"


def address(name: str, url: str) -> Address:
    """The data plane's address of a test database."""
    parts = urlsplit(url)
    return Address(
        name=name,
        host=parts.hostname or "",
        port=parts.port or 0,
        dbname=parts.path.lstrip("/"),
        user=parts.username or "",
        password=parts.password or "",
        sslmode="disable",
        target_schemas=("analytics",),
        may_be_local=True,
    )


def definition(query: str, **values: Any) -> Definition:
    """A definition as the preflight gets it; a full load of analytics.t unless told otherwise."""
    given = {"mode": "full", "target_table": TABLE, "publish": "auto", "null_policy": "fail"}
    given |= values
    return Definition(
        source_query=query,
        **{
            **given,
            "mode": Mode(given["mode"]),
            "target_table": TableName.parse(str(given["target_table"])),
            "publish": Method(given["publish"]),
            "null_policy": Nulls(given["null_policy"]),
            "key_columns": tuple(given.get("key_columns", ())),
        },
    )


@dataclass(kw_only=True)
class Loads:
    """A source, a target, and pipelines between them."""

    source: psycopg.Connection[Any]
    target: psycopg.Connection[Any]
    source_connection: Connection
    target_connection: Connection
    controls: list[Control] = field(default_factory=list)

    def define(self, query: str, **fields: Any) -> Pipeline:
        """Save a pipeline, a full load of analytics.t unless told otherwise."""
        pipeline: Pipeline = PipelineFactory(
            **{
                "source_connection": self.source_connection,
                "target_connection": self.target_connection,
                "source_query": query,
                "target_table": TABLE,
                **fields,
            }
        )
        return pipeline

    def follow(self, query: str, **fields: Any) -> Pipeline:
        """Save an incremental pipeline on `modified` with the key `id`."""
        given = {"mode": "incremental", "incremental_key": "modified", "key_columns": ["id"]}
        return self.define(query, **{**given, **fields})

    # One run

    def claim(self, pipeline: Pipeline) -> Claim:
        """Ask for a run and claim it."""
        lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
        # The test is one transaction of the metadata, in which the claim's now() stands still.
        Pipeline.objects.filter(pk=pipeline.pk).update(next_attempt_at=LONG_AGO)
        held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
        assert held is not None
        assert held.pipeline.pk == pipeline.pk
        return held

    def control(self, **fields: Any) -> Control:
        """What a heartbeat would write to."""
        made = Control(lease=LEASE, trusted_until=clock() + LEASE, **fields)
        self.controls.append(made)
        return made

    def run(self, pipeline: Pipeline, control: Control | None = None) -> PipelineRun:
        """Request, claim, execute; the run as it was settled."""
        return self.execute(self.claim(pipeline), control or self.control())

    def execute(self, held: Claim, control: Control) -> PipelineRun:
        """Execute a claim; the run as it was settled."""
        execute(held, control)
        return self.last(held.pipeline)

    def succeed(self, pipeline: Pipeline) -> PipelineRun:
        """A run that must end well."""
        run = self.run(pipeline)
        assert run.status == RunStatus.SUCCESS, (
            f"{run.error_class} {run.sqlstate} {run.error_message}"
        )
        return run

    def fail(self, pipeline: Pipeline) -> PipelineRun:
        """A run that must fail for good."""
        run = self.run(pipeline)
        assert run.status == RunStatus.FAILED
        assert self.status(pipeline) == PipelineStatus.FAILED, run.error_message
        return run

    def put_off(self, pipeline: Pipeline) -> PipelineRun:
        """A run that must fail and be tried again later."""
        run = self.run(pipeline)
        assert run.status == RunStatus.FAILED
        pipeline.refresh_from_db()
        assert pipeline.status == PipelineStatus.RUN_REQUESTED, run.error_message
        assert pipeline.next_attempt_at is not None
        return run

    # What is there afterwards

    def status(self, pipeline: Pipeline) -> str:
        """Where the pipeline stands."""
        return str(Pipeline.objects.values_list("status", flat=True).get(pk=pipeline.pk))

    def last(self, pipeline: Pipeline) -> PipelineRun:
        """The newest run."""
        return PipelineRun.objects.filter(pipeline=pipeline).latest("generation")

    def state(self, pipeline: Pipeline) -> PipelineState:
        """The checkpoint as people see it."""
        return PipelineState.objects.get(pipeline=pipeline)

    def checkpoint(self, pipeline: Pipeline) -> dict[str, Any]:
        """The target's own row."""
        row = self.target.execute(
            "SELECT to_jsonb(c) FROM etl.checkpoint c WHERE pipeline_uid = %s", [pipeline.pk]
        ).fetchone()
        assert row is not None
        found: dict[str, Any] = row[0]
        return found

    def assert_equal(self, query: str, table: str = TABLE, *, where: str = "true") -> int:
        """The oracle: as many of each row on both sides. Returns how many rows there are."""
        columns = self.columns(query)
        expected = self._rows(self.source, sql.SQL(query), columns)
        found = self._rows(self.target, sql.SQL(f"SELECT * FROM {table} WHERE {where}"), columns)
        assert found == expected, f"missing {expected - found}, too many {found - expected}"
        return expected.total()

    def columns(self, query: str) -> list[str]:
        """The names of the query's columns."""
        described = self.source.execute(f"SELECT * FROM ({query}\n) q LIMIT 0").description or []
        return [column.name for column in described]

    @staticmethod
    def _rows(
        session: psycopg.Connection[Any], query: sql.Composable, columns: list[str]
    ) -> Counter[str]:
        session.execute("SET extra_float_digits = 3")
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("SELECT row_to_json(r)::text FROM (SELECT {} FROM ({}\n) q) r").format(
            names, query
        )
        return Counter(row[0] for row in session.execute(statement))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the target answers."""
        return self.target.execute(statement).fetchall()

    def value(self, statement: str) -> Any:
        """The one value that the target answers."""
        row = self.target.execute(statement).fetchone()
        assert row is not None
        return row[0]

    def leftovers(self) -> list[str]:
        """What stands in our schema beside our two tables, and staging names elsewhere."""
        return [
            name
            for (name,) in self.target.execute(
                "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n"
                " ON n.oid = c.relnamespace WHERE (nspname = 'etl' AND relkind IN ('r', 'v', 'S')"
                " AND relname NOT IN ('checkpoint', 'version')) OR starts_with(relname, 'stg_')"
            )
        ]


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do `act` on a thread while the body runs; its error is the test's error.

    `act` may use sessions of its own and flags, never Django's database.
    """
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
    if errors:
        raise errors[0]


@contextmanager
def gate_closed(loads: Loads, opened: threading.Event) -> Iterator[None]:
    """Queries with GATE give no row until `opened` is set.

    A thread of its own holds the gate, so that it opens while the test's thread runs a load.
    """
    with psycopg.connect(loads.source.info.dsn, password=loads.source.info.password) as session:
        session.execute("SELECT pg_advisory_lock(42)")

        def keep() -> None:
            opened.wait(30)
            session.close()

        with meanwhile(keep):
            try:
                yield
            finally:
                opened.set()


class Brake:
    """A target table that stops a batch at one row, until it is released.

    It is reached inside a batch: rows are sent, and the checkpoint is not yet written.
    """

    def __init__(self, loads: Loads, row: int, *, deferred: bool = False) -> None:
        loads.target.execute(
            "CREATE FUNCTION analytics.brake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF new.id = tg_argv[0]::int THEN PERFORM pg_advisory_xact_lock_shared(7); END IF;"
            " RETURN new; END $$"
        )
        kind = "CONSTRAINT TRIGGER brake AFTER" if deferred else "TRIGGER brake BEFORE"
        when = "DEFERRABLE INITIALLY DEFERRED " if deferred else ""
        loads.target.execute(
            f"CREATE {kind} INSERT OR UPDATE ON {TABLE} {when}FOR EACH ROW"
            f" EXECUTE FUNCTION analytics.brake({row})"
        )
        info = loads.target.info
        self.session = psycopg.connect(info.dsn, password=info.password, autocommit=True)

    def __enter__(self) -> "Brake":
        self.session.execute("SELECT pg_advisory_lock(7)")
        return self

    def __exit__(self, *_error: object) -> None:
        self.session.close()

    def reached(self) -> int:
        """Wait until a batch stands at the row; the pid of its backend."""
        return wait_for_session(self.session, "wait_event_type = 'Lock'")

    def release(self) -> None:
        """Let it go on."""
        self.session.execute("SELECT pg_advisory_unlock(7)")


def wait_for_session(session: psycopg.Connection[Any], condition: str) -> int:
    """Poll pg_stat_activity until a session of ours is as `condition` says; its pid."""
    statement = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        f" AND application_name LIKE 'etl_admin:%' AND {condition}"
    )

    def ask() -> int | None:
        row = session.execute(statement).fetchone()
        return None if row is None else int(row[0])

    pid = until(ask, what=condition)
    assert pid is not None
    return pid
