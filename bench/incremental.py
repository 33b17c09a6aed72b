"""Incremental runs: changed rows against one upsert in the target, and a run without changes."""

import time
from statistics import median
from typing import Any

from bench.figures import Figure
from bench.ground import ITEMS, SOURCE, TARGET, Ground, make_source, make_target
from bench.work import MeasurementError, pipeline, run, seconds, warm_worker

_CHANGE = """
UPDATE items SET rating = rating + 1, modified = clock_timestamp()
WHERE id IN (SELECT id FROM items ORDER BY {order} LIMIT {rows})
"""
_UPSERT = """
INSERT INTO analytics.upserted SELECT * FROM analytics.changes ON CONFLICT (id) DO UPDATE
SET name = excluded.name, rating = excluded.rating, modified = excluded.modified
"""
_SCANS = """
SELECT pg_stat_clear_snapshot(), seq_scan, idx_scan, idx_tup_fetch
FROM pg_stat_user_tables WHERE relname = 'items'
"""


def measure(ground: Ground, *, rows: int, rounds: int) -> list[Figure]:
    """A tenth of the rows change each round; then a run finds nothing to do."""
    changed = rows // 10
    print(f"Incremental, {changed:,} of {rows:,} rows changed, {rounds} rounds", flush=True)
    make_source(ground, rows)
    make_target(ground, "items")
    ours = pipeline(
        "incremental",
        target="items",
        mode="incremental",
        incremental_key="modified",
        batch_size=50_000,
    )
    took: list[tuple[float, float]] = []
    with warm_worker(ground):
        run(ours)
        _make_twin(ground)
        for number in range(rounds):
            _change(ground, changed, number)
            took.append((_upsert(ground), _incremental(ground, ours, changed)))
            print("  one upsert {:.2f} s, incremental run {:.2f} s".format(*took[-1]), flush=True)
        nothing = _nothing_changed(ground, ours)
    least, run_took = (median(times) for times in zip(*took, strict=True))
    return [
        Figure(
            what=f"incremental, {changed:,} changed rows, against one upsert in the target",
            value=run_took / least,
            most=3.0,
            detail=f"{changed / run_took:,.0f} rows/s, {changed / least:,.0f} rows/s",
        ),
        *nothing,
    ]


def _make_twin(ground: Ground) -> None:
    """A second table with the same rows and key, for the statement that we compare with."""
    make_target(ground, "upserted")
    with ground.session(TARGET) as session:
        session.execute("INSERT INTO analytics.upserted SELECT * FROM analytics.items")
        session.execute(ITEMS.format("analytics.changes", ""))
        session.execute("VACUUM ANALYZE analytics.upserted")


def _change(ground: Ground, rows: int, number: int) -> None:
    """Change rows in the source, and put the same ones beside the twin."""
    with ground.session(SOURCE) as source, ground.session(TARGET) as target:
        mark = source.execute("SELECT clock_timestamp()").fetchone()
        source.execute(_CHANGE.format(order=f"md5(id::text || {number})", rows=rows))
        source.execute("VACUUM ANALYZE items")
        target.execute("TRUNCATE analytics.changes")
        with (
            source.cursor().copy(
                "COPY (SELECT * FROM items WHERE modified >= %s) TO STDOUT", mark
            ) as changes,
            target.cursor().copy("COPY analytics.changes FROM STDIN") as copies,
        ):
            for data in changes:
                copies.write(data)
        target.execute("VACUUM ANALYZE analytics.changes")


def _upsert(ground: Ground) -> float:
    ground.settle()
    with ground.session(TARGET) as session:
        began = time.monotonic()
        session.execute(_UPSERT)
        return time.monotonic() - began


def _incremental(ground: Ground, ours: Any, changed: int) -> float:
    ground.settle()
    ended = run(ours)
    if (ended.rows_read, ended.rows_written) != (changed, changed):
        raise MeasurementError(f"{ended.rows_read} rows read, {ended.rows_written} written.")
    return seconds(ended)


def _nothing_changed(ground: Ground, ours: Any) -> list[Figure]:
    """By the source's own counters: what one run without changes reads of the table."""
    before = _scans(ground)
    ended = run(ours)
    sequential, _indexed, fetched = (b - a for a, b in zip(before, _scans(ground), strict=True))
    print(f"  nothing changed: {seconds(ended):.2f} s", flush=True)
    return [
        Figure(what="nothing changed: rows read", value=ended.rows_read, most=0, unit="rows"),
        Figure(
            what="nothing changed: scans of the whole source table",
            value=sequential,
            most=0,
            unit="scans",
        ),
        Figure(
            what="nothing changed: rows fetched through indexes",
            value=fetched,
            most=100,
            unit="rows",
            detail=f"{seconds(ended):.2f} s",
        ),
    ]


def _scans(ground: Ground) -> tuple[int, ...]:
    """Counters of the source table, once the sessions that read it have ended and reported."""
    with ground.superuser(SOURCE) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        row = session.execute(_SCANS).fetchone()
    if row is None:
        raise MeasurementError("The server keeps no counters of the source table.")
    return row[1:]
