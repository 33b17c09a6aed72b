"""What must be true after every fault and a final run."""

from collections import Counter
from typing import Any

import psycopg

from pipelines.models import Pipeline, PipelineRun
from pipelines.states import ACTIVE, RunStatus
from tests.waiting import until

Session = psycopg.Connection[Any]

# Every change of every checkpoint, in the order in which they committed: the row's lock orders
# them, and what was rolled back is not there.
HISTORY = """
CREATE SCHEMA faults;
GRANT USAGE ON SCHEMA faults TO PUBLIC;
CREATE TABLE faults.history (
    at bigserial, pipeline uuid, generation bigint, seq_before bigint, seq bigint, rows bigint,
    phase text, cursor_text text);
CREATE FUNCTION faults.remember() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO faults.history (pipeline, generation, seq_before, seq, rows, phase, cursor_text)
    VALUES (new.pipeline_uid, new.generation, old.seq, new.seq, new.rows, new.phase,
        new.cursor_text);
    RETURN NULL;
END $$;
CREATE TRIGGER remember AFTER UPDATE ON etl.checkpoint
FOR EACH ROW EXECUTE FUNCTION faults.remember();
"""
_OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^etl_admin:'"
_STAGING = (
    "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE nspname = 'etl' AND relname LIKE 'stg%' AND relkind = 'r'"
)


def contents(session: Session, query: str) -> Counter[str]:
    """The multiset of rows as text, which tells 1.0 from 1.00 and takes json."""
    rows = session.execute(f"SELECT row_to_json(q)::text FROM ({query}) AS q").fetchall()
    return Counter(row for (row,) in rows)


def same_rows(source: Session, query: str, target: Session, pipeline: Pipeline) -> None:
    """The target holds exactly what the query gives now; `query` without any gate in it."""
    names = [column.name for column in source.execute(f"{query} LIMIT 0").description or ()]
    columns = ", ".join(f'"{name}"' for name in names)
    wanted = contents(source, query)
    found = contents(target, f"SELECT {columns} FROM {pipeline.target_table}")
    missing, extra = wanted - found, found - wanted
    assert not missing, f"missing {missing.total()}: {list(missing)[:3]}"
    assert not extra, f"too many {extra.total()}: {list(extra)[:3]}"


def steps_without_gaps(target: Session, pipeline: Pipeline) -> None:
    """No generation comes back, each batch follows the one before it, none commits twice."""
    rows = target.execute(
        "SELECT generation, seq_before, seq FROM faults.history WHERE pipeline = %s ORDER BY at",
        [pipeline.pk],
    ).fetchall()
    assert rows, "the pipeline never reached the target"
    newest = 0
    for generation, before, after in rows:
        assert generation >= newest, f"generation {generation} wrote after {newest}"
        newest = generation
        assert after in (0, before, before + 1), f"from batch {before} to {after}"
    last = target.execute(
        "SELECT seq FROM etl.checkpoint WHERE pipeline_uid = %s", [pipeline.pk]
    ).fetchone()
    assert last is not None
    assert last[0] == rows[-1][2]


def nothing_left(source: Session, target: Session) -> None:
    """Nobody holds a claim, and neither sessions nor staging tables of ours remain."""
    assert not Pipeline.objects.filter(status__in=ACTIVE).exists()
    assert not PipelineRun.objects.filter(status=RunStatus.RUNNING).exists()
    assert not Pipeline.objects.lost().exists()
    for session in (source, target):
        until(lambda s=session: s.execute(_OURS).fetchone() == (0,), what="sessions are left over")
    staging = target.execute(_STAGING).fetchall()
    assert staging == []
