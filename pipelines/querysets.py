"""The claim and the lease renewal (raw SQL, each one statement) and the queries lists share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Now

from pipelines.names import TableName
from pipelines.states import ACTIVE, PipelineStatus

if TYPE_CHECKING:
    import psycopg

#: The channel that workers listen on; notified in the transaction that requests a run.
WAKE_CHANNEL = "etl_pipelines"

# One rival wins (SKIP LOCKED in a materialized CTE); the expired lease of a lost worker is part
# of the same claim, so no separate job has to find it.
_CLAIM = """
WITH c AS MATERIALIZED (
    SELECT id, status AS was FROM pipelines_pipeline
    WHERE (status = 'RUN_REQUESTED' AND enabled AND next_attempt_at <= now())
       OR (status = 'PAUSE_REQUESTED' AND lease_until IS NULL)
       OR (status IN ('RUNNING', 'PAUSE_REQUESTED') AND lease_until < now())
    ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE pipelines_pipeline p
SET status = CASE c.was WHEN 'RUN_REQUESTED' THEN 'RUNNING' ELSE c.was END,
    status_changed_at = CASE c.was WHEN 'RUN_REQUESTED' THEN now() ELSE status_changed_at END,
    generation = p.generation + 1, attempt = p.attempt + 1,
    worker_id = %(worker)s, lease_until = now() + make_interval(secs => %(lease)s)
FROM c WHERE p.id = c.id
RETURNING p.*, c.was
"""

# Renewal, progress, the checkpoint's copy and "what is wanted of us" in one statement: if the
# guard fails nothing else of it happens, and no row comes back.
_RENEW = """
WITH p AS (
    UPDATE pipelines_pipeline
    SET lease_until = now() + make_interval(secs => %(lease)s),
        attempt = CASE WHEN %(progressed)s THEN 0 ELSE attempt END
    WHERE id = %(pipeline)s AND generation = %(generation)s
      AND status IN ('RUNNING', 'PAUSE_REQUESTED')
    RETURNING id, status, cancel_requested_at IS NOT NULL AS cancel, checkpoint_epoch),
r AS (
    UPDATE pipelines_pipelinerun r
    SET rows_read = %(rows_read)s, rows_written = %(rows_written)s, batches = %(batches)s,
        phase = %(phase)s,
        progress_at = CASE WHEN (r.rows_read, r.rows_written, r.batches, r.phase)
            IS DISTINCT FROM (%(rows_read)s, %(rows_written)s, %(batches)s, %(phase)s)
            THEN now() ELSE r.progress_at END
    FROM p WHERE r.pipeline_id = p.id AND r.generation = %(generation)s AND r.status = 'RUNNING'
    RETURNING r.id),
x AS (
    INSERT INTO pipelines_runsample (run_id, number, at, rows_read, rows_written, batches)
    SELECT r.id, %(sample)s, now(), %(rows_read)s, %(rows_written)s, %(batches)s
    FROM r WHERE %(sample)s::int IS NOT NULL ON CONFLICT DO NOTHING),
s AS (
    INSERT INTO pipelines_pipelinestate AS s
        (pipeline_id, last_processed_value, last_processed_id, epoch, seq, rows, promise,
         updated_at)
    SELECT p.id, %(value)s, %(key)s, p.checkpoint_epoch, %(seq)s, %(checkpoint_rows)s, '', now()
    FROM p WHERE %(value)s::text IS NOT NULL
    ON CONFLICT (pipeline_id) DO UPDATE
    SET last_processed_value = excluded.last_processed_value,
        last_processed_id = excluded.last_processed_id, epoch = excluded.epoch,
        seq = excluded.seq, rows = excluded.rows, updated_at = excluded.updated_at
    WHERE (s.seq, s.epoch) IS DISTINCT FROM (excluded.seq, excluded.epoch)),
w AS (
    UPDATE pipelines_worker SET last_seen_at = now() WHERE id = %(worker)s)
SELECT status, cancel FROM p
"""


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """What a worker reports with each renewal; all counts are totals of the run so far.

    `value` and `key` are the checkpoint as people read it, None before the first one; `seq` and
    `checkpoint_rows` count over all runs since the checkpoint was last cleared; `sample` is the
    number under which the counts are kept for the run's chart, None for not at all.
    """

    pipeline: UUID
    generation: int
    worker: UUID
    lease: float
    progressed: bool
    rows_read: int
    rows_written: int
    batches: int
    phase: str
    value: str | None
    key: str | None
    seq: int
    checkpoint_rows: int
    sample: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the people want of the run that was renewed."""

    pause: bool
    cancel: bool


def renew(connection: "psycopg.Connection[Any]", renewal: Renewal) -> Wanted | None:
    """Renew the lease over the heartbeat's own connection; None: somebody else holds it now."""
    row = connection.execute(_RENEW, vars(renewal)).fetchone()
    if row is None:
        return None
    return Wanted(pause=row[0] == PipelineStatus.PAUSE_REQUESTED, cancel=row[1])


_THIN = """
DELETE FROM pipelines_runsample s USING pipelines_pipelinerun r
WHERE r.pipeline_id = %s AND r.generation = %s AND s.run_id = r.id AND s.number %% %s <> 0
"""

_WRITE_LINES = """
INSERT INTO pipelines_runline (run_id, number, at, level, text)
SELECT r.id, w.number, w.at, w.level, w.text
FROM pipelines_pipelinerun r,
    unnest(%s::int[], %s::timestamptz[], %s::text[], %s::text[]) AS w (number, at, level, text)
WHERE r.pipeline_id = %s AND r.generation = %s ON CONFLICT DO NOTHING
"""


def thin_samples(
    connection: "psycopg.Connection[Any]", pipeline: UUID, generation: int, step: int
) -> None:
    """Keep the run's samples whose number is a multiple of `step`."""
    connection.execute(_THIN, [pipeline, generation, step])


def write_lines(
    connection: "psycopg.Connection[Any]", pipeline: UUID, generation: int, lines: Sequence[Any]
) -> None:
    """Add lines (number, at, level, text) to the run's log; written twice they are there once."""
    columns = [[getattr(line, name) for line in lines] for name in _LINE]
    connection.execute(_WRITE_LINES, [*columns, pipeline, generation])


_LINE = ("number", "at", "level", "text")


class PipelineQuerySet(models.QuerySet[Any]):
    """Queries on pipelines that more than one caller needs."""

    def writing_to(self, connection: Any, table: TableName) -> list[Any]:
        """Those that write to this table, over this connection or one to the same database."""
        same = Q(target_connection=connection)
        if connection.host:
            same |= Q(
                target_connection__host__iexact=connection.host,
                target_connection__port=connection.port,
                target_connection__dbname=connection.dbname,
            )
        # The same table can be written in several ways, with quotes and without.
        return [
            one
            for one in self.filter(same).order_by("name")
            if TableName.parse(one.target_table) == table
        ]

    def claim(self, *, worker: UUID, lease: float) -> Any:
        """Take one pipeline that waits or lost its worker, for `lease` seconds.

        The pipeline comes back as it is after the claim, with `was`, the status before it.
        """
        claimed = list(self.raw(_CLAIM, {"worker": worker, "lease": lease}))
        return claimed[0] if claimed else None

    def lost(self) -> "PipelineQuerySet":
        """Pipelines whose worker has let its lease run out."""
        return self.filter(status__in=ACTIVE, lease_until__lt=Now())

    def with_last_run(self) -> "PipelineQuerySet":
        """Adds `last_run_id`, `last_run_status`, `last_run_started_at`, `last_run_finished_at`,
        `last_run_rows_written`, `last_run_error` and `last_run_progress_at` of the newest run."""
        runs: Any = self.model._meta.get_field("runs").related_model
        newest = runs.objects.filter(pipeline=OuterRef("pk")).order_by("-generation")
        columns = {
            "last_run_id": "id",
            "last_run_status": "status",
            "last_run_started_at": "started_at",
            "last_run_finished_at": "finished_at",
            "last_run_rows_read": "rows_read",
            "last_run_rows_written": "rows_written",
            "last_run_error": "error_message",
            "last_run_progress_at": "progress_at",
        }
        annotated: PipelineQuerySet = self.annotate(
            **{name: Subquery(newest.values(column)[:1]) for name, column in columns.items()}
        )
        return annotated
