"""What the data do to a run: other columns, late commits, huge rows (F20, F24, F25, F27).

Encodings (F28), rows that do not fit (F21), NULLs and ties (F22, F23) are in `tests/data`.
"""

import re
from pathlib import Path

import pytest

from pipelines.models import Pipeline
from pipelines.states import RunStatus
from tests.fixtures.processes import WorkerProcess
from tests.whole.faults.ground import TABLE, Ground

MEGABYTE = 1024 * 1024
#: A value of the largest size that is promised, and the memory that a worker may take for it.
VALUE = 64 * MEGABYTE
MOST_MEMORY = 120 * MEGABYTE + 3 * VALUE

CHANGES = {
    "dropped": "ALTER TABLE public.things DROP COLUMN amount",
    "renamed": "ALTER TABLE public.things RENAME COLUMN amount TO price",
    "key retyped": "ALTER TABLE public.things ALTER COLUMN id TYPE text",
    "incremental key retyped": "ALTER TABLE public.things ALTER COLUMN modified TYPE text",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changed_fails_the_run_before_any_row(ground: Ground, change: str) -> None:
    ground.fill()
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")
    before = ground.target.execute(f"SELECT count(*), max(id) FROM {TABLE}").fetchone()
    ground.fill(41, 50)

    ground.source.execute(CHANGES[change])
    ground.ask(pipeline)
    ground.until(pipeline, "FAILED")

    last = pipeline.runs.order_by("generation").last()
    assert (last.rows_read, last.batches, last.error_class) == (0, 0, "Preflight")
    assert re.search("amount|“id”|“modified”", last.error_message), last.error_message
    assert ground.target.execute(f"SELECT count(*), max(id) FROM {TABLE}").fetchone() == before


def test_a_new_column_of_a_star_query_is_named(ground: Ground) -> None:
    ground.fill()
    pipeline = ground.pipeline("swap")
    Pipeline.objects.update(source_query="SELECT * FROM public.things")
    ground.start()
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")

    ground.source.execute("ALTER TABLE public.things ADD COLUMN colour text")
    ground.ask(pipeline)
    ground.until(pipeline, "FAILED")

    last = pipeline.runs.order_by("generation").last()
    assert "colour" in last.error_message
    assert last.rows_read == 0


def test_a_row_that_commits_during_a_run_arrives_with_a_later_one(ground: Ground) -> None:
    """It was begun first, so its key is the smaller one."""
    ground.fill()
    pipeline = ground.pipeline("incremental")
    ground.start()
    writer = ground.servers.source.admin()
    writer.autocommit = False
    writer.execute("INSERT INTO public.things (id, modified) VALUES (900, now())")
    ground.source.execute("INSERT INTO public.things (id, modified) VALUES (901, now())")
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")
    rows = ground.target.execute(f"SELECT count(*) FROM {TABLE} WHERE id >= 900").fetchone()
    assert rows == (0,)

    writer.commit()
    writer.close()

    ground.settle(pipeline)


def test_a_source_that_was_restored_from_a_backup_is_noticed(ground: Ground) -> None:
    ground.fill()
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")

    ground.source.execute("DELETE FROM public.things WHERE id > 30")
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")

    said = pipeline.events.order_by("id").last().message
    assert "restored from a backup" in said


def peak_memory(worker: WorkerProcess) -> int:
    """The most that the process has ever had in memory."""
    text = Path(f"/proc/{worker.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found
    return int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("mode", ["swap", pytest.param("incremental", marks=pytest.mark.soak)])
def test_values_of_64_megabytes_pass_in_bounded_memory(ground: Ground, mode: str) -> None:
    ground.target.execute(f"ALTER TABLE {TABLE} ALTER COLUMN pad SET STORAGE EXTERNAL")
    pipeline = ground.pipeline(mode)
    made = (
        "SELECT g AS id, '2020-01-01Z'::timestamptz + g * interval '1 s' AS modified,"
        " 1.0 AS amount, NULL::json AS doc,"
        f" repeat(md5(g::text), {VALUE // 32}) AS pad FROM generate_series(1, 3) AS g"
    )
    Pipeline.objects.update(source_query=made)
    worker = ground.start()
    ground.ask(pipeline)

    ground.until(pipeline, "IDLE", "FAILED", seconds=120)

    assert ground.runs(pipeline) == [RunStatus.SUCCESS], ground.story(pipeline)
    sums = "SELECT id, length(pad), md5(pad) FROM ({}) AS q ORDER BY id"
    wanted = ground.source.execute(sums.format(made)).fetchall()
    assert ground.target.execute(sums.format(f"TABLE {TABLE}")).fetchall() == wanted
    assert peak_memory(worker) < MOST_MEMORY, peak_memory(worker) // MEGABYTE
