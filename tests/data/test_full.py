"""A full load: the table becomes the query's result at once, or nothing changes."""

from typing import Any

import pytest

from pipelines.models import Pipeline
from runner import moving, publish
from tests import cluster
from tests.data.loading import Loads
from tests.data.people import QUERY, change_source

# A table that is missing


def test_a_missing_table_and_schema_are_created_with_the_key(people: Loads) -> None:
    people.target.execute("DROP SCHEMA analytics")
    pipeline = people.define(QUERY, key_columns=["id"])

    run = people.succeed(pipeline)

    assert people.assert_equal(QUERY) == 10
    assert (run.rows_read, run.rows_written, run.publish) == (10, 10, "swap")
    assert people.rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'analytics.t'::regclass AND contype = 'p'"
    ) == [("t_pkey", "PRIMARY KEY (id)")]
    assert people.leftovers() == []


@pytest.mark.parametrize("key", [[], ["id"], ["id", "name"]])
def test_a_new_table_keeps_no_name_of_its_staging_table(people: Loads, key: list[str]) -> None:
    people.succeed(people.define(QUERY, key_columns=key))
    assert (
        people.rows(
            "SELECT relname::text FROM pg_class WHERE relname LIKE '%stg%'"
            " UNION ALL SELECT conname FROM pg_constraint WHERE conname LIKE '%stg%'"
            " UNION ALL SELECT typname FROM pg_type WHERE typname LIKE '%stg%'"
        )
        == []
    )


def test_a_new_table_is_called_as_postgresql_itself_would_call_its_parts(people: Loads) -> None:
    long = "ж" * 31
    for name in ("t", long):
        people.target.execute(
            f'CREATE SCHEMA IF NOT EXISTS own; CREATE TABLE own."{name}"'
            f' (id int, "{long}" int, PRIMARY KEY (id, "{long}"))'
        )
        people.succeed(
            people.define(
                f'SELECT id, id AS "{long}" FROM people',
                target_table=f"analytics.{name}",
                key_columns=["id", long],
            )
        )
    names = (
        "SELECT conrelid::regclass::oid::int * 0, c.relname::text, conname::text"
        " FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid"
        " WHERE connamespace = '{}'::regnamespace ORDER BY 2, 3"
    )
    assert people.rows(names.format("analytics")) == people.rows(names.format("own"))


def test_a_new_table_steps_aside_for_names_that_are_taken(people: Loads) -> None:
    people.target.execute(
        "CREATE TABLE analytics.other (id int); CREATE INDEX t_pkey ON analytics.other (id)"
    )
    people.succeed(people.define(QUERY, key_columns=["id"]))
    assert people.assert_equal(QUERY) == 10
    assert people.rows(
        "SELECT conname FROM pg_constraint"
        " WHERE conrelid = 'analytics.t'::regclass AND contype = 'p'"
    ) == [("t_pkey1",)]


def test_a_new_table_gets_the_rights_that_its_schema_gives(people: Loads) -> None:
    reader = cluster.own("reader")
    with cluster.superuser() as superuser:
        superuser.execute(f"CREATE ROLE {reader}")
        try:
            people.target.execute(
                "ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES"
                f" TO {reader}, PUBLIC"
            )
            people.succeed(people.define(QUERY))
            people.succeed(people.define(QUERY))
            assert people.rows(
                f"SELECT has_table_privilege('{reader}', 'analytics.t', 'SELECT'),"
                " (SELECT count(*)::int FROM pg_class, aclexplode(relacl) a"
                " WHERE oid = 'analytics.t'::regclass AND grantee = 0)"
            ) == [(True, 1)]
        finally:
            people.target.execute("DROP SCHEMA analytics CASCADE")
            superuser.execute(f"DROP ROLE {reader}")


def test_a_created_table_is_swapped_by_the_next_run(people: Loads) -> None:
    pipeline = people.define(QUERY, key_columns=["id"])
    people.succeed(pipeline)
    change_source(people)
    run = people.succeed(pipeline)
    assert run.publish == "swap"
    assert people.assert_equal(QUERY) == 10


def test_an_empty_query_makes_an_empty_table(people: Loads) -> None:
    people.succeed(people.define(f"{QUERY} WHERE false", key_columns=["id"]))
    assert people.value("SELECT count(*) FROM analytics.t") == 0


# Contents, by each method


@pytest.mark.parametrize(
    ("method", "written"), [("swap", 10), ("merge", 14), ("replace", 20), ("auto", 10)]
)
def test_the_table_becomes_the_querys_result(table: Loads, method: str, written: int) -> None:
    pipeline = table.define(QUERY, publish=method, batch_size=3)

    run = table.succeed(pipeline)

    assert table.assert_equal(QUERY) == 10
    assert run.publish == (method if method != "auto" else "swap")
    assert (run.rows_read, run.rows_written, run.batches) == (10, written, 4)
    assert table.leftovers() == []


@pytest.mark.parametrize("method", ["swap", "merge", "replace"])
def test_the_table_follows_the_source_from_run_to_run(table: Loads, method: str) -> None:
    pipeline = table.define(QUERY, publish=method)
    table.succeed(pipeline)
    change_source(table)
    run = table.succeed(pipeline)
    assert table.assert_equal(QUERY) == 10
    assert run.rows_written == {"swap": 10, "merge": 3, "replace": 20}[method]


def test_a_merge_of_what_is_there_already_writes_nothing(table: Loads) -> None:
    pipeline = table.define(QUERY, publish="merge")
    table.succeed(pipeline)
    versions = table.rows("SELECT id, xmin::text, ctid::text FROM analytics.t ORDER BY 1")
    assert table.succeed(pipeline).rows_written == 0
    assert table.rows("SELECT id, xmin::text, ctid::text FROM analytics.t ORDER BY 1") == versions


def test_a_merge_sees_differences_that_equality_does_not(loads: Loads) -> None:
    loads.source.execute(
        "CREATE TABLE s (id numeric, n numeric, j json, p point, t text, f float8, i interval)"
    )
    loads.source.execute(
        "INSERT INTO s VALUES (1.0, 1.00, '{\"a\":  1}', '(1,2)', NULL, '-0', '1 mon'),"
        " (2, NULL, NULL, NULL, '', 'NaN', '30 days')"
    )
    loads.target.execute(
        "CREATE TABLE analytics.t (id numeric PRIMARY KEY, n numeric, j json, p point, t text,"
        " f float8, i interval)"
    )
    loads.target.execute(
        "INSERT INTO analytics.t VALUES (1, 1.0, '{\"a\": 1}', '(1,2)', '', '0', '30 days'),"
        " (2, 0, NULL, NULL, NULL, 'NaN', '1 mon')"
    )
    pipeline = loads.define("TABLE s", publish="merge")
    assert loads.succeed(pipeline).rows_written == 2
    assert loads.assert_equal("TABLE s") == 2
    assert loads.succeed(pipeline).rows_written == 0


def test_rows_that_are_equal_are_kept_as_often_as_the_query_gives_them(loads: Loads) -> None:
    query = "SELECT 'same'::text AS name FROM generate_series(1, 5)"
    loads.target.execute("CREATE TABLE analytics.t (name text)")
    for method in ("swap", "replace"):
        loads.succeed(loads.define(query, publish=method))
        assert loads.assert_equal(query) == 5


def test_a_merge_finds_null_keys_where_the_table_allows_them(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.t (k int UNIQUE, v text)")
    loads.target.execute("INSERT INTO analytics.t VALUES (NULL, 'old'), (NULL, 'older'), (1, 'x')")
    query = "SELECT * FROM (VALUES (1, 'x'::text), (NULL, 'n')) v(k, v)"
    loads.succeed(loads.define(query, publish="merge", key_columns=["k"]))
    assert loads.assert_equal(query) == 2


def test_columns_that_the_query_leaves_out_get_their_defaults(table: Loads) -> None:
    table.target.execute("ALTER TABLE analytics.t ADD note text NOT NULL DEFAULT 'none'")
    for method in ("swap", "merge", "replace"):
        table.succeed(table.define(QUERY, publish=method))
        table.assert_equal(QUERY)
        assert table.rows("SELECT DISTINCT note FROM analytics.t") == [("none",)]


def test_generated_columns_are_computed(table: Loads) -> None:
    table.target.execute(
        "ALTER TABLE analytics.t ADD shout text GENERATED ALWAYS AS (upper(name)) STORED"
    )
    for method in ("swap", "merge", "replace"):
        table.succeed(table.define(QUERY, publish=method))
        table.assert_equal(QUERY)
        assert table.value("SELECT bool_and(shout = upper(name)) FROM analytics.t")


# What a key that is given twice says


@pytest.mark.parametrize("method", ["swap", "merge"])
def test_a_key_given_twice_is_named_without_its_value(table: Loads, method: str) -> None:
    before = table.rows("TABLE analytics.t")
    query = "SELECT 7777 AS id, name FROM people"

    run = table.fail(table.define(query, publish=method))

    assert run.sqlstate == "23505"
    assert "(id)" in run.error_message
    assert "7777" not in run.error_message
    assert "stg_" not in run.error_message
    assert table.rows("TABLE analytics.t") == before


def test_a_key_given_twice_is_named_for_a_new_table_too(people: Loads) -> None:
    run = people.fail(people.define("SELECT 7777 AS id, name FROM people", key_columns=["id"]))
    assert "(id)" in run.error_message
    assert "stg_" not in run.error_message
    assert people.value("SELECT to_regclass('analytics.t')") is None


# Guards


@pytest.mark.parametrize("method", ["swap", "merge", "replace"])
def test_a_query_without_rows_does_not_empty_a_table(table: Loads, method: str) -> None:
    before = table.rows("TABLE analytics.t")
    pipeline = table.define(f"{QUERY} WHERE false", publish=method)

    run = table.fail(pipeline)

    assert run.error_class == "EmptySource"
    assert table.rows("TABLE analytics.t") == before
    Pipeline.objects.filter(pk=pipeline.pk).update(allow_empty=True)
    pipeline.refresh_from_db()
    table.succeed(pipeline)
    assert table.rows("TABLE analytics.t") == []
    table.succeed(pipeline)
    assert table.leftovers() == []


@pytest.mark.parametrize("method", ["swap", "merge", "replace"])
def test_a_result_that_shrinks_more_than_allowed_is_refused(table: Loads, method: str) -> None:
    before = table.rows("TABLE analytics.t")
    kept = len(before) * 3 // 4
    query = f"SELECT * FROM ({QUERY}) AS q ORDER BY id LIMIT {kept}"
    pipeline = table.define(query, publish=method, max_shrink_percent=10)

    run = table.fail(pipeline)

    assert run.error_class == "ShrinkRefused"
    assert f"{kept:,} rows" in (run.error_message or "")
    assert table.rows("TABLE analytics.t") == before
    Pipeline.objects.filter(pk=pipeline.pk).update(max_shrink_percent=30)
    pipeline.refresh_from_db()
    table.succeed(pipeline)
    assert len(table.rows("TABLE analytics.t")) == kept


def test_a_row_that_does_not_fit_changes_nothing(table: Loads) -> None:
    before = table.rows("TABLE analytics.t")
    table.target.execute("ALTER TABLE analytics.t ADD CHECK (name <> 'person 7')")
    for method in ("swap", "merge", "replace"):
        run = table.fail(table.define(QUERY, publish=method))
        assert run.sqlstate == "23514"
        assert "person 7" not in run.error_message
        assert table.rows("TABLE analytics.t") == before


@pytest.mark.parametrize("method", ["swap", "merge", "replace"])
def test_a_staging_table_that_lost_rows_is_not_published(
    table: Loads, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def lose_a_row(session: Any, fence: Any, staged: Any) -> int:
        session.execute(f"DELETE FROM etl.{staged.staging.name} WHERE id = 3")
        return publish.publish_staged(session, fence, staged)

    monkeypatch.setattr(moving, "publish_staged", lose_a_row)
    run = table.put_off(table.define(QUERY, publish=method))
    assert run.error_class == "StagingLost"
    assert table.rows("SELECT DISTINCT name FROM analytics.t") == [("old",)]


@pytest.mark.parametrize("method", ["merge", "replace"])
def test_a_trigger_that_swallows_rows_changes_nothing(table: Loads, method: str) -> None:
    table.target.execute(
        "CREATE FUNCTION analytics.swallow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF new.id = 2 THEN RETURN NULL; END IF; RETURN new; END'"
    )
    table.target.execute(
        "CREATE TRIGGER s BEFORE INSERT ON analytics.t FOR EACH ROW"
        " EXECUTE FUNCTION analytics.swallow()"
    )
    before = table.rows("TABLE analytics.t")
    assert table.fail(table.define(QUERY, publish=method)).error_class == "ResultDiffers"
    assert table.rows("TABLE analytics.t") == before
