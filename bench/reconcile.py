"""Comparing two tables: against one sum of hashes on both sides, and beside reladiff."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from bench.beside import Reladiff, reladiff
from bench.figures import Figure
from bench.ground import SOURCE, TARGET, Ground
from bench.work import MeasurementError, pipeline

_COLUMNS = ["name", "rating", "modified"]
_PLAIN = "SELECT sum(hash_record_extended(ROW(id, name, rating, modified), 0)) FROM {}"
_FILL = """
INSERT INTO {table}
SELECT {key}, 'Item number ' || n || ' of many', sqrt(n),
    timestamptz '2026-01-01 00:00:00+00' + n * interval '1 ms'
FROM {numbers} AS n
"""
#: So many rows differ: a third is missing, a third extra, a third different.
_DIFFERENCES = 100
#: What takes a part of a second is done so often in a round, in turns.
_TURNS = 3
#: reladiff takes its time, and its figures are far from ours: fewer rounds tell as much.
_RELADIFF_ROUNDS = 3
_MEGABYTE = 1_000_000
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a key of one kind; `key` makes one of a number n, all numbers differ in it."""

    name: str
    key_type: str
    key: str

    @property
    def differing(self) -> str:
        """The target's copy of it with differences."""
        return f"{self.name}_differing"


#: Keys as a sequence with gaps gives them, in the order in which rows were written; and keys that
#: are spread at random.
_USUAL = Table(name="orders", key_type="bigint", key="n::bigint")
_RANDOM = Table(name="tickets", key_type="uuid", key="md5('row ' || n)::uuid")


def measure(ground: Ground, *, rows: int, rounds: int) -> list[Figure]:
    """The usual kind of key with bounds; another kind is only told."""
    with reladiff() as other:
        print(f"Comparing {rows:,} rows, {rounds} rounds, reladiff {other.version}", flush=True)
        usual = _measured(ground, other, _USUAL, rows=rows, rounds=rounds)
        random = _measured(ground, other, _RANDOM, rows=rows, rounds=rounds)
    peak = _peak(_USUAL)
    return [
        *_figures(usual, "bigint key", bounded=True),
        Figure(
            what="peak memory of a process that finds those differences",
            value=peak / _MEGABYTE,
            most=120,
            unit="MB",
            detail=f"VmHWM {peak:,} bytes",
        ),
        *_figures(random, "uuid key", bounded=False),
    ]


def _measured(
    ground: Ground, other: Reladiff, table: Table, *, rows: int, rounds: int
) -> dict[str, float]:
    expected = _make(ground, table, rows)
    took: dict[str, list[float]] = {}
    once: dict[str, Callable[[], float]] = {
        "plain sum": lambda: _plain(ground, table),
        "checksum": lambda: _ours(table, table.name, "checksum", {}),
        "rows": lambda: _ours(table, table.differing, "rows", expected),
    }
    theirs: dict[str, Callable[[], float]] = {
        "reladiff, identical": lambda: _theirs(ground, other, table, table.name, {}),
        "reladiff, rows": lambda: _theirs(ground, other, table, table.differing, expected),
    }
    for call in once.values():
        call()  # nothing is done for the first time
    for number in range(rounds):
        calls = [*once.items()] * _TURNS
        calls += theirs.items() if number < _RELADIFF_ROUNDS else ()
        round_took: dict[str, list[float]] = {}
        for name, call in calls:
            round_took.setdefault(name, []).append(call())
        for name, times in round_took.items():
            took.setdefault(name, []).extend(times)
        told = (f"{name} {median(times):.2f} s" for name, times in round_took.items())
        print(f"  {table.key_type} key: " + ", ".join(told), flush=True)
    return {name: median(times) for name, times in took.items()}


def _figures(took: dict[str, float], key: str, *, bounded: bool) -> Iterable[Figure]:
    compared: list[tuple[str, str, str, float | None]] = [
        ("identical tables, checksum, against one sum of hashes", "checksum", "plain sum", 1.3),
        (f"{_DIFFERENCES} differences to the row, against that sum", "rows", "plain sum", 2.6),
        (f"{_DIFFERENCES} differences to the row, against the checksum", "rows", "checksum", None),
        ("identical tables, checksum, against reladiff", "checksum", "reladiff, identical", 1),
        (f"{_DIFFERENCES} differences to the row, against reladiff", "rows", "reladiff, rows", 1),
    ]
    for what, name, against, most in compared:
        yield Figure(
            what=f"{key}: {what}",
            value=took[name] / took[against],
            most=most if bounded else None,
            detail=f"{took[name]:.2f} s / {took[against]:.2f} s",
        )


def _plain(ground: Ground, table: Table) -> float:
    """Both servers at once, over sessions that are there already."""
    with (
        ground.session(SOURCE) as source,
        ground.session(TARGET) as target,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):
        began = time.monotonic()
        other = pool.submit(_answer, target, _PLAIN.format(f"analytics.{table.name}"))
        mine = _answer(source, _PLAIN.format(table.name))
        if mine != other.result():
            raise MeasurementError("The tables are not identical.")
        return time.monotonic() - began


def _answer(session: psycopg.Connection, statement: str) -> Any:
    row = session.execute(statement.encode()).fetchone()
    return row[0] if row else None


def _ours(table: Table, target: str, level: str, expected: dict[str, set[str]]) -> float:
    """One comparison, from nothing to the report, signing in included."""
    from runner.comparing.compare import compare

    asked = request(_pipeline(table, target), level)
    began = time.monotonic()
    report = compare(asked)
    took = time.monotonic() - began
    found: dict[str, set[str]] = {}
    for row in report.sample:
        found.setdefault(str(row.kind), set()).add(str(row.key[0]))
    if found != expected or report.equal is bool(expected):
        raise MeasurementError(f"{report.status}, and not the rows that differ: {found}")
    if sum((report.missing or 0, report.extra or 0, report.different or 0)) != sum(
        len(keys) for keys in expected.values()
    ):
        raise MeasurementError("The counts are not those of the rows that differ.")
    return took


def _theirs(
    ground: Ground, other: Reladiff, table: Table, target: str, expected: dict[str, set[str]]
) -> float:
    sides = [
        (ground.url(SOURCE).partition("?")[0], table.name),
        (ground.url(TARGET).partition("?")[0], f"analytics.{target}"),
    ]
    took, found = other.diff(sides, _COLUMNS)
    different = expected.get("different", set())
    wanted = {("-", key) for key in expected.get("missing", set()) | different}
    wanted |= {("+", key) for key in expected.get("extra", set()) | different}
    if found != wanted:
        raise MeasurementError("reladiff did not find the rows that differ.")
    return took


def _peak(table: Table) -> int:
    """The most memory of a process that compares once."""
    ours = _pipeline(table, table.differing)
    done = subprocess.run(
        [sys.executable, "-m", "bench.reconciler", str(ours.pk)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise MeasurementError("The process that compares failed; what it said is above.")
    answer = json.loads(done.stdout)
    if answer["rows"] != _DIFFERENCES:
        raise MeasurementError(f"{answer['rows']} rows were found.")
    return int(answer["peak"])


def request(pipeline: Any, level: str) -> Any:
    """What to compare of a pipeline that has never run."""
    from uuid import uuid4

    from runner.addresses import definition_of
    from runner.comparing.values import Level, Request
    from runner.plan import Identity

    me = Identity(pipeline=uuid4(), installation=uuid4(), generation=0, epoch=0, definition_hash="")
    return Request(definition=definition_of(pipeline), identity=me, level=Level(level))


def _pipeline(table: Table, target: str) -> Any:
    columns = ", ".join(["id", *_COLUMNS])
    query = f"SELECT {columns} FROM {table.name}"
    return pipeline(f"compare {target}", target=target, source_query=query)


def _make(ground: Ground, table: Table, rows: int) -> dict[str, set[str]]:
    """Both sides, and the target's copy with differences. The keys of those by their kind.

    Odd numbers are rows of both sides, even ones the extra rows between them.
    """
    usual = f"generate_series(1, {2 * rows - 1}, 2)"
    for database, name in (
        (SOURCE, table.name),
        (TARGET, f"analytics.{table.name}"),
        (TARGET, f"analytics.{table.differing}"),
    ):
        with ground.session(database) as session:
            _create(session, name, table)
            session.execute(_FILL.format(table=name, key=table.key, numbers=usual).encode())
    with ground.session(TARGET) as session:
        expected = _differ(session, table, rows)
    for database in (SOURCE, TARGET):
        with ground.superuser(database) as session:
            session.execute("VACUUM ANALYZE")
    ground.settle()
    return expected


def _create(session: psycopg.Connection, name: str, table: Table) -> None:
    session.execute("SET client_min_messages = warning")
    if name.startswith("analytics."):
        session.execute("CREATE SCHEMA IF NOT EXISTS analytics")
    session.execute(f"DROP TABLE IF EXISTS {name}".encode())
    session.execute(
        f"CREATE TABLE {name} (id {table.key_type} PRIMARY KEY, name text, rating float8,"
        " modified timestamptz)".encode()
    )


def _differ(session: psycopg.Connection, table: Table, rows: int) -> dict[str, set[str]]:
    """Differences all over the table."""
    each = [2 * (rows * number // _DIFFERENCES) + 1 for number in range(_DIFFERENCES)]
    missing, different = each[0::3], each[1::3]
    extra = [number + 1 for number in each[2::3]]
    name = f"analytics.{table.differing}"
    keys = f"SELECT {table.key} FROM unnest(%s::int[]) AS n"
    changed = f"UPDATE {name} SET rating = rating + 1 WHERE id IN ({keys})"
    filled = _FILL.format(table=name, key=table.key, numbers="unnest(%s::int[])")
    session.execute(f"DELETE FROM {name} WHERE id IN ({keys})".encode(), [missing])
    session.execute(changed.encode(), [different])
    session.execute(filled.encode(), [extra])
    return {
        kind: {str(key) for (key,) in session.execute(keys.encode(), [numbers])}
        for kind, numbers in (("missing", missing), ("different", different), ("extra", extra))
    }
