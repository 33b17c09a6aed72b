"""What is found by its key is told apart, and what else is unique is warned of."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from runner.plan import Method
from runner.preflight import Findings
from tests import cluster
from tests.data.loading import Loads

Check = Callable[..., Findings]
Refused = Callable[..., dict[str, list[str]]]
Session = psycopg.Connection[Any]

QUERY = "SELECT 'x'::text AS id, 'y'::text AS code, now() AS modified"
INCREMENTAL = {"mode": "incremental", "incremental_key": "modified", "key_columns": ["id"]}
#: A table with something that depends on it is merged.
MERGED = "CREATE VIEW analytics.v AS SELECT id FROM analytics.t"


@pytest.fixture
def schema(target: Session) -> Session:
    """The target with a schema."""
    target.execute("CREATE SCHEMA analytics")
    return target


@pytest.fixture
def loose(schema: Session) -> str:
    """The name of a collation that takes different texts for equal, as far as the catalog says.

    Only ICU has such ones, which the test's servers come without.
    """
    schema.execute('CREATE COLLATION analytics.loose FROM "C"')
    with cluster.superuser(schema.info.dbname) as superuser:
        superuser.execute(
            "UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'loose'"
        )
    return "analytics.loose"


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize(
    ("column", "index"),
    [
        ("id text COLLATE analytics.loose", "id"),
        ("id text", "id COLLATE analytics.loose"),
        ("id text COLLATE analytics.loose", 'id COLLATE "C"'),
    ],
)
def test_a_key_that_the_table_takes_for_another_is_refused(
    refused: Refused, check: Check, schema: Session, column: str, index: str
) -> None:
    schema.execute(f"CREATE TABLE analytics.t ({column}, code text, modified timestamptz)")
    schema.execute(f"CREATE UNIQUE INDEX ON analytics.t ({index})")

    for wanted in (INCREMENTAL, {"publish": "merge", "key_columns": ["id"]}):
        assert "“id” of analytics.t has a coll" in refused(QUERY, **wanted)["key_columns"][0]
    assert check(QUERY, key_columns=["id"]).method is Method.SWAP


def test_other_columns_may_have_any_collation(check: Check, schema: Session, loose: str) -> None:
    schema.execute(
        f"CREATE TABLE analytics.t (id text PRIMARY KEY, code text COLLATE {loose},"
        " modified timestamptz)"
    )
    assert check(QUERY, **INCREMENTAL).key == ("id",)


@pytest.mark.parametrize(
    "index",
    [
        "CREATE UNIQUE INDEX odd ON analytics.t (code)",
        "CREATE UNIQUE INDEX odd ON analytics.t (code) INCLUDE (id)",
        "CREATE UNIQUE INDEX odd ON analytics.t (lower(code))",
        "CREATE UNIQUE INDEX odd ON analytics.t (code) WHERE code <> ''",
        "ALTER TABLE analytics.t ADD CONSTRAINT odd UNIQUE (code, modified)",
    ],
)
def test_what_else_is_unique_is_warned_of(check: Check, schema: Session, index: str) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (id text PRIMARY KEY, code text, modified timestamptz)"
    )
    schema.execute(index)
    assert not [s for s in check(QUERY).warnings if "unique" in s]  # a swap writes no row twice
    schema.execute(MERGED)

    for wanted in (INCREMENTAL, {}):
        (sentence,) = [s for s in check(QUERY, **wanted).warnings if "unique" in s]
        assert sentence.startswith("“odd” of analytics.t")


@pytest.mark.parametrize(
    "index",
    [
        "CREATE UNIQUE INDEX ON analytics.t (code, id)",
        "CREATE UNIQUE INDEX ON analytics.t (id) WHERE code <> ''",
        "CREATE UNIQUE INDEX ON analytics.t (own)",
        "CREATE INDEX ON analytics.t (code)",
        "ALTER TABLE analytics.t ADD UNIQUE (code) DEFERRABLE",
    ],
)
def test_what_rows_cannot_exchange_is_not_warned_of(
    check: Check, schema: Session, index: str
) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (id text PRIMARY KEY, code text, modified timestamptz,"
        " own serial)"
    )
    schema.execute(index)
    schema.execute(MERGED)
    assert not [s for s in check(QUERY, **INCREMENTAL).warnings if "unique" in s]
    assert not [s for s in check(QUERY).warnings if "unique" in s]


@pytest.mark.parametrize("fields", [{}, {"mode": "incremental", "incremental_key": "modified"}])
def test_rows_that_exchange_values_need_a_deferrable_constraint(
    loads: Loads, fields: dict[str, str]
) -> None:
    """What the warning says, and the advice in it and in the run's sentence, are true."""
    loads.source.execute("CREATE TABLE s (id int, code text, modified int)")
    loads.source.execute("INSERT INTO s VALUES (1, 'a', 1), (2, 'b', 2)")
    loads.target.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, code text CONSTRAINT odd UNIQUE,"
        " modified int)"
    )
    loads.target.execute(MERGED)
    query = "SELECT id, code, modified FROM s"
    pipeline = loads.define(query, **fields)
    loads.succeed(pipeline)
    loads.source.execute(
        "UPDATE s SET modified = modified + 5, code = CASE code WHEN 'a' THEN 'b' ELSE 'a' END"
    )

    run = loads.fail(pipeline)

    assert run.sqlstate == "23505"
    assert "“odd”" in run.error_message
    assert "make the constraint DEFERRABLE" in run.error_message
    loads.target.execute(
        "ALTER TABLE analytics.t DROP CONSTRAINT odd, ADD UNIQUE (code) DEFERRABLE"
    )
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 2
