"""What people are advised to do about an error depends on whose server raised it."""

import psycopg
import pytest

from runner.errors import Side, classify
from tests.data.loading import Loads

STATES = ["21000", "22012", "23503", "23505", "23514", "25006", "42501", "57P01", "57P02", "57P03"]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("state", STATES)
def test_there_is_a_next_step(side: Side, state: str) -> None:
    sentence = classify(psycopg.errors.lookup(state)(), side).sentence
    advice = ("run again", "Run again", "point the connection", "Change the query", "Cast", "only")
    if (state, side) != ("21000", Side.TARGET):
        assert any(words in sentence for words in advice), sentence
    if side is Side.SOURCE:
        assert "target" not in sentence


def test_a_query_that_writes_is_told_to_read(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE log (id int)")
    loads.source.execute(
        "CREATE FUNCTION noted() RETURNS int LANGUAGE sql AS"
        " $$ INSERT INTO log VALUES (1) RETURNING id $$"
    )
    run = loads.fail(loads.define("SELECT noted() AS id"))
    assert run.sqlstate == "25006"
    assert "may only read: take out of it what writes" in run.error_message
    assert "standby" not in run.error_message


def test_a_subquery_of_many_rows_is_the_querys_fault(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE s AS SELECT g FROM generate_series(1, 3) g")
    run = loads.fail(loads.define("SELECT (SELECT g FROM s) AS id"))
    assert run.sqlstate == "21000"
    assert "more than one row" in run.error_message
    assert "one row at most" in run.error_message
