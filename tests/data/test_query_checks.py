"""What PostgreSQL itself says of a definition before anything is stored or any row moves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.db.migrations.recorder import MigrationRecorder

from pipelines.models import Installation
from runner.plan import Address, Method
from runner.preflight import Findings, Rejected, inspect
from tests import cluster
from tests.data.loading import definition

Check = Callable[..., Findings]
Refused = Callable[..., dict[str, list[str]]]
Session = psycopg.Connection[Any]

GOOD = "SELECT 1 AS id, 'x'::text AS name, now() AS modified"
INCREMENTAL = {"mode": "incremental", "incremental_key": "modified"}


@pytest.fixture
def schema(target: Session) -> Session:
    """The target with the schema that a table can be created in."""
    target.execute("CREATE SCHEMA analytics")
    return target


# The query alone


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   \n\t ",
        ";",
        ";;\n;",
        "-- nothing",
        "/* nothing */",
        "/* a */ -- b\n ; /* c\n */",
        "/* outer /* inner */ still a comment */",
    ],
)
def test_a_query_without_a_statement_is_refused(refused: Refused, query: str) -> None:
    assert list(refused(query)) == ["source_query"]


@pytest.mark.parametrize("query", ["-- nothing", ";", "/* nothing */"])
def test_a_query_of_comments_only_is_called_empty(refused: Refused, query: str) -> None:
    assert "empty" in refused(query)["source_query"][0]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a; SELECT 2 AS a",
        "SELECT 1 AS a;;SELECT 2 AS a;",
        "SELECT 1 AS a; DROP TABLE victims",
        "COMMIT; SELECT 1 AS a",
        "SELECT 1 AS a; -- and\n SELECT 2 AS b",
    ],
)
def test_two_statements_are_refused_as_such(refused: Refused, query: str) -> None:
    assert "one statement" in refused(query)["source_query"][0]


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO victims VALUES (1)",
        "INSERT INTO victims VALUES (1) RETURNING id",
        "UPDATE victims SET id = 2 RETURNING id",
        "DELETE FROM victims RETURNING id",
        "MERGE INTO victims v USING (SELECT 1 AS id) s ON v.id = s.id WHEN MATCHED THEN DELETE",
        "TRUNCATE victims",
        "DROP TABLE victims",
        "CREATE TABLE more (id int)",
        "CREATE TABLE more AS SELECT 1 AS id",
        "SELECT 1 AS id INTO more",
        "DO $$BEGIN DELETE FROM victims; END$$",
        "SET work_mem = '1GB'",
        "RESET ALL",
        "SHOW work_mem",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM victims",
        "COPY victims TO STDOUT",
        "COPY (SELECT 1) TO STDOUT",
        "COPY victims FROM STDIN",
        "CALL nothing()",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH ALL FROM c",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "LISTEN bell",
        "NOTIFY bell",
        "LOCK TABLE victims",
        "VACUUM victims",
        "GRANT SELECT ON victims TO PUBLIC",
        "WITH gone AS (DELETE FROM victims RETURNING id) SELECT id FROM gone",
        "WITH new AS (INSERT INTO victims VALUES (7) RETURNING id) SELECT 1 AS id",
        "WITH one AS (SELECT 1 AS id) DELETE FROM victims RETURNING id",
        "SELECT * FROM (DELETE FROM victims RETURNING id) d",
        "SELECT id FROM victims FOR UPDATE",
        "SELECT id FROM victims FOR NO KEY UPDATE",
        "SELECT id FROM victims FOR SHARE",
        "SELECT id FROM victims FOR KEY SHARE SKIP LOCKED",
        "SELECT id FROM (SELECT id FROM victims FOR UPDATE) q",
        "WITH locked AS (SELECT id FROM victims FOR SHARE) SELECT id FROM locked",
        "SELECT $1 AS id",
        "SELECT id FROM victims WHERE id = $1",
        "SELECT id FROM victims WHERE id = $1::int AND id < $2",
        "SELECT 1 AS id)",
        "(SELECT 1 AS id",
        "SELECT (1 AS id",
        "SELECT 1 AS id) TO STDOUT; COMMIT; BEGIN READ WRITE; DELETE FROM victims; COMMIT;"
        " COPY (SELECT 2",
        "SELECT 1) AS q UNION SELECT 2 FROM (SELECT 2",
        "SELECT id FROM victims) AS q; DELETE FROM victims; SELECT * FROM (SELECT 1",
        "SELECT 1) q, LATERAL (SELECT 2",
        "SELECT 1 AS id) AS q --",
        "SELECT 1 AS id /* never closed",
        "SELECT 'never closed AS id",
        "SELECT $tag$ never closed AS id",
        'SELECT 1 AS "never closed',
        "SELECT 1 AS id; SELECT",
        "SELECT 1 AS id \\gexec",
    ],
)
def test_what_is_not_one_plain_select_is_refused_and_runs_nothing(
    refused: Refused, source: Session, query: str
) -> None:
    source.execute("CREATE TABLE victims AS SELECT 1 AS id")

    errors = refused(query)

    assert list(errors) == ["source_query"]
    assert all(sentence.endswith(".") for sentence in errors["source_query"])
    assert source.execute("SELECT id FROM victims").fetchall() == [(1,)]
    assert source.execute("SELECT to_regclass('more')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("WITH gone AS (DELETE FROM victims RETURNING id) SELECT id FROM gone", "changes data"),
        ("DELETE FROM victims RETURNING id", "SELECT"),
        ("SELECT id FROM victims FOR UPDATE", "FOR UPDATE"),
        ("WITH l AS (SELECT id FROM victims FOR SHARE) SELECT id FROM l", "FOR UPDATE"),
        ("SELECT 1 AS id FOR UPDATE", "FOR UPDATE"),
        ("SELECT 1 AS id for/**/no key UPDATE", "FOR UPDATE"),
        ("SELECT 1 AS id LIMIT 1. FOR UPDATE", "FOR UPDATE"),
        ("SELECT 1 AS id -- not the end\rFOR UPDATE", "FOR UPDATE"),
        ("SELECT id FROM victims WHERE id = $1", "parameter"),
        ("SELECT $1 AS id", "parameter"),
        ("SELECT id, FROM victims", "syntax error"),
        ("SELECT nobody FROM victims", "nobody"),
        ("SELECT id FROM nowhere", "nowhere"),
        ("SELECT missing(id) AS id FROM victims", "missing"),
        ("SELECT FROM victims", "no columns"),
    ],
)
def test_the_sentence_names_what_is_wrong(
    refused: Refused, source: Session, query: str, word: str
) -> None:
    source.execute("CREATE TABLE victims AS SELECT 1 AS id")
    assert word in refused(query)["source_query"][0]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("SELECT nobody", "(line 1, column 8)"),
        ("SELECT 1 AS a,\n  'ж'::text AS b,\n  nobody AS c", "(line 3, column 3)"),
        ("SELECT 1 AS a\nFROM\n\tnowhere", "(line 3, column 2)"),
        ("SELECT 'жжж' AS a, nobody", "(line 1, column 20)"),
        ("SELECT 1 AS a FORM x", "(line 1, column 15)"),
    ],
)
def test_a_mistake_is_shown_by_line_and_column(refused: Refused, query: str, place: str) -> None:
    assert place in refused(query)["source_query"][0]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id",
        "SELECT 1 AS id;",
        "SELECT 1 AS id ; \n ",
        "  \n SELECT 1 AS id",
        "SELECT 1 AS id -- the end",
        "SELECT 1 AS id /* the end */",
        "-- the beginning\nSELECT 1 AS id",
        "-- /* no comment\nSELECT 1 AS id\n-- */",
        "(SELECT 1 AS id)",
        "VALUES (1), (2)",
        "TABLE facts",
        "WITH one AS (SELECT 1 AS id) SELECT id FROM one",
        "WITH RECURSIVE r AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM r WHERE id < 3) TABLE r",
        "SELECT 1 AS id UNION ALL SELECT 2",
        "SELECT id FROM facts ORDER BY id LIMIT 1",
        "SELECT $$a;b$$ AS id",
        "SELECT $x$ ) AS q; -- $x$ AS id",
        "SELECT 'a;b--c/*' AS id",
        "SELECT '$1' AS id",
        "SELECT 1 AS id, '%s %% {} {0} {name}'::text AS odd",
        "SELECT E'\\\\' AS id",
        "SELECT NULL AS id",
        "SELECT substring('abc' FROM 1 FOR 2) AS id",
        'SELECT 1 AS for, 2 AS "FOR"',
        "SELECT 'for update' AS id -- FOR UPDATE",
        "SELECT odd.for AS id FROM (SELECT 1 AS for) odd",
        "SELECT 1 AS id /* one /* in another */ for us */",
        "SELECT E'a''\\' for' AS id",
        "SELECT odd.№for AS id FROM (SELECT 1 AS №for) odd",
        "SELECT $a$ $b$ for $a$ AS id",
    ],
)
def test_every_way_to_write_one_select_is_taken(
    check: Check, source: Session, schema: Session, query: str
) -> None:
    source.execute("CREATE TABLE facts (id int)")
    assert check(query).columns


def test_comments_after_the_last_semicolon_are_taken(check: Check, schema: Session) -> None:
    assert check("SELECT 1 AS id; -- the end").columns
    assert check("SELECT ';' AS id; /* the\nend */ -- of it\n").columns


def test_columns_without_names_and_names_given_twice_are_named(refused: Refused) -> None:
    sentences = refused("SELECT 1, 2 AS a, 3 AS a, 4 AS b, 5 AS b, 6 || '7'")["source_query"]
    assert "column 1" in sentences[0]
    assert "column 6" in sentences[1]
    assert "“a”" in sentences[2]
    assert "“b”" in sentences[3]
    assert len(sentences) == 4


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ROW(1, 2) AS pair",
        "SELECT ARRAY[ROW(1, 2)] AS pairs",
        "SELECT pg_sleep(0) AS nothing",
    ],
)
def test_a_column_that_no_table_can_have_is_refused(refused: Refused, query: str) -> None:
    assert "Cast it" in refused(query)["source_query"][0]


def test_nothing_is_executed(check: Check, source: Session, schema: Session) -> None:
    source.execute("CREATE SEQUENCE calls")
    source.execute(
        "CREATE FUNCTION called() RETURNS bigint LANGUAGE sql STABLE"
        " AS $$ SELECT nextval('calls') $$"
    )
    check("SELECT called() AS id, nextval('calls') AS n")
    check("SELECT id, now() AS modified FROM called() AS id", **INCREMENTAL, key_columns=["id"])
    assert source.execute("SELECT is_called FROM calls").fetchone() == (False,)


def test_the_types_and_names_of_the_columns_are_found(check: Check, schema: Session) -> None:
    found = check("SELECT 1::numeric(10,2) AS a, '{x}'::varchar(3)[] AS \"B c\"").columns
    assert [(c.name, c.type_name) for c in found] == [
        ("a", "numeric(10,2)"),
        ("B c", "character varying(3)[]"),
    ]


def test_a_value_that_breaks_when_planned_is_refused(refused: Refused) -> None:
    assert "division by zero" in refused("SELECT 1/0 AS id")["source_query"][0]


def test_characters_that_no_query_can_have_are_refused(refused: Refused) -> None:
    assert refused("SELECT 'a\0b' AS id")["source_query"]
    assert refused("SELECT 'a\ud800b' AS id")["source_query"]


def test_a_table_that_the_role_may_not_read_is_named(
    refused: Refused, source: Session, source_url: str
) -> None:
    with cluster.superuser(source.info.dbname) as superuser:
        superuser.execute("CREATE SCHEMA closed")
        superuser.execute("CREATE TABLE closed.secrets (id int)")
        superuser.execute("CREATE TABLE public.secrets (id int)")
    assert "permission denied" in refused("SELECT id FROM closed.secrets")["source_query"][0]
    assert "secrets" in refused("SELECT id FROM public.secrets")["source_query"][0]


# The metadata's own tables


def test_our_own_tables_are_no_target_under_any_name_of_the_server(
    refused: Refused, check: Check, schema: Session
) -> None:
    schema.execute("CREATE TABLE analytics.django_migrations (id int)")
    assert check(GOOD, target_table="analytics.facts").creates
    schema.execute("CREATE TABLE analytics.pipelines_installation (id int)")
    for table in ("analytics.facts", "analytics.pipelines_installation"):
        assert "holds our own tables" in refused(GOOD, target_table=table)["target_table"][0]


def test_those_tables_are_called_so() -> None:
    assert Installation._meta.db_table == "pipelines_installation"
    assert MigrationRecorder.Migration._meta.db_table == "django_migrations"


# Keys


def test_a_key_column_that_the_query_does_not_return_is_named(refused: Refused) -> None:
    errors = refused(GOOD, key_columns=["id", "number"])
    assert "“number”" in errors["key_columns"][0]


def test_an_incremental_key_that_the_query_does_not_return_is_named(refused: Refused) -> None:
    errors = refused(GOOD, mode="incremental", incremental_key="changed", key_columns=["id"])
    assert "“changed”" in errors["incremental_key"][0]


def test_an_incremental_key_for_later_must_be_right_in_full_mode_too(refused: Refused) -> None:
    errors = refused(GOOD, mode="full", incremental_key="changed")
    assert "“changed”" in errors["incremental_key"][0]


@pytest.mark.parametrize("value", ["'{}'::json", "point(1, 2)", "'5'::xid"])
def test_a_type_without_an_order_can_be_no_key(
    refused: Refused, schema: Session, value: str
) -> None:
    query = f"SELECT 1 AS id, {value} AS odd"
    errors = refused(query, mode="incremental", incremental_key="odd", key_columns=["id"])
    assert "a type without an order" in errors["incremental_key"][0]
    errors = refused(query, mode="incremental", incremental_key="id", key_columns=["odd"])
    assert "a type without an order" in errors["key_columns"][0]
    errors = refused(query, key_columns=["odd"])
    assert "a type without an order" in errors["key_columns"][0]


def test_names_of_keys_are_exact(refused: Refused) -> None:
    assert refused(GOOD, mode="incremental", incremental_key="Modified", key_columns=["id"])


def test_incremental_without_a_key_is_refused_when_the_table_is_missing(
    refused: Refused, schema: Session
) -> None:
    assert refused(GOOD, **INCREMENTAL)["key_columns"]


def test_incremental_without_a_key_is_refused_when_the_table_has_no_primary_key(
    refused: Refused, schema: Session
) -> None:
    schema.execute("CREATE TABLE analytics.t (id int UNIQUE, name text, modified timestamptz)")
    assert refused(GOOD, **INCREMENTAL)["key_columns"]


def test_incremental_takes_the_primary_key_of_the_table(check: Check, schema: Session) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (name text, id int, modified timestamptz, PRIMARY KEY (id, name))"
    )
    assert check(GOOD, **INCREMENTAL).key == ("id", "name")


@pytest.mark.parametrize(
    "index",
    [
        "CREATE INDEX ON analytics.t (id)",
        "CREATE UNIQUE INDEX ON analytics.t (id, name)",
        "CREATE UNIQUE INDEX ON analytics.t (id) WHERE name <> ''",
        "CREATE UNIQUE INDEX ON analytics.t ((id + 0))",
        "ALTER TABLE analytics.t ADD UNIQUE (id) DEFERRABLE",
    ],
)
def test_incremental_needs_a_plain_unique_index_on_exactly_the_key(
    refused: Refused, schema: Session, index: str
) -> None:
    schema.execute("CREATE TABLE analytics.t (id int, name text, modified timestamptz)")
    schema.execute(index)
    errors = refused(GOOD, **INCREMENTAL, key_columns=["id"])
    assert "unique index" in errors["key_columns"][0]


@pytest.mark.parametrize(
    "index",
    [
        "CREATE UNIQUE INDEX ON analytics.t (id)",
        "CREATE UNIQUE INDEX ON analytics.t (id) INCLUDE (name)",
        "CREATE UNIQUE INDEX ON analytics.t (id DESC)",
        "ALTER TABLE analytics.t ADD UNIQUE (id)",
        "ALTER TABLE analytics.t ADD EXCLUDE (name WITH =), ADD PRIMARY KEY (id)",
    ],
)
def test_incremental_takes_any_plain_unique_index(
    check: Check, schema: Session, index: str
) -> None:
    schema.execute("CREATE TABLE analytics.t (id int, name text, modified timestamptz)")
    schema.execute(index)
    assert check(GOOD, **INCREMENTAL, key_columns=["id"]).key == ("id",)


@pytest.mark.parametrize(
    ("source_type", "target_type"),
    [
        ("bigint", "int"),
        ("int", "smallint"),
        ("text", "varchar(10)"),
        ("varchar(20)", "varchar(10)"),
        ("varchar", "varchar(10)"),
        ("timestamptz", "timestamptz(0)"),
        ("timestamptz(3)", "timestamptz(0)"),
        ("timestamptz", "timestamp"),
        ("timestamp", "date"),
        ("numeric", "numeric(10,2)"),
        ("numeric(10,4)", "numeric(10,2)"),
        ("numeric(12,2)", "numeric(10,2)"),
        ("numeric", "bigint"),
        ("double precision", "real"),
        ("text", "uuid"),
        ("text", "integer"),
    ],
)
def test_a_key_column_too_narrow_for_the_source_is_refused(
    refused: Refused, schema: Session, source_type: str, target_type: str
) -> None:
    schema.execute(f"CREATE TABLE analytics.t (k {target_type} PRIMARY KEY)")
    errors = refused(f"SELECT NULL::{source_type} AS k", mode="incremental", incremental_key="k")
    assert "cannot hold" in errors["target_table"][0]
    assert "“k”" in errors["target_table"][0]


@pytest.mark.parametrize(
    ("source_type", "target_type"),
    [
        ("smallint", "int"),
        ("smallint", "bigint"),
        ("int", "bigint"),
        ("int", "numeric"),
        ("varchar(10)", "varchar(20)"),
        ("varchar(10)", "varchar"),
        ("varchar(10)", "text"),
        ("varchar", "text"),
        ("text", "varchar"),
        ("timestamptz(0)", "timestamptz(3)"),
        ("timestamptz(3)", "timestamptz"),
        ("timestamptz", "timestamptz(6)"),
        ("timestamp(0)", "timestamp"),
        ("numeric(10,2)", "numeric(10,2)"),
        ("numeric(10,2)", "numeric(12,4)"),
        ("numeric(10,2)", "numeric"),
    ],
)
def test_a_key_column_at_least_as_wide_as_the_source_is_taken(
    check: Check, schema: Session, source_type: str, target_type: str
) -> None:
    schema.execute(f"CREATE TABLE analytics.t (k {target_type} PRIMARY KEY)")
    assert check(f"SELECT NULL::{source_type} AS k", mode="incremental", incremental_key="k")


# The target


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE VIEW analytics.t AS SELECT 1 AS id", "a view"),
        ("CREATE MATERIALIZED VIEW analytics.t AS SELECT 1 AS id", "a materialized view"),
        ("CREATE SEQUENCE analytics.t", "a sequence"),
        ("CREATE TYPE analytics.t AS (id int)", "a composite type"),
        ("CREATE TABLE analytics.o (id int); CREATE INDEX t ON analytics.o (id)", "an index"),
    ],
)
def test_a_target_that_is_no_table_is_refused(
    refused: Refused, schema: Session, statement: str, kind: str
) -> None:
    schema.execute(statement)
    assert kind in refused("SELECT 1 AS id")["target_table"][0]


def test_a_foreign_table_as_target_is_refused(refused: Refused, schema: Session) -> None:
    with cluster.superuser(schema.info.dbname) as superuser:
        superuser.execute("CREATE FOREIGN DATA WRAPPER nothing")
        superuser.execute("CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing")
        superuser.execute("CREATE FOREIGN TABLE analytics.t (id int) SERVER nowhere")
        try:
            assert "a foreign table" in refused("SELECT 1 AS id")["target_table"][0]
        finally:
            superuser.execute("DROP FOREIGN DATA WRAPPER nothing CASCADE")


def test_every_mismatch_with_the_table_is_named(refused: Refused, schema: Session) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (id int, needed int NOT NULL, needed_too text NOT NULL,"
        " filled int NOT NULL DEFAULT 1, counted int GENERATED ALWAYS AS IDENTITY,"
        " twice int GENERATED ALWAYS AS (id * 2) STORED, optional int)"
    )
    sentences = refused("SELECT 1 AS id, 2 AS twice, 3 AS extra, 4 AS more")["source_query"]
    assert len(sentences) == 3
    assert "“extra”, “more”" in sentences[0]
    assert "“twice”" in sentences[1]
    assert "“needed”, “needed_too”" in sentences[2]
    assert "filled" not in sentences[2]


def test_an_always_identity_that_would_have_to_be_updated_is_refused(
    refused: Refused, check: Check, schema: Session
) -> None:
    schema.execute(
        "CREATE TABLE analytics.t (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY,"
        " modified timestamptz)"
    )
    query = "SELECT 1 AS id, 2 AS n, now() AS modified"
    assert "“n”" in refused(query, **INCREMENTAL)["source_query"][0]
    assert "“n”" in refused(query, publish="merge")["source_query"][0]
    assert check(query, publish="replace").method is Method.REPLACE
    assert check("SELECT 1 AS id, now() AS modified", **INCREMENTAL)


def test_a_type_that_the_target_lacks_is_named(
    refused: Refused, check: Check, source: Session, schema: Session
) -> None:
    source.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    sentence = refused("SELECT 1 AS id, 'sad'::mood AS feeling")["source_query"][0]
    assert "“feeling”" in sentence
    assert "mood" in sentence
    schema.execute("CREATE TYPE public.mood AS ENUM ('sad', 'glad')")
    created = check("SELECT 1 AS id, 'sad'::mood AS feeling", key_columns=["id"]).creates
    assert created is not None
    assert "public.mood" in created


def test_what_will_be_created_is_shown(check: Check) -> None:
    found = check(GOOD, key_columns=["id"], target_table="analytics.New")
    assert found.creates == (
        'CREATE TABLE "analytics"."New" ("id" integer, "name" text,'
        ' "modified" timestamp with time zone, PRIMARY KEY ("id"))'
    )


@pytest.mark.parametrize("name", ["ctid", "xmin", "tableoid"])
def test_a_name_that_postgresql_keeps_for_itself_is_refused(
    refused: Refused, schema: Session, name: str
) -> None:
    assert f"“{name}”" in refused(f"SELECT 'x'::text AS {name}")["source_query"][0]


def test_more_columns_than_a_table_can_have_are_refused(refused: Refused, schema: Session) -> None:
    columns = ", ".join(f"{n} AS c{n}" for n in range(1601))
    assert "1,600" in refused(f"SELECT {columns}")["source_query"][0]


# What the target's role may do


@pytest.fixture
def stranger(target_address: Address) -> Address:
    """The target as a role that may only connect (the source's)."""
    return replace(target_address, user=cluster.SOURCE, password=cluster.SOURCE)


def test_a_schema_that_the_role_may_not_create_gets_the_grant_to_ask_for(
    refused: Refused, stranger: Address
) -> None:
    sentence = refused("SELECT 1 AS id", target=stranger)["target_table"][0]
    assert f'GRANT CREATE ON DATABASE "{stranger.dbname}" TO "{cluster.SOURCE}";' in sentence


def test_a_table_that_the_role_may_not_create_gets_the_grant_to_ask_for(
    refused: Refused, check: Check, schema: Session, stranger: Address
) -> None:
    sentence = refused("SELECT 1 AS id", target=stranger)["target_table"][0]
    grant = f'GRANT USAGE, CREATE ON SCHEMA "analytics" TO "{cluster.SOURCE}";'
    assert grant in sentence
    schema.execute(f'GRANT CREATE ON SCHEMA "analytics" TO "{cluster.SOURCE}"')
    assert grant in refused("SELECT 1 AS id", target=stranger)["target_table"][0]
    schema.execute(grant)
    assert check("SELECT 1 AS id", target=stranger).creates


def test_a_table_that_the_role_may_not_write_gets_the_grant_to_ask_for(
    refused: Refused, check: Check, schema: Session, stranger: Address
) -> None:
    schema.execute('CREATE TABLE analytics."T x" (id int PRIMARY KEY)')
    at = {"target": stranger, "target_table": 'analytics."T x"'}
    schema.execute(f'GRANT SELECT, INSERT ON analytics."T x" TO {cluster.SOURCE}')
    sentence = refused("SELECT 1 AS id", **at)["target_table"][0]
    tables = f'GRANT SELECT, INSERT, UPDATE, DELETE ON "analytics"."T x" TO "{cluster.SOURCE}";'
    usage = f'GRANT USAGE ON SCHEMA "analytics" TO "{cluster.SOURCE}";'
    assert tables in sentence
    schema.execute(tables)
    assert usage in refused("SELECT 1 AS id", **at)["target_table"][0]
    schema.execute(usage)
    assert check("SELECT 1 AS id", **at).method is Method.MERGE


# How a full load is published


@pytest.mark.parametrize(
    ("statement", "publish", "field"),
    [
        ("CREATE VIEW analytics.v AS SELECT id FROM analytics.t", "swap", "publish"),
        ("CREATE TABLE analytics.c (t int REFERENCES analytics.t (n))", "replace", "publish"),
        ("CREATE TABLE analytics.c (t int REFERENCES analytics.t (n))", "auto", "key_columns"),
        ("SELECT 1", "merge", "publish"),
    ],
)
def test_a_pinned_method_that_cannot_be_is_refused(
    refused: Refused, schema: Session, statement: str, publish: str, field: str
) -> None:
    schema.execute("CREATE TABLE analytics.t (id int, n int UNIQUE)")
    schema.execute(statement)
    assert refused("SELECT 1 AS id, 2 AS n", publish=publish)[field]


def test_merge_into_a_missing_table_without_a_key_is_refused(
    refused: Refused, schema: Session
) -> None:
    assert refused("SELECT 1 AS id", publish="merge")["publish"]


# Margins


@pytest.mark.parametrize(
    ("kind", "margin"),
    [
        ("timestamptz", "ten minutes"),
        ("timestamp", "-1 minute"),
        ("date", "x"),
        ("bigint", "10 minutes"),
        ("bigint", "-5"),
        ("numeric", "NaN"),
        ("text", "5"),
        ("uuid", "5"),
        ("uuid", "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_a_late_margin_that_the_key_cannot_be_lessened_by_is_refused(
    refused: Refused, schema: Session, kind: str, margin: str
) -> None:
    errors = refused(
        f"SELECT 1 AS id, NULL::{kind} AS modified",
        **INCREMENTAL,
        key_columns=["id"],
        late_margin=margin,
    )
    assert list(errors) == ["late_margin"]


@pytest.mark.parametrize(
    ("kind", "margin"),
    [
        ("timestamptz", "10 minutes"),
        ("timestamp", "PT10M"),
        ("date", "2 days"),
        ("bigint", "1000"),
        ("numeric", "0.5"),
        ("uuid", None),
        ("timestamptz", "0"),
        ("xid8", None),
    ],
)
def test_a_late_margin_that_fits_the_key_is_taken(
    check: Check, schema: Session, kind: str, margin: str | None
) -> None:
    assert check(
        f"SELECT 1 AS id, NULL::{kind} AS modified",
        **INCREMENTAL,
        key_columns=["id"],
        late_margin=margin,
    ).promise


# Servers out of reach


def test_a_source_out_of_reach_is_the_sources_fault(
    source_address: Address, target_address: Address
) -> None:
    for away in (
        replace(source_address, port=1),
        replace(source_address, password="wrong"),
        replace(source_address, dbname="nowhere"),
    ):
        with pytest.raises(Rejected) as refusal:
            inspect(definition("SELECT 1 AS id", source=away, target=target_address))
        assert refusal.value.code == "source_unavailable"
        assert list(refusal.value.errors) == ["source_connection"]


def test_a_target_out_of_reach_is_the_targets_fault(
    source_address: Address, target_address: Address
) -> None:
    for away in (replace(target_address, port=1), replace(target_address, password="wrong")):
        with pytest.raises(Rejected) as refusal:
            inspect(definition("SELECT 1 AS id", source=source_address, target=away))
        assert refusal.value.code == "target_unavailable"
        assert list(refusal.value.errors) == ["target_connection"]


def test_a_source_that_answers_too_late_is_the_sources_fault(
    source: Session, source_address: Address, target_address: Address
) -> None:
    source.execute("CREATE TABLE busy (id int)")
    with source.transaction():
        source.execute("LOCK TABLE busy")
        with pytest.raises(Rejected) as refusal:
            inspect(definition("SELECT id FROM busy", source=source_address, target=target_address))
    assert refusal.value.code == "source_unavailable"
    assert list(refusal.value.errors) == ["source_connection"]
