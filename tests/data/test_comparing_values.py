"""The same value is the same on both sides of a comparison, and another one is another one."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from runner.comparing.values import Kind, Level, Report
from tests import cluster
from tests.data.comparing import assert_equal, columns_of, compared, found
from tests.data.loading import Loads
from tests.data.test_types import NAMES, OWN_TYPES, OWN_VALUES, VALUES, fill

#: What roles and databases may be set to, all unlike what a server comes with.
ODD_SETTINGS = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "German, DMY",
    "extra_float_digits": "-10",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "search_path": "nowhere",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "xmloption": "document",
    "default_transaction_isolation": "serializable",
    "jit": "off",
    "work_mem": "64kB",
}


def differ(loads: Loads, on_source: str, on_target: str, kinds: str | tuple[str, str]) -> bool:
    """Whether a comparison tells one value from another, with one row and column on each side."""
    source_type, target_type = (kinds, kinds) if isinstance(kinds, str) else kinds
    query = f"SELECT 1 AS id, {on_source}::{source_type} AS v"
    loads.target.execute("DROP TABLE IF EXISTS analytics.t")
    loads.target.execute(f"CREATE TABLE analytics.t (id int PRIMARY KEY, v {target_type})")
    loads.target.execute(f"INSERT INTO analytics.t VALUES (1, {on_target}::{target_type})")
    pipeline = loads.define(query)
    rows, sums = compared(pipeline), compared(pipeline, level=Level.CHECKSUM)
    assert rows.equal == sums.equal
    if not rows.equal:
        assert columns_of(rows) == {("1",): {"v"}}
    pipeline.delete()
    return not rows.equal


def test_every_built_in_type_is_equal_after_a_load(loads: Loads, hashing: str) -> None:
    pipeline = loads.define(fill(loads, VALUES), key_columns=["id"])
    loads.succeed(pipeline)
    assert_equal(pipeline)


def test_types_of_ones_own_are_equal_after_a_load(loads: Loads, hashing: str) -> None:
    loads.target.execute("CREATE TYPE public.unused AS ENUM ('so that oids differ')")
    for session in (loads.source, loads.target):
        session.execute(OWN_TYPES)
    pipeline = loads.define(fill(loads, OWN_VALUES), key_columns=["id"])
    loads.succeed(pipeline)
    assert_equal(pipeline)


def test_without_a_key_they_are_equal_as_a_whole(loads: Loads, hashing: str) -> None:
    pipeline = loads.define(fill(loads, VALUES))
    loads.succeed(pipeline)
    report = assert_equal(pipeline)
    assert "Name key columns" in report.notes[0]


@pytest.mark.parametrize("number", range(len(VALUES)), ids=list(VALUES))
def test_a_changed_value_of_each_type_is_found_with_its_column(loads: Loads, number: int) -> None:
    kind, edges = list(VALUES.items())[number]
    query = fill(loads, {kind: edges})
    pipeline = loads.define(query, key_columns=["id"])
    loads.succeed(pipeline)
    rows = len(edges)
    # Each row gets the value of the one before it; row 0 that of the last, which is NULL.
    loads.target.execute("CREATE TABLE public.before AS SELECT * FROM analytics.t")
    loads.target.execute(
        "UPDATE analytics.t SET c0 = b.c0 FROM public.before b"
        f" WHERE b.id = (t.id + {rows}) %% {rows + 1}".replace("%%", "%")
    )
    report = compared(pipeline)
    expected = {
        (str(row),): {"c0"}
        for row in range(rows + 1)
        if not (kind in _EQUAL_NEIGHBOURS and row in _EQUAL_NEIGHBOURS[kind])
    }
    assert columns_of(report) == expected
    assert report.different == len(expected)
    assert (report.missing, report.extra) == (0, 0)
    assert not compared(pipeline, level=Level.CHECKSUM).equal


#: 1.0 and 1.00.
_EQUAL_NEIGHBOURS = {"numeric": {3}}


def test_settings_of_roles_and_databases_make_no_difference(loads: Loads) -> None:
    values = {
        kind: edges
        for kind, edges in VALUES.items()
        # Their text is about names, which the search path decides.
        if not kind.startswith("reg") and kind != "aclitem"
    }
    query = fill(loads, values, table="public.s")
    pipeline = loads.define(query, key_columns=["id"])
    loads.succeed(pipeline)
    with cluster.superuser() as session:
        for name, value in ODD_SETTINGS.items():
            for database in (cluster.SOURCE, cluster.TARGET):
                session.execute(
                    sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                        sql.Identifier(cluster.own(database)), sql.Identifier(name), value
                    )
                )
        target = sql.Identifier(cluster.own(cluster.TARGET))
        session.execute(sql.SQL("ALTER DATABASE {} SET TimeZone = 'UTC'").format(target))
    assert_equal(pipeline)
    loads.succeed(pipeline)
    assert_equal(pipeline)


#: Types of the query and of the table, a value of each, and they are equal.
EQUIVALENT = [
    (("int", "bigint"), "7", "7"),
    (("bigint", "int"), "-7", "-7"),
    (("smallint", "numeric"), "7", "7.000"),
    (("bigint", "numeric(30,5)"), "9007199254740993", "9007199254740993"),
    (("numeric", "bigint"), "7.00", "7"),
    (("double precision", "int"), "7", "7"),
    (("real", "double precision"), "0.1", "'0.1'"),
    (("double precision", "real"), "0.123456789012", "'0.12345679'"),
    (("numeric", "double precision"), "0.1", "0.1"),
    (("double precision", "numeric"), "0.1", "0.1"),
    (("numeric", "numeric(10,2)"), "1.005", "1.01"),
    (("numeric", "numeric(10,2)"), "1.5", "1.50"),
    (("numeric(10,2)", "numeric"), "1.50", "1.5"),
    (("numeric", "numeric(6,-2)"), "12345", "12300"),
    (("varchar(5)", "text"), "'ab  '", "'ab  '"),
    (("text", "char(10)"), "'ab'", "'ab'"),
    (("char(10)", "char(3)"), "'ab'", "'ab'"),
    (("char(10)", "text"), "'ab'", "'ab        '"),
    (("char(10)", "varchar(5)"), "'ab'", "'ab   '"),
    (("timestamp", "timestamptz"), "'2026-03-29 02:30:00'", "'2026-03-29 02:30:00+00'"),
    (("date", "timestamptz"), "'2026-03-29'", "'2026-03-29 00:00:00+00'"),
    (("date", "timestamp"), "'2026-03-29'", "'2026-03-29'"),
    (("timestamp", "date"), "'2026-03-29 10:00'", "'2026-03-29'"),
    (("timestamp", "timestamp(0)"), "'2026-01-01 00:00:00.6'", "'2026-01-01 00:00:01'"),
    (("timestamptz", "timestamptz(3)"), "'2026-01-01 00:00:00.1236+05'",
     "'2025-12-31 19:00:00.124+00'"),
    (("time", "time(0)"), "'10:00:00.4'", "'10:00:00'"),
    (("timetz", "timetz(0)"), "'10:00:00.4+02'", "'10:00:00+02'"),
    (("interval", "interval(0)"), "'1 day 00:00:01.6'", "'1 day 00:00:02'"),
    (("json", "jsonb"), "'{\"b\": 1.50, \"a\": [1,  2]}'", "'{\"a\": [1, 2], \"b\": 1.50}'"),
    (("jsonb", "json"), "'{\"b\": 1}'", "'{\"b\": 1}'"),
    (("jsonb", "jsonb"), "'{\"b\": 1.50, \"c\": \"x.50\"}'",
     "'{\"b\": 1.5, \"c\": \"x.50\"}'"),
    (("jsonb", "jsonb"), "'[1.0, 10, 100.100, \"\\\"1.0\", 0.0]'",
     "'[1, 10.0, 100.1, \"\\\"1.0\", 0]'"),
    (("jsonb", "text"), "'{\"b\": 1}'", "'{\"b\": 1}'"),
    (("boolean", "text"), "true", "'t'"),
    (("text", "boolean"), "'yes'", "true"),
    (("int", "boolean"), "1", "true"),
    (("inet", "text"), "'10.0.0.1'", "'10.0.0.1'"),
    (("text", "inet"), "'10.0.0.1/32'", "'10.0.0.1'"),
    (("cidr", "inet"), "'10.0.0.0/8'", "'10.0.0.0/8'"),
    (("text", "uuid"), "'{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}'",
     "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    (("uuid", "text"), "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
     "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    (("bytea", "text"), "'\\x00ff'", "'\\x00ff'"),
    (("text", "bytea"), "'\\x00FF'", "'\\x00ff'"),
    (("money", "numeric(10,2)"), "'12.34'", "'12.34'"),
    (("real", "real"), "'-0'", "'0'"),
    (("double precision", "double precision"), "'0'", "'-0'"),
    (("numeric[]", "numeric(10,2)[]"), "'{1.5,2}'", "'{1.50,2.00}'"),
    (("int[]", "bigint[]"), "'{1,NULL}'", "'{1,NULL}'"),
    (("double precision[]", "real[]"), "'{0.123456789012}'", "'{0.12345679}'"),
    (("text[]", "varchar(5)[]"), "'{a,\"b c\",NULL,\"NULL\"}'", "'{a,\"b c\",NULL,\"NULL\"}'"),
    (("int4range", "int4range"), "'[1,9]'", "'[1,10)'"),
    (("text", "int4range"), "'[1,9]'", "'[1,10)'"),
    (("text", "interval"), "'90 minutes'", "'01:30:00'"),
    (("interval", "text"), "'90 minutes'", "'01:30:00'"),
    (("bit varying(8)", "bit(3)"), "B'101'", "B'101'"),
    (("text", "tsvector"), "'b a'", "'a b'"),
]  # fmt: skip
#: A type and two values of it that are not equal.
OTHER = [
    ("text", "NULL", "''"),
    ("text", "''", "'NULL'"),
    ("text", "' '", "''"),
    ("text", "'\\N'", "NULL"),
    ("text", "E'a\\tb'", "E'a\\\\tb'"),
    ("text", "'é'", "E'e\\u0301'"),
    ("text", "'A'", "'a'"),
    ("text", "repeat('x', 100000) || 'a'", "repeat('x', 100000) || 'b'"),
    ("varchar(10)", "'ab '", "'ab'"),
    ("numeric", "1", "-1"),
    ("numeric", "0", "NULL"),
    ("numeric", "1", "10000"),
    ("numeric", "'NaN'", "NULL"),
    ("numeric", "'NaN'", "'Infinity'"),
    ("numeric", "'-Infinity'", "'Infinity'"),
    ("numeric", "1e-100", "0"),
    ("double precision", "0", "NULL"),
    ("double precision", "'NaN'", "NULL"),
    ("double precision", "'Infinity'", "'-Infinity'"),
    ("double precision", "0.1", "0.10000000000000002"),
    ("real", "0", "NULL"),
    ("bigint", "-1", "4294967295"),
    ("bigint", "0", "4294967297"),
    ("bigint", "9007199254740993", "9007199254740992"),
    ("boolean", "false", "NULL"),
    ("bytea", "''", "NULL"),
    ("jsonb", "'{}'", "NULL"),
    ("jsonb", "'[]'", "'{}'"),
    ("jsonb", "'null'", "NULL"),
    ("jsonb", "'[[1],2]'", "'[[1,2]]'"),
    ("jsonb", "'[[[1]]]'", "'[1]'"),
    ("jsonb", '\'{"a": {"b": 1}}\'', '\'{"a": {}, "b": 1}\''),
    ("jsonb", '\'{"a": "1.0"}\'', '\'{"a": "1.00"}\''),
    ("jsonb", "'1'", "'\"1\"'"),
    ("jsonb", "'[1, 10]'", "'[1, 100]'"),
    ("json", "'{\"a\":1}'", "'{\"a\": 1}'"),
    ("timestamptz", "'1999-12-31 23:59:59.999999+00'", "'2000-01-01 01:11:34.967295+00'"),
    ("timestamp", "'infinity'", "'-infinity'"),
    ("date", "'infinity'", "NULL"),
    ("interval", "'1 mon'", "'30 days'"),
    ("inet", "'10.0.0.1'", "'10.0.0.1/24'"),
    ("text[]", "'{}'", "NULL"),
    ("text[]", "'{NULL}'", "'{\"NULL\"}'"),
    ("text[]", "'{\"\"}'", "'{NULL}'"),
    ("int[]", "'{1,2}'", "'[0:1]={1,2}'"),
    ("time", "'00:00'", "'24:00'"),
]


def test_values_of_equivalent_types_are_equal(loads: Loads, hashing: str) -> None:
    report = compare_all(loads, EQUIVALENT)
    assert {EQUIVALENT[number] for number in differing(report)} == set()


def test_other_values_are_others(loads: Loads, hashing: str) -> None:
    given = [((kind, kind), mine, theirs) for kind, mine, theirs in OTHER]
    report = compare_all(loads, given)
    assert {OTHER[n] for n in range(len(OTHER))} - {OTHER[n] for n in differing(report)} == set()


@pytest.mark.parametrize(("kind", "mine", "theirs"), OTHER)
def test_another_value_alone_makes_another_sum(
    loads: Loads, kind: str, mine: str, theirs: str
) -> None:
    assert differ(loads, mine, theirs, kind)


def compare_all(loads: Loads, pairs: list[tuple[tuple[str, str], str, str]]) -> Report:
    """One row with a column for each pair."""
    mine = ", ".join(f"{value}::{kinds[0]} AS v{n}" for n, (kinds, value, _) in enumerate(pairs))
    made = ", ".join(f"v{n} {kinds[1]}" for n, (kinds, _, _) in enumerate(pairs))
    theirs = ", ".join(f"{value}::{kinds[1]}" for kinds, _, value in pairs)
    loads.target.execute(f"CREATE TABLE analytics.t (id int PRIMARY KEY, {made})")
    loads.target.execute(f"INSERT INTO analytics.t VALUES (1, {theirs})")
    return compared(loads.define(f"SELECT 1 AS id, {mine}"))


def differing(report: Report) -> set[int]:
    """The numbers of the pairs that are not equal."""
    return {int(name[1:]) for names in columns_of(report).values() for name in names}


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01 10:00",
        "2026-01-01T10:00:00.125",
        "2026-01-01",
        "0044-03-15 10:00 BC",
        "2026-01-01 10:00:00+03",
        "2026-01-01 10:00:00+03:30",
        "2026-01-01 10:00 Europe/Berlin",
        "2026-01-01T10:00:00Z",
        "infinity",
    ],
)
def test_a_moment_that_is_text_is_read_as_a_load_reads_it(loads: Loads, text: str) -> None:
    with cluster.superuser() as session:
        source = sql.Identifier(cluster.own(cluster.SOURCE))
        session.execute(sql.SQL("ALTER DATABASE {} SET TimeZone = 'Asia/Kathmandu'").format(source))
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY, v timestamptz)")
    pipeline = loads.define(f"SELECT 1 AS id, '{text}'::text AS v", key_columns=["id"])
    loads.succeed(pipeline)
    assert_equal(pipeline)


def test_a_row_with_a_null_inside_is_not_null(loads: Loads, hashing: str) -> None:
    for session in (loads.source, loads.target):
        session.execute("CREATE TYPE public.pair AS (a int, b text)")
    assert differ(loads, "'(1,)'", "'(2,)'", "pair")
    assert differ(loads, "'(,)'", "NULL", "pair")
    assert not differ(loads, "'(1,)'", "'(1,)'", "pair")


def test_a_domain_rounds_as_its_type_does(loads: Loads, hashing: str) -> None:
    loads.target.execute("CREATE DOMAIN public.price AS numeric(10,2)")
    loads.target.execute("CREATE DOMAIN public.moment AS timestamptz(0)")
    assert not differ(loads, "1.005", "1.01", ("numeric", "price"))
    assert differ(loads, "1.005", "1.00", ("numeric", "price"))
    moments = ("timestamptz", "moment")
    assert not differ(loads, "'2026-01-01 00:00:00.6+00'", "'2026-01-01 00:00:01+00'", moments)


def test_a_text_that_does_not_fit_any_more_is_another_one(loads: Loads, hashing: str) -> None:
    assert differ(loads, "'abcd'", "'abc'", ("text", "varchar(3)"))
    assert differ(loads, "'{abcd}'", "'{abc}'", ("text[]", "varchar(3)[]"))
    assert differ(loads, "12345.6", "99.99", ("numeric", "numeric(4,2)"))
    assert differ(loads, "4294967297", "1", ("bigint", "int"))
    assert differ(loads, "7.5", "7", ("numeric", "int"))


def test_values_that_two_rows_have_exchanged_are_found_in_the_sum(
    loads: Loads, hashing: str
) -> None:
    query = "SELECT g AS id, 'a' || g AS a, g AS b FROM generate_series(1, 4) g"
    pipeline = loads.define(query)
    loads.succeed(pipeline)
    loads.target.execute("UPDATE analytics.t SET a = 'a' || (3 - id) WHERE id IN (1, 2)")
    assert not compared(pipeline, level=Level.CHECKSUM).equal
    pipeline.key_columns = ["id"]
    pipeline.save(update_fields=["key_columns"])
    assert not compared(pipeline, level=Level.CHECKSUM).equal
    assert columns_of(compared(pipeline)) == {("1",): {"a"}, ("2",): {"a"}}


def test_the_order_of_columns_makes_no_difference(loads: Loads, hashing: str) -> None:
    loads.target.execute("CREATE TABLE analytics.t (b text, extra int, a int PRIMARY KEY, c date)")
    loads.target.execute("INSERT INTO analytics.t VALUES ('x', 9, 1, '2026-01-01')")
    query = "SELECT date '2026-01-01' AS c, 1 AS a, 'x'::text AS b"
    assert_equal(loads.define(query))


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1251", "SQL_ASCII"])
def test_another_encoding_makes_no_difference(loads: Loads, encoding: str) -> None:
    letters = {"LATIN1": "é à ß ÿ", "WIN1251": "ё ж я А", "SQL_ASCII": "é ж Ж ÿ"}[encoding].split()
    name = cluster.own("encoded")
    with cluster.superuser() as session:
        session.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
            f" LOCALE_PROVIDER libc OWNER {cluster.SOURCE}"
        )
    try:
        with psycopg.connect(cluster.url(name, cluster.SOURCE), client_encoding="UTF8") as source:
            source.execute(
                "CREATE TABLE s (id text PRIMARY KEY, v text, j jsonb, a text[], n numeric)"
            )
            _fill_with(source, letters)
        loads.source_connection.dbname = name
        loads.source_connection.save()
        pipeline = loads.define("SELECT * FROM s", key_columns=["id"])
        loads.succeed(pipeline)
        assert_equal(pipeline)
        key = f"{letters[1]} 7"
        loads.target.execute("UPDATE analytics.t SET v = v || '!' WHERE id = %s", [key])
        loads.target.execute("DELETE FROM analytics.t WHERE id = %s", [f"{letters[0]} 3"])
        report = compared(pipeline)
        assert columns_of(report) == {(key,): {"v"}}
        assert found(report)[Kind.MISSING] == {(f"{letters[0]} 3",)}
    finally:
        with cluster.superuser() as session:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _fill_with(source: psycopg.Connection[Any], letters: list[str]) -> None:
    for letter in [*letters, "z", "a"]:
        document = f'{{"{letter}": 1.50, "zz": [{{"{letter}{letter}": 2, "bbb": "1.50"}}], "b": 2}}'
        source.execute(
            "INSERT INTO s SELECT %s::text || ' ' || g, %s || repeat('x', g), %s::jsonb, %s, g"
            " FROM generate_series(1, 500) g",
            [letter, letter, document, [letter, "\\", "", None]],
        )


def test_strange_names_of_columns_are_only_names(loads: Loads, hashing: str) -> None:
    names = [*NAMES, "h", "r", "c0", "c1", "k0", "v", "w", "inside", "part"]
    columns = ", ".join(
        f"g + {i} AS {sql.Identifier(name).as_string()}" for i, name in enumerate(names)
    )
    query = f"SELECT {columns} FROM generate_series(1, 20) g -- at the end"
    for key in ('q"uote', "{0} {name}", "s", "q", "%s"):
        loads.target.execute("DROP TABLE IF EXISTS analytics.t")
        pipeline = loads.define(query, key_columns=[key, "h"])
        loads.succeed(pipeline)
        assert_equal(pipeline)
        loads.target.execute('UPDATE analytics.t SET "%s" = 0, "c0" = 0 WHERE "per%cent" = 10')
        report = compared(pipeline)
        assert report.different == 1 or key == "%s"
        if report.different:
            (changed,) = columns_of(report).values()
            assert changed == {"%s", "c0"}


def test_two_hundred_columns_are_compared(loads: Loads, hashing: str) -> None:
    columns = ", ".join(f"g + {i} AS c{i}" for i in range(200))
    pipeline = loads.define(
        f"SELECT {columns} FROM generate_series(1, 50) g", key_columns=["c0", "c1"]
    )
    loads.succeed(pipeline)
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET c199 = 0, c7 = NULL WHERE c0 = 25")
    assert columns_of(compared(pipeline)) == {("25", "26"): {"c7", "c199"}}


def test_one_column_is_enough(loads: Loads, hashing: str) -> None:
    pipeline = loads.define("SELECT g AS id FROM generate_series(1, 50) g", key_columns=["id"])
    loads.succeed(pipeline)
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET id = 99 WHERE id = 25")
    report = compared(pipeline)
    assert found(report) == {
        Kind.MISSING: {("25",)},
        Kind.EXTRA: {("99",)},
        Kind.DIFFERENT: set(),
    }
