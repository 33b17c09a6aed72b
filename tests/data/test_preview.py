"""Looking at a definition before it is stored: rows, plan and key as PostgreSQL tells them."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.utils import translation

from runner.connections import READER
from runner.plan import Address, Method
from runner.preflight import Preview, Rejected, preview, tell, validate
from runner.preflight.costs import Plan, Weight, WholeTable
from runner.preflight.keys import Reading
from tests.data.loading import definition

Look = Callable[..., Preview]
Session = psycopg.Connection[Any]

FILMS = "SELECT id, title, modified FROM films"
INCREMENTAL = {"mode": "incremental", "incremental_key": "modified", "key_columns": ["id"]}
NULLS = {"mode": "incremental", "incremental_key": "m", "key_columns": ["id"]}


@pytest.fixture
def look(source_address: Address, target_address: Address) -> Look:
    """Look at a definition: look("SELECT …", rows=5, mode="incremental", …)."""

    def ask(query: str, *, rows: int = 20, seconds: float = 10.0, **values: Any) -> Preview:
        given = {"source": source_address, "target": target_address, **values}
        return preview(definition(query, **given), rows=rows, seconds=seconds)

    return ask


@pytest.fixture(autouse=True)
def schema(target: Session) -> Session:
    """The target with the schema that a table can be created in."""
    target.execute("CREATE SCHEMA analytics")
    return target


@pytest.fixture
def films(source: Session) -> Session:
    """A source with 20,000 films and an index on (modified, id)."""
    source.execute(
        "CREATE TABLE films (id int PRIMARY KEY, title text, language int, modified timestamptz);"
        "INSERT INTO films SELECT n, 'Film ' || n, n % 5, '2024-01-01Z'::timestamptz"
        " + n * interval '1 s' FROM generate_series(1, 20000) n;"
        "CREATE INDEX ON films (modified, id);"
        "CREATE TABLE languages (id int PRIMARY KEY, name text);"
        "INSERT INTO languages SELECT n, 'Language ' || n FROM generate_series(0, 4) n;"
        "CREATE TABLE actors (film int, name text, PRIMARY KEY (film, name));"
        "INSERT INTO actors SELECT n, a FROM generate_series(1, 20000) n, unnest('{a,b}'::text[]) a"
    )
    source.execute("ANALYZE films, languages, actors")
    return source


def tables_of(session: Session) -> list[str]:
    rows = session.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1"
    )
    return [name for (name,) in rows]


# The rows


def test_the_first_rows_are_text_made_by_postgresql(look: Look) -> None:
    found = look("SELECT 1.50::numeric AS n, true AS b, '{1,2}'::int[] AS a, '\\x00ff'::bytea AS x")

    assert found.rows == (("1.50", "true", "{1,2}", "\\x00ff"),)
    assert found.rows_trouble is None


def test_null_is_told_from_the_empty_string(look: Look) -> None:
    assert look("SELECT NULL::text AS a, '' AS b, 'NULL' AS c").rows == ((None, "", "NULL"),)


def test_long_values_are_cut_and_others_are_not(look: Look) -> None:
    found = look(
        "SELECT repeat('я', 200) AS fits, repeat('я', 201) AS long, repeat('x', 9000000) a"
    )

    assert found.rows == (("я" * 200, "я" * 200 + "…", "x" * 200 + "…"),)


def test_values_are_cut_shorter_where_there_are_very_many(look: Look) -> None:
    wide = ", ".join(f"repeat('x', 500) AS c{n}" for n in range(500))

    found = look(f"SELECT {wide} FROM generate_series(1, 1000)", rows=100)

    assert found.rows is not None
    assert len(found.rows) == 100
    assert sum(len(value or "") for row in found.rows for value in row) <= 1_100_000


def test_as_many_rows_are_read_as_are_asked_for(look: Look, films: Session) -> None:
    assert [len(look(FILMS, rows=n).rows or ()) for n in (1, 20, 100)] == [1, 20, 100]


def test_a_query_without_rows_is_said_to_have_none(look: Look) -> None:
    found = look("SELECT 1 AS id WHERE false")

    assert found.rows == ()
    assert tell(found).rows == "The query returns no rows at the moment."


def test_no_rows_are_read_where_none_are_asked_for(look: Look) -> None:
    found = look("SELECT pg_sleep(60)::text AS a", rows=0)

    assert (found.rows, found.rows_trouble, tell(found).rows) == (None, None, "")


def test_a_query_that_takes_too_long_is_shown_without_rows(look: Look) -> None:
    began = time.monotonic()
    found = look("SELECT 1 AS id, pg_sleep(60)::text AS a", seconds=0.3)

    assert time.monotonic() - began < 2
    assert found.rows is None
    assert "took longer than 0.3 s" in tell(found).rows
    assert [column.name for column in found.columns] == ["id", "a"]
    assert found.plan is not None


def test_a_query_that_lifts_its_limit_is_ended_all_the_same(
    look: Look, source: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.preflight.looking._GRACE_SECONDS", 0.2)
    source.execute(
        "CREATE FUNCTION endless() RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('statement_timeout', '0', false);"
        " LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;"
        " END $$"
    )

    found = look("SELECT endless() AS a", seconds=0.2)

    assert found.rows is None
    assert "took longer" in tell(found).rows
    source.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        [READER],
    )


def test_an_error_of_a_row_is_a_sentence_without_the_rows_values(look: Look) -> None:
    found = look("SELECT 1 / (n - 3) AS a, 'secret ' || n AS b FROM generate_series(1, 9) n")

    assert found.rows is None
    assert "division by zero" in tell(found).rows
    cast = look("SELECT ('secret' || n)::int AS a FROM generate_series(1, 9) n")
    assert "could not compute" in tell(cast).rows
    assert "secret" not in tell(cast).rows


def test_a_query_that_ends_its_own_session_spoils_the_rows_only(look: Look) -> None:
    found = look(
        "SELECT pg_terminate_backend(pg_backend_pid()) AS gone, n FROM generate_series(1,3) n"
    )

    assert found.rows is None
    assert tell(found).rows
    assert found.plan is not None


def test_markup_and_control_characters_are_values_like_any_other(look: Look) -> None:
    assert look("SELECT E'<b>&\"\\'\\t\\u0001' AS a").rows == (("<b>&\"'\t\x01",),)


# Nothing is written, and nothing but one plain SELECT is run


@pytest.mark.parametrize(
    "query",
    [
        "select 1) as q; drop table victims; --",
        "select 1 as id; drop table victims",
        "SELECT 1 AS id) AS q UNION SELECT 2 FROM (SELECT 2",
        "SELECT 1 AS id) AS q LIMIT 1; DELETE FROM victims; SELECT * FROM (SELECT 1",
        "WITH gone AS (DELETE FROM victims RETURNING id) SELECT id FROM gone",
        "DELETE FROM victims RETURNING id",
        "EXPLAIN ANALYZE DELETE FROM victims",
        "SELECT id FROM victims FOR UPDATE",
        "SELECT $1 AS id",
        "COMMIT; BEGIN READ WRITE; DELETE FROM victims",
        "DROP TABLE victims",
        "",
    ],
)
@pytest.mark.parametrize("act", ["preview", "validate"])
def test_hostile_queries_are_refused_as_by_the_preflight(
    source: Session, source_address: Address, target_address: Address, query: str, act: str
) -> None:
    source.execute("CREATE TABLE victims AS SELECT 1 AS id")
    asked = definition(query, source=source_address, target=target_address)

    with pytest.raises(Rejected) as refusal:
        {"preview": preview, "validate": validate}[act](asked)

    assert refusal.value.code == "invalid"
    assert list(refusal.value.errors) == ["source_query"]
    assert source.execute("SELECT count(*) FROM victims").fetchone() == (1,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT set_config('transaction_read_only', 'off', false) AS a, wipe() AS b",
        "SELECT set_config('default_transaction_read_only', 'off', false) AS a, wipe() AS b",
        "SELECT wipe() AS b",
        "SELECT nextval('counter') AS n",
    ],
)
def test_a_query_that_tries_to_write_as_it_runs_writes_nothing(
    look: Look, source: Session, query: str
) -> None:
    source.execute(
        "CREATE TABLE victims AS SELECT 1 AS id; CREATE SEQUENCE counter;"
        "CREATE FUNCTION wipe() RETURNS int LANGUAGE plpgsql VOLATILE AS"
        " $$ BEGIN DELETE FROM victims; RETURN 1; END $$"
    )

    found = look(query)

    assert found.rows is None
    assert "read-" in tell(found).rows
    assert source.execute("SELECT count(*) FROM victims").fetchone() == (1,)
    assert source.execute("SELECT is_called FROM counter").fetchone() == (False,)


def test_what_a_query_sets_ends_with_it(look: Look) -> None:
    incremental = {**NULLS, "incremental_key": "id", "key_columns": ["id"]}
    query = (
        "SELECT 1 AS id, set_config('search_path', 'nowhere', false) AS a,"
        " set_config('default_transaction_read_only', 'off', false) AS b"
    )

    found = look(query, **incremental)

    assert found.key is not None
    assert found.key.placeless is False
    assert found.rows == (("1", "nowhere", "off"),)


def test_nothing_is_left_behind_on_either_server(
    look: Look, films: Session, target: Session
) -> None:
    before = tables_of(films), tables_of(target)

    look(FILMS, **INCREMENTAL)
    look(FILMS, target_table="analytics.other")

    assert (tables_of(films), tables_of(target)) == before
    assert target.execute("SELECT to_regnamespace('etl')").fetchone() == (None,)


def test_two_columns_of_one_name_are_refused(look: Look) -> None:
    with pytest.raises(Rejected) as refusal:
        look("SELECT 1 AS a, 2 AS a")

    assert "Two output columns are called “a”" in refusal.value.errors["source_query"][0]


def test_a_server_that_is_away_is_named(source_address: Address, target_address: Address) -> None:
    away = definition("SELECT 1 AS id", source=source_address, target=target_address)
    for side in ("source", "target"):
        there = replace(getattr(away, side), port=1)
        with pytest.raises(Rejected) as refusal:
            preview(replace(away, **{side: there}))
        assert refusal.value.code == f"{side}_unavailable"
        assert list(refusal.value.errors) == [f"{side}_connection"]


# Columns and target


def test_a_missing_table_is_shown_as_it_will_be_created(
    look: Look, films: Session, schema: Session
) -> None:
    schema.execute("DROP SCHEMA analytics")

    found = look(FILMS, key_columns=["id"])

    assert found.ddl == (
        'CREATE SCHEMA IF NOT EXISTS "analytics";\n\n'
        'CREATE TABLE "analytics"."t" (\n'
        '    "id" integer,\n'
        '    "title" text,\n'
        '    "modified" timestamp with time zone,\n'
        '    PRIMARY KEY ("id")\n'
        ");"
    )
    assert all(column.is_created for column in found.columns)
    assert found.findings.method is Method.SWAP
    assert tell(found).method_reasons == ("There is no table yet that anything could depend on.",)
    schema.execute(found.ddl)
    assert look(FILMS, key_columns=["id"]).ddl is None


def test_columns_are_shown_beside_those_of_the_table(
    look: Look, films: Session, schema: Session
) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (title varchar(300), id bigint PRIMARY KEY, note text)"
    )

    found = look("SELECT id, title FROM films")

    assert [(c.name, c.type_name, c.becomes, c.as_bytes) for c in found.columns] == [
        ("id", "integer", "bigint", False),
        ("title", "text", "character varying(300)", False),
    ]
    assert found.ddl is None
    assert not found.as_bytes
    assert found.unfilled == ("note",)
    assert "because of the types of “id”, “title”" in tell(found).transfer
    assert "does not fill: “note”" in tell(found).target[1]


def test_equal_types_pass_as_bytes(look: Look, films: Session, schema: Session) -> None:
    schema.execute("CREATE TABLE analytics.t (id int, title text, modified timestamptz)")

    found = look(FILMS)

    assert found.as_bytes
    assert tell(found).method_reasons[0].startswith("Nothing depends on the table")


def test_the_reasons_against_a_swap_are_told(look: Look, films: Session, schema: Session) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, title text, modified timestamptz);"
        "CREATE VIEW analytics.v AS SELECT * FROM analytics.t"
    )

    found = look(FILMS)

    assert found.findings.method is Method.MERGE
    assert tell(found).method_reasons == (
        "No swap, because rule _RETURN on view analytics.v depends on it.",
        "The key (id) tells which rows are the same.",
    )
    pinned = tell(look(FILMS, publish="replace"))
    assert pinned.method_reasons == ("It is what this pipeline is set to.",)


def test_a_replace_is_explained(look: Look, films: Session, schema: Session) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (id int, title text, modified timestamptz);"
        "CREATE VIEW analytics.v AS SELECT * FROM analytics.t"
    )

    assert "No key is known" in tell(look(FILMS)).method_reasons[-1]


# The plan


def test_big_tables_that_are_read_as_a_whole_are_named(look: Look, films: Session) -> None:
    found = look("SELECT f.id, l.name FROM films f JOIN languages l ON l.id = f.language")

    assert found.plan is not None
    assert found.plan.whole_tables == (WholeTable(name="public.films", rows=20000),)
    assert found.plan.rows == 20000
    assert found.plan.weight is Weight.LIGHT
    assert "It reads the whole of public.films, about 20,000 rows." in tell(found).plan


def test_the_words_of_a_plan_grow_with_its_cost() -> None:
    weights = [Plan(cost=cost, rows=1, size=1).weight for cost in (9e3, 1e4, 9e5, 1e6)]

    assert weights == [Weight.LIGHT, Weight.MODERATE, Weight.MODERATE, Weight.HEAVY]


def test_sorting_many_rows_is_told_and_sorting_few_is_not(look: Look, films: Session) -> None:
    many = "SELECT n FROM generate_series(1, 200000) n ORDER BY n DESC"

    told = [tell(look(query, rows=1)).plan for query in (many, f"{FILMS} ORDER BY title")]

    assert "It sorts about 200,000 rows." in told[0]
    assert not any("sorts about" in sentence for sentence in told[1])


def test_a_plan_is_made_without_running_the_query(look: Look) -> None:
    found = look("SELECT pg_sleep(60)::text AS a FROM generate_series(1, 1000000)", rows=0)

    assert found.plan is not None
    assert found.plan.rows == 1000000


# The incremental key


def test_an_index_that_gives_the_order_is_found(look: Look, films: Session) -> None:
    found = look(FILMS, **INCREMENTAL)

    assert found.key is not None
    assert found.key.reading is Reading.INDEX
    assert (found.key.placeless, found.key.unique) == (False, True)
    assert found.key.unique_index == "films_pkey"
    assert [fact.holds for fact in tell(found).key] == [True, True, True]
    assert found.findings.promise


def test_so_it_is_in_a_table_of_three_rows(look: Look, source: Session) -> None:
    source.execute(
        "CREATE TABLE few AS SELECT n AS id, now() AS modified FROM generate_series(1,3) n"
    )
    source.execute("CREATE INDEX ON few (modified)")

    found = look("SELECT id, modified FROM few", **INCREMENTAL)

    assert found.key is not None
    assert found.key.reading is Reading.INDEX


def test_without_an_index_everything_is_sorted_and_one_is_proposed(
    look: Look, films: Session
) -> None:
    films.execute("DROP INDEX films_modified_id_idx")

    found = look(FILMS, **INCREMENTAL)

    assert found.key is not None
    assert found.key.reading is Reading.EVERYTHING
    assert found.key.advice == 'CREATE INDEX CONCURRENTLY ON "public"."films" ("modified", "id");'
    films.execute(found.key.advice)
    again = look(FILMS, **INCREMENTAL)
    assert again.key is not None
    assert (again.key.reading, again.key.advice) == (Reading.INDEX, "")


@pytest.mark.parametrize(
    ("query", "reading"),
    [
        (
            "SELECT f.id, l.name, f.modified FROM films f JOIN languages l ON l.id = language",
            "INDEX",
        ),
        ("SELECT language AS id, max(modified) AS modified FROM films GROUP BY 1", "EVERYTHING"),
        ("SELECT id, modified + interval '1 h' AS modified FROM films", "EVERYTHING"),
        (
            "SELECT DISTINCT ON (modified, id) id, modified FROM films ORDER BY modified, id",
            "INDEX",
        ),
        (
            "SELECT id, modified, rank() OVER (ORDER BY modified, id) AS n FROM films",
            "WHOLE_INDEX",
        ),
        ("SELECT id, modified, generate_series(1, 2) AS n FROM films", "SORT"),
        ("SELECT 1 AS id, now() AS modified", "NOTHING"),
    ],
)
def test_the_planner_is_asked_of_the_query_as_it_is(
    look: Look, films: Session, query: str, reading: str
) -> None:
    found = look(query, **INCREMENTAL)

    assert found.key is not None
    assert found.key.reading is Reading[reading]


@pytest.mark.parametrize(
    "kind",
    [
        *("smallint", "int", "bigint", "numeric", "numeric(9,2)", "real", "double precision"),
        *("date", "timestamp", "timestamp(0)", "timestamptz(3)", "text", "varchar(20)", "char(9)"),
        *("uuid", "xid8", "inet", "time", "interval"),
    ],
)
def test_keys_of_every_type_can_be_asked_about(look: Look, source: Session, kind: str) -> None:
    source.execute(f"CREATE TABLE t (id {kind} NOT NULL, m {kind}); CREATE INDEX ON t (m, id)")

    found = look("SELECT id, m FROM t", **NULLS)

    assert found.key is not None
    assert found.key.reading is Reading.INDEX
    source.execute("DROP INDEX t_m_id_idx")
    found = look("SELECT id, m FROM t", **NULLS)
    assert found.key is not None
    assert found.key.reading is Reading.EVERYTHING


@pytest.mark.parametrize("value", ["NULL", "'infinity'"])
def test_rows_without_a_place_are_found_and_the_policy_is_told(
    look: Look, films: Session, value: str
) -> None:
    films.execute(f"UPDATE films SET modified = {value} WHERE id = 7")
    words = {"fail": "stops at them", "include": "moves them again", "exclude": "left out"}

    for policy, said in words.items():
        found = look(FILMS, **INCREMENTAL, null_policy=policy)
        assert found.key is not None
        assert found.key.placeless is True
        assert said in tell(found).key[1].sentence


def test_a_search_for_null_that_takes_too_long_is_unknown(
    look: Look, films: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.preflight.keys.SECONDS_FOR_NULLS", 0.1)

    slow = look(
        "SELECT id, CASE WHEN pg_sleep(0.01) IS NOT NULL THEN modified END AS modified FROM films",
        rows=1,
        **INCREMENTAL,
    )
    assert slow.key is not None
    assert slow.key.placeless is None
    assert tell(slow).key[1].holds is None


@pytest.mark.parametrize(
    ("query", "unique"),
    [
        (FILMS, True),
        ("SELECT f.id, l.name, f.modified FROM films f JOIN languages l ON l.id = language", True),
        ("SELECT id, greatest(modified, now()) AS modified FROM films", True),
        (
            "SELECT id, modified FROM films f WHERE EXISTS (SELECT FROM actors WHERE film = f.id)",
            True,
        ),
        ("SELECT f.id, f.modified FROM films f JOIN actors a ON a.film = f.id", None),
        ("SELECT id, modified, generate_series(1, 2) AS n FROM films", None),
        ("SELECT id, modified FROM films UNION ALL SELECT id, modified FROM films", None),
        ("SELECT b.id, b.modified FROM films a JOIN films b ON b.id = a.language", None),
        ("SELECT id, modified FROM films GROUP BY GROUPING SETS ((id, modified), (id))", None),
        ("SELECT language AS id, modified FROM films", False),
        ("SELECT 1 AS id, now() AS modified", None),
    ],
)
def test_uniqueness_is_claimed_only_where_it_is_certain(
    look: Look, films: Session, query: str, unique: bool | None
) -> None:
    found = look(query, **INCREMENTAL)

    assert found.key is not None
    assert found.key.unique is unique
    assert tell(found).key[2].holds is unique


@pytest.mark.parametrize(
    "index",
    [
        "(id) WHERE language > 1",
        "(id, language)",
        "((id + 1))",
        "(title)",
    ],
)
def test_an_index_that_is_not_on_the_key_alone_promises_nothing(
    look: Look, films: Session, index: str
) -> None:
    films.execute(
        f"ALTER TABLE films DROP CONSTRAINT films_pkey; CREATE UNIQUE INDEX ON films {index}"
    )

    found = look(FILMS, **INCREMENTAL)

    assert found.key is not None
    assert found.key.unique is False


def test_a_covering_unique_index_counts_by_its_key(look: Look, films: Session) -> None:
    films.execute("ALTER TABLE films DROP CONSTRAINT films_pkey")
    films.execute("CREATE UNIQUE INDEX good ON films (id) INCLUDE (title)")

    found = look(FILMS, **INCREMENTAL)

    assert found.key is not None
    assert found.key.unique_index == "good"


def test_partitions_are_one_table(look: Look, source: Session) -> None:
    source.execute(
        "CREATE TABLE e (id int, modified timestamptz, PRIMARY KEY (modified, id))"
        " PARTITION BY RANGE (modified);"
        "CREATE TABLE e1 PARTITION OF e FOR VALUES FROM ('2000-01-01Z') TO ('2020-01-01Z');"
        "CREATE TABLE e2 PARTITION OF e FOR VALUES FROM ('2020-01-01Z') TO ('2040-01-01Z')"
    )

    found = look("SELECT id, modified FROM e", **INCREMENTAL)

    assert found.key is not None
    assert (found.key.reading, found.key.unique) == (Reading.INDEX, True)
    source.execute("ALTER TABLE e DROP CONSTRAINT e_pkey")
    without = look("SELECT id, modified FROM e", **INCREMENTAL).key
    assert without is not None
    assert (without.reading, without.unique) == (Reading.EVERYTHING, False)
    source.execute(without.advice)


def test_a_full_load_has_no_key_to_ask_about(look: Look, films: Session) -> None:
    assert look(FILMS, key_columns=["id"]).key is None


# Validate


def test_validate_runs_nothing_and_asks_no_planner(
    source_address: Address, target_address: Address
) -> None:
    query = "SELECT 1 AS id, now() AS modified, pg_sleep(60)::text AS z"
    asked = definition(query, source=source_address, target=target_address, **INCREMENTAL)

    found = validate(asked)

    assert (found.rows, found.plan, found.key) == (None, None, None)
    assert [column.name for column in found.columns] == ["id", "modified", "z"]
    assert found.findings.promise
    assert "PRIMARY KEY" in (found.ddl or "")
    with translation.override("en"):
        assert tell(found).method == "Each batch is merged into the table by its key (id)."
