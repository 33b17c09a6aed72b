"""Points at which a test holds a worker still, by advisory locks, and the pipelines that meet them.

A shared lock in the source query keeps the first row back; a trigger on the target holds a batch.
"""

from dataclasses import dataclass

import psycopg

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.models import Connection, Pipeline
from tests.factories import PipelineFactory
from tests.waiting import until

_WAITING = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND NOT granted AND objid = %s
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
_COUNTED = """
CREATE SCHEMA analytics;
CREATE TABLE analytics.counted (id int PRIMARY KEY, modified int);
CREATE FUNCTION analytics.wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(43);
    RETURN new;
END $$;
CREATE TRIGGER wait BEFORE INSERT ON analytics.counted FOR EACH ROW WHEN (new.id = 2)
EXECUTE FUNCTION analytics.wait();
"""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A lock on one server; whoever comes to it waits while it is closed."""

    session: psycopg.Connection
    number: int

    def close(self) -> None:
        """From now on whoever comes waits."""
        self.session.execute("SELECT pg_advisory_lock(%s)", [self.number])

    def open(self) -> None:
        """Let everybody through."""
        self.session.execute("SELECT pg_advisory_unlock(%s)", [self.number])

    def is_waited_at(self) -> bool:
        """Whether somebody stands here."""
        row = self.session.execute(_WAITING, [self.number]).fetchone()
        return bool(row and row[0])

    def until_waited_at(self) -> None:
        """Wait for the worker to come."""
        until(self.is_waited_at, what=f"nobody came to the gate {self.number}")


@dataclass(frozen=True, kw_only=True)
class Gated:
    """A pipeline of ten rows that is asked to run and stops at its gate."""

    pipeline: Pipeline
    gate: Gate
    target: psycopg.Connection

    def rows(self) -> int:
        """Rows of the target table; 0 when it does not exist."""
        table = self.pipeline.target_table
        found = self.target.execute("SELECT to_regclass(%s)", [table]).fetchone()
        if not found or found[0] is None:
            return 0
        row = self.target.execute(f"SELECT count(*) FROM {table}").fetchone()
        return row[0] if row else 0


def gated_load(source: Connection, target: Connection, **sessions: psycopg.Connection) -> Gated:
    """A full load whose first row is kept back."""
    pipeline = PipelineFactory(
        source_connection=source,
        target_connection=target,
        source_query=(
            "SELECT g AS id FROM (SELECT pg_advisory_lock_shared(42)) AS gate,"
            " (SELECT pg_advisory_unlock_shared(42)) AS again, generate_series(1, 10) AS g"
        ),
        target_table="analytics.loaded",
    )
    gate = Gate(session=sessions["source_session"], number=42)
    return Gated(pipeline=pipeline, gate=gate, target=sessions["target_session"])


def gated_batches(source: Connection, target: Connection, **sessions: psycopg.Connection) -> Gated:
    """An incremental load, one row a batch, whose second batch is held."""
    sessions["target_session"].execute(_COUNTED)
    pipeline = PipelineFactory(
        source_connection=source,
        target_connection=target,
        source_query="SELECT g AS id, g AS modified FROM generate_series(1, 10) AS g",
        target_table="analytics.counted",
        mode="incremental",
        incremental_key="modified",
        batch_size=1,
    )
    gate = Gate(session=sessions["target_session"], number=43)
    return Gated(pipeline=pipeline, gate=gate, target=sessions["target_session"])


def ask(pipeline: Pipeline) -> None:
    """Request a run, as the API would."""
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
