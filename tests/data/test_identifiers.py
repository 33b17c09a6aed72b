"""Names of any characters reach the target as they are, or are refused with a sentence."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.conf import settings
from hypothesis import HealthCheck, example, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from psycopg import sql

from pipelines.names import MAX_BYTES, BadName, TableName, is_system_schema
from runner.plan import Address
from runner.preflight import Findings, Rejected, inspect
from runner.preflight.types import is_type_name
from runner.statements import catalog
from runner.words import plain
from tests import cluster
from tests.data.loading import Loads, address, definition

Refused = Callable[..., dict[str, list[str]]]

#: Bounded and the same each time; the servers and the tables stay from one example to the next.
QUICK = trying(
    derandomize=True,
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NASTY = [
    '"', '""', '"; DROP TABLE x; --', "'", "''", "%", "%s", "%%", "%(x)s", "{}", "{0}", "{x}",
    "a.b", ".", " ", "  a  ", "\t", "\n", "\r\n", "\\", "\\.", "$1", "$$", ";", "--", "/*", "*/",
    "a\x1b[31mb", "\x01", "\u202e", "ж" * 31, "ж" * 31 + "x", "ж" * 32, "x" * 63, "x" * 64,
    "😀" * 15, "😀" * 16, "SELECT", "select", "q", "t", "excluded", "ctid", "xmin", "?column?",
    "stg_x", "A", "a", "É", "e\u0301", "\ufeff", "\u00a0",
]  # fmt: skip
ANY = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)
NAMES = st.sampled_from(NASTY) | ANY


def quoted(*name: str) -> str:
    return sql.Identifier(*name).as_string()


@QUICK
@given(schema=NAMES, name=NAMES)
def test_a_table_name_is_read_back_as_it_was_written(schema: str, name: str) -> None:
    table = TableName(schema=schema, name=name)
    if max(len(schema.encode()), len(name.encode())) > MAX_BYTES:
        with pytest.raises(BadName, match="longer than 63 bytes"):
            TableName.parse(str(table))
    else:
        assert TableName.parse(str(table)) == table


@QUICK
@given(key=NAMES, value=NAMES, table=NAMES)
@example(key="%s", value="{}", table='a"."b')
@example(key='"', value="'", table="ж" * 31 + "x")
@example(key="a\x1b[31m", value="\n", table="\\")
@example(key="a", value="b", table="x" * 64)
@example(key="ж" * 32, value="b", table="t")
def test_a_load_carries_any_names(loads: Loads, key: str, value: str, table: str) -> None:
    query = f"SELECT 1 AS {quoted(key)}, 'v'::text AS {quoted(value)}"
    name = TableName(schema="analytics", name=table)
    loads.target.execute("DROP SCHEMA analytics CASCADE; CREATE SCHEMA analytics")
    pipeline = loads.define(query, target_table=str(name), key_columns=[key])

    for expected in (1, 0):  # the table is made, then it is there
        run = loads.run(pipeline)
        if run.status != "SUCCESS":
            is_odd = any(len(n.encode()) > MAX_BYTES for n in (key, value, table))
            is_odd |= key == value or {key, value} & {"ctid", "xmin", "?column?"} != set()
            assert is_odd, run.error_message
            assert plain(run.error_message or "") == run.error_message
            assert run.error_class in ("Preflight", "BadName")
            pipeline.delete()
            return
        assert loads.assert_equal(query, table=quoted("analytics", table)) == 1
        assert run.rows_read == 1, expected
    found = loads.rows(
        "SELECT attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE"
        " relnamespace = 'analytics'::regnamespace AND relkind = 'r' AND attnum > 0 ORDER BY attnum"
    )
    assert found == [(key,), (value,)]
    pipeline.delete()


@trying(QUICK, max_examples=12)
@given(key=NAMES, value=NAMES)
@example(key="%s", value="{}")
def test_an_incremental_load_carries_any_names(loads: Loads, key: str, value: str) -> None:
    query = f"SELECT 1 AS {quoted(key)}, now() AS {quoted(value)}"
    loads.target.execute("DROP SCHEMA analytics CASCADE; CREATE SCHEMA analytics")
    pipeline = loads.define(
        query, mode="incremental", incremental_key=value[:63], key_columns=[key[:63]]
    )
    run = loads.run(pipeline)
    if run.status == "SUCCESS":
        assert run.rows_read <= 1
        assert loads.value("SELECT count(*) FROM analytics.t") == run.rows_read
    else:
        assert run.error_class == "Preflight", run.error_message
    pipeline.delete()


@trying(QUICK, max_examples=20)
@given(schema=NAMES)
def test_any_schema_can_be_on_the_list_and_is_made(
    schema: str, source_address: Address, target_address: Address, target: psycopg.Connection[Any]
) -> None:
    where = Address(**{**vars(target_address), "target_schemas": (schema,)})
    asked = definition("SELECT 1 AS id", source=source_address, target=where)
    table = TableName(schema=schema, name="t")
    try:
        found: Findings | None = inspect(
            definition("SELECT 1 AS id", source=source_address, target=where, target_table=table)
        )
    except (Rejected, BadName):
        found = None
    assert (found is not None) == (len(schema.encode()) <= MAX_BYTES), asked
    if found is not None and found.creates:
        target.execute(f"CREATE SCHEMA {quoted(schema)}")
        target.execute(found.creates)
        (made,) = target.execute(
            "SELECT nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relname = 't'"
        ).fetchone() or ("",)
        target.execute(f"DROP SCHEMA {quoted(schema)} CASCADE")
        assert made == schema


# Where no pipeline writes


SYSTEM = ["pg_catalog", "information_schema", "pg_toast", "pg_temp", "pg_temp_3", "pg_toast_temp_3"]


@pytest.mark.parametrize("schema", [*SYSTEM, *map(str.upper, ["analytic"])])
def test_a_schema_of_postgresql_is_no_target_even_from_a_list_that_has_it(
    refused: Refused, target_address: Address, schema: str
) -> None:
    allowed = (schema,) if is_system_schema(schema) else target_address.target_schemas
    where = Address(**{**vars(target_address), "target_schemas": allowed})
    errors = refused("SELECT 1 AS id", target=where, target_table=f"{schema}.t")
    assert f"“{schema}”" in errors["target_table"][0]


def test_nor_is_the_schema_of_the_checkpoints(
    loads: Loads, refused: Refused, target_address: Address
) -> None:
    pipeline = loads.define("SELECT 1 AS id")
    loads.succeed(pipeline)
    where = Address(**{**vars(target_address), "target_schemas": (settings.STATE_SCHEMA,)})
    for table in ("checkpoint", "version", "other"):
        errors = refused("SELECT 1 AS id", target=where, target_table=f"etl.{table}")
        assert "holds our own tables" in errors["target_table"][0]


# What a server says


def test_the_name_of_each_type_that_postgresql_has_is_taken_for_one(
    source: psycopg.Connection[Any],
) -> None:
    source.execute('CREATE DOMAIN "odd ""name"".x" AS int; CREATE SCHEMA "a.b"')
    source.execute("""CREATE TYPE "a.b"."x); DROP TABLE y; --" AS ENUM ('a')""")
    names = source.execute(
        "SELECT format_type(oid, NULL), format_type(oid, CASE WHEN oid IN (1186, 1187)"
        " THEN 67108867 ELSE 655366 END) FROM pg_type"
    ).fetchall()
    names += [("interval day to second(3)", "geometry(Point,4326)"), ("bit varying(5)[]", "t$1")]
    assert [name for pair in names for name in pair if not is_type_name(name)] == []


@pytest.mark.parametrize(
    "name",
    [
        "int); DROP TABLE analytics.victims; --",
        "int, x int",
        "int DEFAULT 1",
        "int REFERENCES victims",
        "int PRIMARY KEY",
        "int--",
        "int(1--)",
        "int/**/",
        "int' ",
        "text COLLATE",
        '"int',
        '"a"b"',
        "a.b.c.d",
        "int;",
        "int\n",
        "",
        "int" + "[]" * 40 + ";",
        "numeric(" + "a, " * 5000,
    ],
)
def test_a_type_name_that_is_more_than_a_name_is_refused(
    refused: Refused,
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    target.execute("CREATE SCHEMA analytics; CREATE TABLE analytics.victims AS SELECT 1 AS id")
    answer = sql.SQL("SELECT {}, 'b' FROM unnest(%s::oid[], %s::int[])").format(name)
    monkeypatch.setattr(catalog, "TYPES", answer)
    assert "“id”" in refused("SELECT 1 AS id")["source_query"][0]
    assert target.execute("SELECT id FROM analytics.victims").fetchall() == [(1,)]


def test_a_name_that_is_no_text_is_refused_with_a_sentence(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lies:
        nparams, nfields = 0, 1

        def fname(self, _index: int) -> bytes:
            return b"caf\xe9"

    monkeypatch.setattr("runner.connections.Session.describe", lambda *_asked: Lies())
    assert "UTF-8" in refused("SELECT 1 AS id")["source_query"][0]


def test_so_is_one_in_a_database_that_does_not_mind(refused: Refused, source_url: str) -> None:
    database = cluster.own("ascii")
    with cluster.superuser() as superuser:
        superuser.execute(
            f"CREATE DATABASE {database} OWNER source ENCODING 'SQL_ASCII' LOCALE 'C'"
            " TEMPLATE template0"
        )
        try:
            url = cluster.url(database, "source")
            with psycopg.connect(url, autocommit=True) as session:
                session.execute("SET client_encoding = 'SQL_ASCII'")
                session.execute(b'CREATE VIEW odd AS SELECT 1 AS "caf\xe9"')
            errors = refused("SELECT * FROM odd", source=address("source", url))
            assert "UTF8" in errors["source_query"][0]
        finally:
            superuser.execute(f"DROP DATABASE {database} WITH (FORCE)")
