"""Values and names of every kind arrive as they were, in binary and in text."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from runner.preflight.match import is_binary
from tests import cluster
from tests.data.loading import Loads

START = "timestamptz '2026-01-01 00:00:00+00'"
#: Each built-in type that a column can have, with values at its edges.
VALUES: dict[str, list[str]] = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["-0", "NaN", "Infinity", "-Infinity", "1.4e-45", "3.4028235e+38", "0.1"],
    "double precision": ["-0", "NaN", "-Infinity", "5e-324", "0.30000000000000004"],
    "numeric": ["NaN", "0.00", "1.0", "1.00", "-1e100", "1e-100", "12345678901234567890.123"],
    "numeric(10,3)": ["1.100", "-9999999.999", "NaN"],
    "text": ["", " ", "NULL", "\\N", "\\.", "a\tb\nc\rd\\e", "ж\u2028😀", "'\"%s{}$1", "x" * 70000],
    "varchar(5)": ["", "ab", "жжжжж"],
    "character(5)": ["", "ab", "ab cd"],
    '"char"': ["a", ""],
    "name": ["x", "ж"],
    "bytea": ["", "\\x00ff5c0a09", "\\x" + "ab" * 3000],
    "date": ["4713-01-01 BC", "infinity", "-infinity", "5874897-12-31", "2026-04-03"],
    "time": ["00:00:00", "24:00:00", "23:59:59.999999"],
    "time(0)": ["12:00:00"],
    "time with time zone": ["00:00:00+15:59:59", "24:00:00-15:59"],
    "timestamp": ["4713-01-01 00:00:00 BC", "infinity", "294276-12-31 23:59:59.999999"],
    "timestamp(3)": ["2026-01-01 00:00:00.123"],
    "timestamp with time zone": [
        "4713-01-01 00:00:00+00 BC",
        "-infinity",
        "1900-01-01 00:00:00.000001+05:53:28",
    ],
    "interval": [
        "1 mon",
        "30 days",
        "-1 year -2 mons +3 days -04:05:06.000007",
        "00:00:00",
        "178000000 years",
    ],
    "interval second(2)": ["00:00:01.23"],
    "interval year to month": ["1 year 2 mons"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"b": 1,  "a": [1.0, null], "a": 2}', "null", '"\\u0041\\\\"'],
    "jsonb": ['{"b": 1.00, "a": [1e3, null]}', "null", '"ж"'],
    "jsonpath": ["$.a[*] ? (@ > 1)", "lax $"],
    "money": ["12.34", "-92233720368547758.08"],
    "bit(3)": ["101"],
    "bit varying": ["", "1010101010101"],
    "bit varying(5)": ["101"],
    "inet": ["10.0.0.1/8", "::1", "192.168.0.1"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(1.5,-0)", "(NaN,Infinity)"],
    "line": ["{1,2,3}"],
    "lseg": ["[(1,2),(3,4)]"],
    "box": ["(3,4),(1,2)"],
    "path": ["[(1,2),(3,4)]", "((1,2),(3,4))"],
    "polygon": ["((1,2),(3,4),(5,6))"],
    "circle": ["<(1,2),3>"],
    "tsvector": ["'a':1A,2B 'b':3 'c d'''", ""],
    "tsquery": ["'a' & !( 'b':*A | 'c' <-> 'd' )", ""],
    "int4range": ["[1,10)", "empty", "(,5)", "(,)"],
    "int8range": ["[1,9223372036854775807)"],
    "numrange": ["[1.0,1.00]", "(1.5,)"],
    "tsrange": ['["2026-01-01 00:00:00",infinity)'],
    "tstzrange": ['["2026-01-01 00:00:00+00","2026-02-01 00:00:00+05")'],
    "daterange": ["[2026-01-01,2026-02-01)", "[,infinity]"],
    "int4multirange": ["{[1,3),[5,7)}", "{}"],
    "nummultirange": ["{[1.0,2.00)}"],
    "tstzmultirange": ['{["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")}'],
    "oid": ["0", "4294967295"],
    "oidvector": ["1 2 3", ""],
    "int2vector": ["1 2 3", ""],
    "xid": ["0", "4294967295"],
    "xid8": ["0", "18446744073709551615"],
    "cid": ["0", "4294967295"],
    "tid": ["(0,1)", "(4294967295,65535)"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "pg_snapshot": ["10:20:10,14,15"],
    "txid_snapshot": ["10:20:10,14,15"],
    "refcursor": ["c"],
    "aclitem": ["source=r/source"],
    "regclass": ["pg_class"],
    "regtype": ["integer", "timestamp with time zone"],
    "regproc": ["now"],
    "regprocedure": ["abs(integer)"],
    "regoper": ["||/"],
    "regoperator": ["+(integer,integer)"],
    "regnamespace": ["pg_catalog"],
    "regrole": ["source"],
    "regconfig": ["english"],
    "regdictionary": ["simple"],
    "regcollation": ['"C"'],
    "integer[]": ["{}", "{1,NULL,3}", "[0:1]={5,6}", "{{1,2},{3,4}}"],
    "text[]": ["{}", '{"",NULL,"NULL","a\\"b\\\\c","{x}"," "}', "{{a},{b}}"],
    "numeric(5,2)[]": ["{1.00,NaN}"],
    "timestamp with time zone[]": ['{"2026-01-01 00:00:00+00",infinity}'],
    "jsonb[]": ['{"{\\"a\\": 1}",NULL}'],
    "uuid[]": ["{00000000-0000-0000-0000-000000000000}"],
    "bytea[]": ['{"\\\\x00ff",""}'],
    "money[]": ["{1.50}"],
    "int4range[]": ['{"[1,2)",empty}'],
    "character varying(3)[]": ["{abc,NULL}"],
}
#: Made alike in both databases, whose oids for them differ.
OWN_TYPES = """
CREATE TYPE public.mood AS ENUM ('sad', 'so-so', 'very "glad"');
CREATE DOMAIN public.positive AS int CHECK (value > 0);
CREATE DOMAIN public.label AS varchar(10) NOT NULL DEFAULT '';
CREATE TYPE public.pair AS (a int, "B c" text, m mood);
CREATE DOMAIN public.pairs AS pair[];
CREATE TYPE public.span AS RANGE (subtype = numeric);
CREATE TYPE public."Odd ""x"" % {type}" AS ENUM ('a');
"""
OWN_VALUES: dict[str, list[str]] = {
    "mood": ["sad", 'very "glad"'],
    "positive": ["1", "2147483647"],
    "label": ["", "x"],
    "pair": ['(1,"a,b",sad)', "(,,)", '(,"",)'],
    "pairs": ['{"(1,\\"a\\\\\\\\b\\",)"}', "{}"],
    "mood[]": ["{sad,NULL}"],
    "positive[]": ["{1,2}"],
    "span": ["[1.0,2.00)", "empty"],
    '"Odd ""x"" % {type}"': ["a"],
}


def fill(loads: Loads, values: dict[str, list[str]], table: str = "s") -> str:
    """A source table with a column of each type and a row for each edge; its query."""
    columns = [f"c{number} {kind}" for number, kind in enumerate(values)]
    loads.source.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {', '.join(columns)})")
    for row in range(max(map(len, values.values())) + 1):
        given = [edges[row] if row < len(edges) else None for edges in values.values()]
        if "label" in values:  # a domain that is NOT NULL
            given = [
                value or "" if k == "label" else value
                for k, value in zip(values, given, strict=True)
            ]
        casts = ", ".join(f"%s::text::{kind.replace('%', '%%')}" for kind in values)
        # psycopg wants literal text for a query; this one is made of the test's own types.
        loads.source.execute(f"INSERT INTO {table} VALUES ({row}, {casts})", given)  # type: ignore[arg-type]
    return f"SELECT * FROM {table}"


@pytest.mark.parametrize("mode", ["full", "incremental"])
@pytest.mark.parametrize("form", ["binary where it can be", "text"])
def test_every_built_in_type_arrives_as_it_was(loads: Loads, mode: str, form: str) -> None:
    values = {k: v for k, v in VALUES.items() if form == "text" or k not in _TEXT_TYPES}
    query = fill(loads, values)
    pipeline = loads.define(
        query, key_columns=["id"], mode=mode, incremental_key="id", batch_size=2
    )

    loads.succeed(pipeline)

    assert loads.assert_equal(query) == 10
    if form == "text":
        made = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attnum > 0"
        where = "AND attrelid = '{}'::regclass ORDER BY attnum"
        assert (
            loads.rows(f"{made} {where.format('analytics.t')}")
            == loads.source.execute(f"{made} {where.format('s')}").fetchall()
        )
    assert loads.succeed(pipeline).rows_written in (0, 10)
    assert loads.assert_equal(query) == 10


#: Their binary form means something in one database only, or not every value of them can be read
#: back, so that they make a load go as text.
_TEXT_TYPES = {
    kind
    for kind in VALUES
    if kind.startswith(("reg", "money", "aclitem", "tsquery", "oidvector", "int2vector"))
}


def test_all_but_these_go_in_binary(check: Any, target: psycopg.Connection[Any]) -> None:
    target.execute("CREATE SCHEMA analytics")
    columns = ", ".join(f'NULL::{kind} AS "{number}"' for number, kind in enumerate(VALUES))
    findings = check(f"SELECT {columns}")
    pairs = zip(findings.columns, findings.target_columns, strict=True)
    textual = {kind for kind, pair in zip(VALUES, pairs, strict=True) if not is_binary(*zip(pair))}
    assert textual == _TEXT_TYPES


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_types_of_ones_own_arrive_as_they_were(loads: Loads, mode: str) -> None:
    loads.target.execute("CREATE TYPE public.unused AS ENUM ('so that oids differ')")
    for session in (loads.source, loads.target):
        session.execute(OWN_TYPES)
    query = fill(loads, OWN_VALUES)
    pipeline = loads.define(
        query, key_columns=["id"], mode=mode, incremental_key="id", batch_size=2
    )
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 4
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 4


def test_types_of_ones_own_fit_an_existing_table(loads: Loads) -> None:
    for session in (loads.source, loads.target):
        session.execute(OWN_TYPES)
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(OWN_VALUES))
    loads.target.execute(f"CREATE TABLE analytics.t (id int PRIMARY KEY, {columns})")
    query = fill(loads, OWN_VALUES)
    for publish in ("swap", "merge", "replace"):
        loads.succeed(loads.define(query, publish=publish))
        assert loads.assert_equal(query) == 4
    pipeline = loads.define(query, mode="incremental", incremental_key="id")
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 4


@pytest.mark.parametrize("kind", ["mood", "label", "positive"])
def test_types_of_ones_own_can_be_keys(loads: Loads, kind: str) -> None:
    for session in (loads.source, loads.target):
        session.execute(OWN_TYPES)
    loads.source.execute(f"CREATE TABLE s (id {kind}, modified int)")
    for number, value in enumerate(OWN_VALUES[kind]):
        loads.source.execute("INSERT INTO s VALUES (%s, %s)", [value, number])
    loads.target.execute(f"CREATE TABLE analytics.t (id {kind} PRIMARY KEY, modified int)")
    query = "SELECT id, modified FROM s"
    pipeline = loads.follow(query, batch_size=1)
    loads.succeed(pipeline)
    loads.succeed(loads.define(query, publish="merge"))
    assert loads.assert_equal(query) == 2


def test_the_type_may_live_outside_the_search_path_of_either_role(loads: Loads) -> None:
    for session in (loads.source, loads.target):
        session.execute('CREATE SCHEMA "My types"; CREATE TYPE "My types".t AS ENUM (\'a\')')
    query = "SELECT 1 AS id, 'a'::\"My types\".t AS v, ARRAY['a'::\"My types\".t] AS w"
    loads.succeed(loads.define(query))
    assert loads.assert_equal(query) == 1


# Where the two sides differ


def test_columns_are_matched_by_name_whatever_their_order(loads: Loads) -> None:
    loads.target.execute(
        "CREATE TABLE analytics.t (dropped int, c text, b int, a text, id int PRIMARY KEY)"
    )
    loads.target.execute("ALTER TABLE analytics.t DROP dropped")
    query = "SELECT g AS id, 'a' || g AS a, g * 2 AS b, 'c' || g AS c FROM generate_series(1, 5) g"
    for publish in ("swap", "merge", "replace"):
        loads.succeed(loads.define(query, publish=publish))
        assert loads.assert_equal(query) == 5
    loads.succeed(loads.define(query, mode="incremental", incremental_key="a"))
    assert loads.assert_equal(query) == 5


def test_a_type_that_differs_goes_as_text(loads: Loads) -> None:
    loads.target.execute(
        "CREATE TABLE analytics.t (id bigint PRIMARY KEY, n text, t varchar, j jsonb, d timestamp,"
        " b text, x text)"
    )
    query = (
        "SELECT 1 AS id, 1.50 AS n, E'a\\tb\\n\\\\c'::text AS t, '{\"a\": 1}'::json AS j,"
        " date '2026-01-02' AS d, 'x'::char(3) AS b, ''::text AS x"
        " UNION ALL SELECT 2, NULL, '', NULL, NULL, NULL, NULL"
    )
    for fields in ({}, {"publish": "merge"}, {"mode": "incremental", "incremental_key": "id"}):
        loads.succeed(loads.define(query, **fields))
        assert loads.rows(
            "SELECT id, n, t, j::text, d::text, b, x FROM analytics.t ORDER BY 1"
        ) == [
            (1, "1.50", "a\tb\n\\c", '{"a": 1}', "2026-01-02 00:00:00", "x  ", ""),
            (2, None, "", None, None, None, None),
        ]


def test_a_value_that_the_other_type_cannot_hold_fails_without_showing_it(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY, n int, v varchar(3))")
    for query, state in (
        ("SELECT 1 AS id, 'secret'::text AS n", "22P02"),
        ("SELECT 1 AS id, 'secret'::text AS v", "22001"),
        ("SELECT 1 AS id, 77777777777 AS n", "22003"),
    ):
        run = loads.fail(loads.define(query))
        assert run.sqlstate == state
        assert "row 1" in run.error_message
        assert "secret" not in run.error_message
        assert "77777777777" not in run.error_message


# Strange names

NAMES = [
    'q"uote',
    "d.ot",
    "Capital",
    "имя",
    "ж" * 31,
    "per%cent",
    "%s",
    "%(x)s",
    "{}",
    "{0} {name}",
    "semi;colon--",
    "'single'",
    "back\\slash",
    "new\nline",
    "select",
    "q",
    "t",
    "s",
    "excluded",
    "$1",
    "a,b",
    " space ",
    "(x)",
    "*",
]


@pytest.mark.parametrize(
    "fields", [{}, {"publish": "merge"}, {"publish": "replace"}, {"mode": "incremental"}]
)
def test_names_of_columns_may_be_anything(loads: Loads, fields: dict[str, Any]) -> None:
    names = [sql.Identifier(name).as_string() for name in NAMES]
    outputs = ", ".join(f"'v{n}' || g AS {name}" for n, name in enumerate(names))
    query = f"SELECT {outputs} FROM generate_series(1, 5) g"
    key = {"key_columns": ['q"uote', "%s"], "incremental_key": "{}"}
    pipeline = loads.define(query, **key, **fields)
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 5
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 5


@pytest.mark.parametrize("name", NAMES)
def test_names_of_tables_may_be_anything(loads: Loads, name: str) -> None:
    quoted = sql.Identifier(name).as_string()
    where = f"analytics.{quoted}"
    query = "SELECT g AS id, 'n' || g AS name FROM generate_series(1, 5) g"
    loads.succeed(loads.define(query, target_table=where, key_columns=["id"]))
    loads.succeed(loads.define(query, target_table=where))
    loads.succeed(loads.define(query, target_table=where, mode="incremental", incremental_key="id"))
    assert loads.assert_equal(query, where) == 5
    assert loads.leftovers() == []


def test_names_of_schemas_constraints_and_indexes_may_be_anything(loads: Loads) -> None:
    for name in NAMES[:14]:
        quoted = sql.Identifier(name).as_string()
        schema = sql.Identifier("x" + name[:30]).as_string()
        loads.target_connection.target_schemas = ["x" + name[:30]]
        loads.target_connection.save()
        loads.target.execute(
            f"CREATE SCHEMA {schema};"
            f" CREATE TABLE {schema}.{quoted} (id int, {quoted} text, CONSTRAINT {quoted}"
            f" CHECK ({quoted} <> ''));"
            f" CREATE UNIQUE INDEX {sql.Identifier('i' + name[:30]).as_string()}"
            f" ON {schema}.{quoted} (id) WHERE {quoted} <> 'x'"
        )
        query = f"SELECT g AS id, 'n' || g AS {quoted} FROM generate_series(1, 5) g"
        run = loads.succeed(loads.define(query, target_table=f"{schema}.{quoted}"))
        assert run.publish == "swap"
        assert loads.assert_equal(query, f"{schema}.{quoted}") == 5
        loads.target.execute(f"DROP SCHEMA {schema} CASCADE")


# Strange roles and databases


@pytest.fixture
def odd_roles(loads: Loads) -> Iterator[Loads]:
    """Both roles write values in their own way unless told otherwise."""
    settings = {
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "extra_float_digits": "0",
        "bytea_output": "escape",
        "TimeZone": "Asia/Kathmandu",
        "standard_conforming_strings": "on",
        "array_nulls": "off",
        "default_transaction_isolation": "serializable",
        "xmloption": "document",
        "quote_all_identifiers": "on",
        "search_path": "public",
        "lc_monetary": "C",
        "client_encoding": "LATIN1",
    }
    roles = [
        (cluster.own(cluster.SOURCE), cluster.SOURCE),
        (cluster.own(cluster.TARGET), cluster.TARGET),
    ]
    with cluster.superuser() as superuser:
        for database, role in roles:
            for name, value in settings.items():
                superuser.execute(
                    sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                        sql.Identifier(role), sql.Identifier(database), sql.SQL(name), value
                    )
                )
        yield loads
        for database, role in roles:
            superuser.execute(f"ALTER ROLE {role} IN DATABASE {database} RESET ALL")


@pytest.mark.parametrize("form", ["binary", "text"])
def test_a_roles_own_settings_change_no_value(odd_roles: Loads, form: str) -> None:
    values = {
        k: VALUES[k]
        for k in (
            *("date", "timestamp", "timestamp with time zone", "interval", "real", "bytea"),
            *("double precision", "text[]", "text", "numeric", "time with time zone", "tstzrange"),
            *("timestamp with time zone[]", "jsonb", "point"),
        )
    }
    if form == "text":
        values["money"] = ["1.50"]
    query = fill(odd_roles, values)
    for fields in ({}, {"publish": "merge"}, {"mode": "incremental", "incremental_key": "c2"}):
        pipeline = odd_roles.define(
            query, key_columns=["id"], null_policy="include", batch_size=3, **fields
        )
        odd_roles.succeed(pipeline)
        odd_roles.succeed(pipeline)
        assert odd_roles.assert_equal(query) == 10


def test_the_roles_time_zone_and_search_path_stay_those_of_peoples_sql(odd_roles: Loads) -> None:
    odd_roles.source.execute(
        "CREATE TABLE public.here (id int); INSERT INTO public.here VALUES (1)"
    )
    query = (
        "SELECT id, current_setting('TimeZone') AS zone, '2026-01-01 12:00'::timestamptz AS at"
        " FROM here"
    )
    odd_roles.succeed(odd_roles.define(query))
    assert odd_roles.rows("SELECT id, zone, at::text FROM analytics.t") == [
        (1, "Asia/Kathmandu", "2026-01-01 06:15:00+00")
    ]


@pytest.fixture
def latin_source(loads: Loads) -> Iterator[psycopg.Connection[Any]]:
    """A source database in LATIN1, with a session that speaks UTF-8 to it."""
    name = cluster.own("latin")
    with cluster.superuser() as superuser:
        superuser.execute(
            f"CREATE DATABASE {name} OWNER {cluster.SOURCE} ENCODING LATIN1 LOCALE 'C'"
            " TEMPLATE template0"
        )
        url = cluster.url(name, cluster.SOURCE)
        loads.source_connection.dbname = name
        loads.source_connection.save()
        with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as session:
            yield session
        superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("publish", ["swap", "merge"])
def test_a_latin1_source_arrives_in_utf8(
    loads: Loads, latin_source: psycopg.Connection[Any], publish: str
) -> None:
    latin_source.execute(
        'CREATE TABLE "straße" (id int PRIMARY KEY, "größe" text, j jsonb, v tsvector, a text[])'
    )
    latin_source.execute(
        "INSERT INTO \"straße\" VALUES (1, 'äöü ß ÿ', '{\"é\": \"ñ\"}', 'ü:1', '{à}')"
    )
    query = 'SELECT * FROM "straße"'
    loads.succeed(loads.define(query, key_columns=["id"], publish=publish))
    loads.source = latin_source
    assert loads.assert_equal(query) == 1
    assert loads.value('SELECT "größe" FROM analytics.t') == "äöü ß ÿ"
    pipeline = loads.define(
        query,
        mode="incremental",
        incremental_key="größe",
        target_table="analytics.i",
        key_columns=["id"],
    )
    loads.succeed(pipeline)
    assert loads.succeed(pipeline).rows_read == 0
    assert loads.state(pipeline).last_processed_value == "äöü ß ÿ"


def test_bytes_that_are_no_text_fail_without_being_shown(loads: Loads) -> None:
    name = cluster.own("ascii")
    with cluster.superuser() as superuser:
        superuser.execute(
            f"CREATE DATABASE {name} OWNER {cluster.SOURCE} ENCODING SQL_ASCII LOCALE 'C'"
            " TEMPLATE template0"
        )
        try:
            loads.source_connection.dbname = name
            loads.source_connection.save()
            url = cluster.url(name, cluster.SOURCE)
            with psycopg.connect(url, autocommit=True) as session:
                session.execute("CREATE TABLE s (id int, t text)")
                session.execute("INSERT INTO s VALUES (1, 'fine'), (2, E'secret\\xff\\xfe')")
            run = loads.fail(loads.define("SELECT id, t FROM s"))
            assert run.sqlstate == "22021"
            assert "character not in repertoire" in run.error_message
            assert "secret" not in run.error_message
        finally:
            superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")


# Very wide


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("binary", {}),
        ("binary", {"publish": "merge"}),
        ("binary", {"mode": "incremental"}),
        ("text", {"publish": "replace"}),
        ("text", {"mode": "incremental"}),
    ],
)
def test_sixteen_hundred_columns_pass(loads: Loads, form: str, fields: dict[str, Any]) -> None:
    names = [f"c{n}" for n in range(1600)]
    columns = ", ".join(f"(g * 1000000 + {n})::int AS {name}" for n, name in enumerate(names))
    query = f"SELECT {columns} FROM generate_series(100, 103) g"
    if form == "text":
        kinds = ", ".join(f"{name} int" for name in names[:-1])
        loads.target.execute(f"CREATE TABLE analytics.t ({kinds}, c1599 bigint, PRIMARY KEY (c0))")
    pipeline = loads.define(query, key_columns=["c0"], incremental_key="c1", batch_size=3, **fields)
    loads.succeed(pipeline)
    loads.succeed(pipeline)
    assert loads.assert_equal(query) == 4
