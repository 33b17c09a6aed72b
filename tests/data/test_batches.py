"""Where one batch ends and the next begins: by rows, bytes and time, in both forms of COPY."""

import select
from typing import Any

import psycopg
import pytest
from psycopg import sql

from runner import source as sources
from runner.connections import reading, writing
from runner.plan import Address
from runner.source import streaming
from tests.data.loading import Loads
from tests.waiting import until

#: Rows from nothing to four hundred kilobytes, in no order of size.
UNEVEN = (
    "SELECT g AS id, repeat(chr(97 + g % 26), (g * g * 3701) % 400000) AS body"
    " FROM generate_series(1, 40) g"
)


@pytest.mark.parametrize("form", ["binary", "text"])
@pytest.mark.parametrize(("batch_size", "batches"), [(1, 40), (3, 14), (39, 2), (40, 1), (1000, 1)])
def test_rows_of_every_size_pass(loads: Loads, batch_size: int, batches: int, form: str) -> None:
    _make_target(loads, form)
    pipeline = loads.define(
        UNEVEN, mode="incremental", incremental_key="id", key_columns=["id"], batch_size=batch_size
    )
    run = loads.succeed(pipeline)
    assert (run.rows_read, run.rows_written, run.batches) == (40, 40, batches)
    assert loads.assert_equal(UNEVEN) == 40
    assert loads.checkpoint(pipeline)["cursor_text"] == "40"


def _make_target(loads: Loads, form: str) -> None:
    """Two types that differ make a load go as text."""
    kind = "integer" if form == "binary" else "bigint"
    loads.target.execute(f"CREATE TABLE analytics.t (id {kind} PRIMARY KEY, body text)")


@pytest.mark.parametrize("form", ["binary", "text"])
@pytest.mark.parametrize("mode", ["full", "incremental"])
@pytest.mark.parametrize(
    ("rows", "batch_size", "batches"), [(20000, 4999, 5), (20000, 20000, 1), (501, 7, 72)]
)
def test_many_small_rows_pass(
    loads: Loads, *, form: str, mode: str, rows: int, batch_size: int, batches: int
) -> None:
    _make_target(loads, form)
    query = f"SELECT g AS id, g::text AS body FROM generate_series(1, {rows}) g"
    pipeline = loads.define(query, mode=mode, incremental_key="id", batch_size=batch_size)
    run = loads.succeed(pipeline)
    assert (run.rows_read, run.batches) == (rows, batches)
    assert loads.assert_equal(query) == rows


@pytest.mark.parametrize("form", ["binary", "text"])
def test_rows_of_nothing_pass(loads: Loads, form: str) -> None:
    query = "SELECT NULL::int AS a, NULL::text AS b FROM generate_series(1, 5000)"
    kind = "integer" if form == "binary" else "bigint"
    loads.target.execute(f"CREATE TABLE analytics.t (a {kind}, b text)")
    run = loads.succeed(loads.define(query, batch_size=999))
    assert (run.rows_read, run.batches) == (5000, 6)
    assert loads.value("SELECT count(*) FROM analytics.t WHERE a IS NULL AND b IS NULL") == 5000


def test_a_batch_ends_by_its_size_in_bytes_too(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BATCH_BYTES", 3_000_000)
    query = "SELECT g AS id, repeat(md5(g::text), 30000) AS body FROM generate_series(1, 12) g"
    run = loads.succeed(loads.define(query, key_columns=["id"]))
    assert run.rows_read == 12
    assert 3 <= run.batches <= 5
    assert loads.assert_equal(query) == 12


def test_a_batch_ends_by_its_time_too(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BATCH_SECONDS", 0.05)
    # A server sends when its buffer of 8 KB is full.
    query = (
        "SELECT g AS id, repeat('x', 9000) AS body FROM generate_series(1, 6) g"
        " WHERE pg_sleep(0.06) IS NOT NULL"
    )
    run = loads.succeed(loads.define(query, key_columns=["id"]))
    assert run.rows_read == 6
    assert run.batches >= 3
    assert loads.assert_equal(query) == 6


@pytest.mark.parametrize(
    "fields", [{}, {"mode": "incremental", "incremental_key": "id"}], ids=["full", "incremental"]
)
def test_rows_larger_than_any_buffer_pass(loads: Loads, fields: dict[str, Any]) -> None:
    query = "SELECT g AS id, repeat(md5(g::text), 100000 * g) AS body FROM generate_series(1, 3) g"
    loads.succeed(loads.define(query, key_columns=["id"], **fields))
    assert loads.assert_equal(query) == 3


def test_a_target_that_talks_while_it_is_written_to_does_not_stall(loads: Loads) -> None:
    """A notice for each row fills the other direction of the connection."""
    loads.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, body text);"
        " CREATE FUNCTION analytics.talk(t text) RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE NOTICE '%', repeat('talk ', 400); RETURN true; END $$;"
        " CREATE DOMAIN analytics.loud AS text CHECK (analytics.talk(value));"
        " ALTER TABLE analytics.t ALTER body TYPE analytics.loud"
    )
    query = "SELECT g AS id, repeat('x', 500) AS body FROM generate_series(1, 3000) g"
    for fields in ({}, {"mode": "incremental", "incremental_key": "id"}):
        loads.succeed(loads.define(query, **fields))
        assert loads.assert_equal(query) == 3000


def test_what_is_read_ahead_does_not_make_a_batch_larger(
    source_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the target takes one piece, rows of this batch or of the next are read already."""
    monkeypatch.setattr(sources, "PIECE_BYTES", 100)
    statement = sql.SQL("COPY (SELECT generate_series(1, 1005) AS id) TO STDOUT (FORMAT binary)")
    batches = []
    with (
        reading(source_address) as session,
        streaming(session, statement, binary=True) as stream,
    ):
        while stream.wait_first():
            rows = 0
            for piece in stream.pieces(50):
                rows += piece.rows
                while stream.read_ahead():
                    pass
            batches.append(rows)
    assert batches == [50] * 20 + [5]


def test_a_batch_that_fails_on_a_session_that_is_ended_says_why_it_failed(
    target: psycopg.Connection[Any], target_address: Address
) -> None:
    target.execute("CREATE TABLE public.t (id int)")
    with writing(target_address) as session:
        (pid,) = session.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        session.run("COPY public.t FROM STDIN")
        session.pgconn.put_copy_data(b"x\n")
        session.pgconn.flush()
        assert select.select([session.pgconn.socket], [], [], 10)[0]
        target.execute("SELECT pg_terminate_backend(%s)", [pid])
        gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s"
        until(lambda: target.execute(gone, [pid]).fetchone()[0], what="the session's end")
        # Two results: the error, and the end of the session.
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            session.end_copy()
