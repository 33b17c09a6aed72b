"""Whoever may make functions in a source cannot have them called in place of PostgreSQL's own."""

import psycopg
import pytest

from pipelines.models import Pipeline
from runner.connections import reading
from runner.plan import Address
from tests.data.comparing import assert_equal
from tests.data.loading import Loads

#: Better matches than PostgreSQL's own for what we ask: nearer types, or nothing to convert.
BETTER = (
    "has_database_privilege(name, text)",
    "pg_has_role(name, oid, text)",
    "format(text, name, name)",
    "quote_ident(name)",
    "coalesce_it(text)",
    "to_regtype(varchar)",
    "age(timestamptz)",
    "current_setting(name)",
    "count(bigint)",
)


@pytest.fixture
def hijacked(loads: Loads) -> Loads:
    """A table to load, and functions in front of PostgreSQL's own that spoil what asks them."""
    loads.source.execute(
        "CREATE TABLE items (id int PRIMARY KEY, word text, modified timestamptz NOT NULL);"
        "INSERT INTO items SELECT n, 'word', now() FROM generate_series(1, 9) AS n"
    )
    for signature in BETTER:
        loads.source.execute(
            f"CREATE FUNCTION public.{signature} RETURNS text LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'hijacked' USING ERRCODE = 'XX000'; END$$"
        )
    return loads


def test_a_check_and_a_run_ask_postgresql_itself(hijacked: Loads) -> None:
    query = "SELECT id, word, modified FROM items"
    pipeline = hijacked.follow(query)

    run = hijacked.succeed(pipeline)

    assert run.rows_written == 9
    assert_equal(pipeline)


def test_people_go_on_with_their_own_names(hijacked: Loads) -> None:
    hijacked.source.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.mine AS SELECT 1 AS id")
    hijacked.source.execute("ALTER ROLE source SET search_path = theirs, public")
    try:
        pipeline: Pipeline = hijacked.define("SELECT id FROM mine")
        assert hijacked.succeed(pipeline).rows_written == 1
    finally:
        hijacked.source.execute("ALTER ROLE source RESET search_path")


def test_an_own_question_cannot_write(source_address: Address, hijacked: Loads) -> None:
    with reading(source_address) as session:
        session.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            session.execute("DELETE FROM public.items")
        assert session.execute("SELECT count(*) FROM public.items").fetchone() == (9,)
        with session.transaction():
            session.execute("SELECT 1")
            path = session.run("SHOW search_path").get_value(0, 0)
        assert path == b'"$user", public'


def test_operators_that_are_nearer_are_not_used(loads: Loads) -> None:
    loads.source.execute(
        "CREATE TABLE items (id uuid PRIMARY KEY, rating float8);"
        " INSERT INTO items SELECT gen_random_uuid(), n FROM generate_series(1, 9000) AS n;"
        " CREATE FUNCTION public.spoil(bigint, int) RETURNS bigint LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'hijacked' USING ERRCODE = 'XX000'; END$$;"
        " CREATE OPERATOR public.& (LEFTARG = bigint, RIGHTARG = int, FUNCTION = public.spoil);"
        " CREATE FUNCTION public.spoil(float8, int) RETURNS boolean LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'hijacked' USING ERRCODE = 'XX000'; END$$;"
        " CREATE OPERATOR public.>= (LEFTARG = float8, RIGHTARG = int, FUNCTION = public.spoil);"
        " CREATE OPERATOR public.< (LEFTARG = float8, RIGHTARG = int, FUNCTION = public.spoil)"
    )
    pipeline = loads.define("SELECT id, rating FROM items", key_columns=["id"])
    loads.succeed(pipeline)
    assert_equal(pipeline)
    assert_equal(pipeline, tolerances={"rating": 0.5})
