"""Rows that differ are found exactly, whatever their keys are like and however many there are."""

from decimal import Decimal
from math import isnan
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from runner.comparing.values import Kind, Level
from runner.preflight.values import Rejected
from tests.data.comparing import assert_equal, columns_of, compared, found
from tests.data.loading import Loads

#: So many rows make more than one range.
MANY = 5000


def loaded(loads: Loads, query: str, *key: str, **fields: Any) -> Any:
    """A pipeline that has run."""
    pipeline = loads.define(query, key_columns=list(key), **fields)
    loads.succeed(pipeline)
    return pipeline


KEYS = {
    "integer": "g - 2500",
    "bigint": "(g - 2500) * 3689348814741910::bigint",
    "numeric": "((g - 2500) / 7.0)::numeric",
    "double precision": "(g - 2500) / 7.0",
    "real": "((g - 2500) / 8.0)::real",
    "text": "chr(60 + g % 60) || '-' || g || E'\\t\\n\\\\''\"é'",
    "varchar(40)": "md5(g::text)",
    'text COLLATE "C.utf8"': "chr(200 + g % 60) || g",
    "char(12)": "g::text",
    "uuid": "md5(g::text)::uuid",
    "bytea": "decode(md5(g::text), 'hex')",
    "date": "date '2026-01-01' + g",
    "timestamptz": "timestamptz '2026-03-29 00:00+00' - interval '1 s' * g",
    "timestamp": "timestamp '2026-03-29 00:00' - interval '1 s' * g",
    "time": "time '00:00' + interval '1 s' * g",
    "inet": "inet '10.0.0.0' + g",
    "interval": "interval '1 s' * g",
    "macaddr": "('08:00:2b:' || to_char(g, 'fm00:00:00'))::macaddr",
    "int[]": "ARRAY[g, NULL, 1]",
    "jsonb": "jsonb_build_object('a', g, 'é', 1.50)",
    "int4range": "int4range(g, g + 1)",
    "oid": "(g::bigint * 800000)::oid",
    "name": "('n' || g)::name",
    "xid8": "g::text::xid8",
}


#: As text is the same as md5 but for the hash: a few types will do.
HASHED_KEYS = [
    (way, kind)
    for way in ("record", "text", "md5", "md5 between encodings")
    for kind in KEYS
    if way != "text" or kind in ("text", "real", "timestamptz")
]


@pytest.mark.parametrize(("hashing", "kind"), HASHED_KEYS, indirect=["hashing"])
def test_a_key_of_each_type_tells_rows_apart(loads: Loads, kind: str, hashing: str) -> None:
    loads.source.execute(f"CREATE TABLE s (id {kind}, v text)")
    loads.source.execute(f"INSERT INTO s SELECT {KEYS[kind]}, g FROM generate_series(1, {MANY}) g")
    pipeline = loaded(loads, "SELECT id, v FROM s", "id")
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET v = NULL WHERE v IN ('1', '2500')")
    loads.target.execute("DELETE FROM analytics.t WHERE v IN ('2', '4999')")
    loads.source.execute("DELETE FROM s WHERE v IN ('3', '2600')")
    report = compared(pipeline)
    assert (report.missing, report.extra, report.different) == (2, 2, 2)
    assert len(report.sample) == 6
    assert list(columns_of(report).values()) == [{"v"}, {"v"}]
    if kind in ("integer", "text", "uuid", "bytea", "date"):
        gone = "SELECT id::text FROM s WHERE v IN ('2', '4999')"
        assert found(report)[Kind.MISSING] == {*loads.source.execute(gone).fetchall()}
    assert sum(r.source for r in report.ranges) == report.source_count == MANY - 2
    assert sum(r.target for r in report.ranges) == report.target_count == MANY - 2
    assert sum(r.missing for r in report.ranges) == 2
    assert all(r.differs == bool(r.missing + r.extra + r.different) for r in report.ranges)


def test_keys_of_several_columns_tell_rows_apart(loads: Loads, hashing: str) -> None:
    query = (
        "SELECT g % 7 AS a, 'b' || g % 11 AS b, g AS c, g::text AS v"
        f" FROM generate_series(1, {MANY}) g"
    )
    pipeline = loaded(loads, query, "a", "b", "c")
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET v = 'x' WHERE c = 77")
    loads.target.execute("UPDATE analytics.t SET b = 'other' WHERE c = 78")
    assert found(compared(pipeline)) == {
        Kind.MISSING: {("1", "b1", "78")},
        Kind.EXTRA: {("1", "other", "78")},
        Kind.DIFFERENT: {("0", "b0", "77")},
    }


def test_a_null_in_a_key_is_a_value_too(loads: Loads, hashing: str) -> None:
    query = (
        "SELECT nullif(g % 3, 0) AS a, nullif(g, 6) AS b, g AS v FROM generate_series(1, 9) g"
        " UNION ALL SELECT NULL, NULL, 100"
    )
    loads.target.execute("CREATE TABLE analytics.t (a int, b int, v int)")
    pipeline = loaded(loads, query, "a", "b", publish="replace")
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET v = 7 WHERE a IS NULL AND b = 3")
    loads.target.execute("DELETE FROM analytics.t WHERE b IS NULL")
    report = compared(pipeline)
    assert columns_of(report) == {(None, "3"): {"v"}}
    assert found(report)[Kind.MISSING] == {(None, None)}
    assert report.missing == 2  # 6 and the last one: both have no key at all


def test_a_key_that_the_source_has_twice_is_counted_twice(loads: Loads, hashing: str) -> None:
    query = "SELECT * FROM (VALUES (1, 'a'), (1, 'b'), (1, 'b'), (2, 'c')) AS s (id, v)"
    loads.target.execute("CREATE TABLE analytics.t (id int, v text)")
    loads.target.execute("INSERT INTO analytics.t VALUES (1, 'b'), (2, 'c'), (2, 'c')")
    report = compared(loads.define(query, key_columns=["id"]))
    assert (report.missing, report.extra, report.different) == (2, 1, 0)
    assert found(report) == {Kind.MISSING: {("1",)}, Kind.EXTRA: {("2",)}, Kind.DIFFERENT: set()}
    missing = next(d for d in report.sample if d.kind is Kind.MISSING)
    assert {c.column: c.source for c in missing.changes} == {"id": "1", "v": "a"}


def test_a_key_that_is_there_very_often_takes_no_time(loads: Loads) -> None:
    loads.source.execute(
        "CREATE TABLE s AS SELECT 1 AS id, g AS v FROM generate_series(1, 60000) g"
    )
    loads.target.execute(
        "CREATE TABLE analytics.t AS SELECT 1 AS id, g AS v FROM generate_series(30001, 90000) g"
    )
    report = compared(loads.define("SELECT id, v FROM s", key_columns=["id"]), sample=0)
    assert (report.missing, report.extra, report.different) == (0, 0, 30000)


@pytest.mark.parametrize("rows", [0, 1, MANY])
def test_an_empty_target_lacks_every_row(loads: Loads, rows: int, hashing: str) -> None:
    loads.source.execute(f"CREATE TABLE s AS SELECT g AS id FROM generate_series(1, {rows}) g")
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    report = compared(loads.define("SELECT id FROM s"), sample=5)
    assert (report.missing, report.extra, report.equal) == (rows, 0, rows == 0)
    assert len(report.sample) == min(5, rows)
    assert report.difference == rows


def test_an_empty_source_leaves_every_row_over(loads: Loads, hashing: str) -> None:
    pipeline = loaded(loads, f"SELECT g AS id FROM generate_series(1, {MANY}) g", "id")
    pipeline.source_query = "SELECT 1 AS id WHERE false"
    pipeline.save(update_fields=["source_query"])
    for level in Level:
        report = compared(pipeline, level=level)
        assert (report.source_count, report.target_count, report.status) == (0, MANY, "WARNING")
    assert report.extra == MANY
    assert {c.source for d in report.sample for c in d.changes} == {None}


@pytest.mark.parametrize("key", [[], ["id"]])
def test_a_table_that_is_not_there_has_no_rows(loads: Loads, key: list[str]) -> None:
    pipeline = loads.define("SELECT g AS id FROM generate_series(1, 9000) g", key_columns=key)
    for level in Level:
        report = compared(pipeline, level=level)
        assert (report.source_count, report.target_count, report.equal) == (9000, 0, False)
        assert "does not exist yet" in report.notes[0]
    assert report.missing == (9000 if key else None)


def test_a_partitioned_table_is_one_table(loads: Loads, hashing: str) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int, v text) PARTITION BY RANGE (id)")
    for start in range(0, 10000, 1000):
        loads.target.execute(
            f"CREATE TABLE analytics.t{start} PARTITION OF analytics.t"
            f" FOR VALUES FROM ({start}) TO ({start + 1000})"
        )
    query = "SELECT g AS id, 'v' || g AS v FROM generate_series(0, 9999) g"
    pipeline = loaded(loads, query, "id", publish="merge")
    assert_equal(pipeline)
    loads.target.execute("DELETE FROM analytics.t WHERE id IN (0, 5000, 9999)")
    report = compared(pipeline)
    assert found(report)[Kind.MISSING] == {("0",), ("5000",), ("9999",)}
    assert len(report.ranges) > 1


def test_rows_at_the_borders_of_ranges_are_in_one_range_only(loads: Loads, hashing: str) -> None:
    pipeline = loaded(loads, f"SELECT g * 2 AS id, g AS v FROM generate_series(1, {MANY}) g", "id")
    loads.target.execute("UPDATE analytics.t SET v = 0 WHERE id = 2000")
    borders = [r.low for r in compared(pipeline).ranges if r.low]
    assert len(borders) > 10
    wanted = sorted(
        {int(b) + step for b in borders for step in (-1, 0, 1)} & {*range(2, MANY * 2, 2)}
    )
    loads.target.execute("UPDATE analytics.t SET v = v + 1 WHERE id = ANY(%s)", [wanted])
    report = compared(pipeline, sample=1000)
    assert found(report)[Kind.DIFFERENT] == {(str(key),) for key in {*wanted, 2000}}
    assert sum(r.different for r in report.ranges) == report.different == len({*wanted, 2000})
    for low, high in zip(report.ranges, report.ranges[1:], strict=False):
        assert low.high == high.low


def test_keys_beyond_what_a_float_holds_are_told_apart(loads: Loads, hashing: str) -> None:
    query = (
        f"SELECT 9223372036854770000 + g AS id, g AS v FROM generate_series(1, {MANY}) g"
        f" UNION ALL SELECT -9223372036854770000 - g, g FROM generate_series(1, {MANY}) g"
    )
    pipeline = loaded(loads, query, "id")
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET id = id + 1 WHERE id = 9223372036854775000")
    loads.target.execute("DELETE FROM analytics.t WHERE id = -9223372036854770001")
    # The one after it was there already, so it was deleted before.
    report = compared(pipeline)
    assert report.missing >= 1
    assert ("-9223372036854770001",) in found(report)[Kind.MISSING]


def test_keys_that_are_nearly_all_the_same_are_compared(loads: Loads, hashing: str) -> None:
    query = (
        "SELECT CASE WHEN g < 4990 THEN 5 ELSE g END AS a, g AS b, g::text AS v"
        f" FROM generate_series(1, {MANY}) g"
    )
    pipeline = loaded(loads, query, "a", "b")
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET v = 'x' WHERE b IN (1, 2500, 4995)")
    assert found(compared(pipeline))[Kind.DIFFERENT] == {
        ("5", "1"), ("5", "2500"), ("4995", "4995"),
    }  # fmt: skip


def test_a_query_may_aggregate_and_end_in_a_comment(loads: Loads, hashing: str) -> None:
    query = (
        "WITH n AS (SELECT g, g % 10 AS id FROM generate_series(1, 1000) g)"
        " SELECT id, count(*) AS n, avg(g) AS mean, array_agg(g ORDER BY g) AS all FROM n"
        " GROUP BY id ORDER BY 2 -- per group; {} %s $1"
    )
    pipeline = loaded(loads, query, "id")
    assert_equal(pipeline)
    loads.target.execute("UPDATE analytics.t SET mean = mean + 1 WHERE id = 3")
    assert columns_of(compared(pipeline)) == {("3",): {"mean"}}


def test_the_table_and_its_schema_may_have_any_name(loads: Loads) -> None:
    name = 'analytics."a ""b"" {0} %s . q"'
    pipeline = loaded(
        loads, "SELECT g AS id, g AS v FROM generate_series(1, 9) g", "id", target_table=name
    )
    assert_equal(pipeline)
    loads.target.execute('DELETE FROM analytics."a ""b"" {0} %s . q" WHERE id = 3')
    assert found(compared(pipeline))[Kind.MISSING] == {("3",)}


def test_a_column_that_the_table_lacks_is_named(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    with pytest.raises(Rejected, match="“v”, “w”"):
        compared(loads.define("SELECT 1 AS id, 2 AS v, 3 AS w"))


def test_long_values_are_cut_for_people_and_told_apart(loads: Loads) -> None:
    query = "SELECT 1 AS id, repeat('é', 100000) AS v"
    pipeline = loaded(loads, query, "id")
    loads.target.execute("UPDATE analytics.t SET v = v || '!'")
    (difference,) = compared(pipeline).sample
    (change,) = difference.changes
    assert change.source == "é" * 300 + "... (100000)"
    assert change.target == "é" * 300 + "... (100001)"


def test_rows_that_the_source_alone_has_are_not_held_at_once(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.comparing import search

    sizes = []
    grouped = search._grouped

    def watched(rows: Any) -> Any:
        for number, group in grouped(rows):
            sizes.append(len(group))
            yield number, group

    monkeypatch.setattr(search, "_grouped", watched)
    loads.source.execute("CREATE TABLE s AS SELECT g AS id FROM generate_series(1, 50000) g")
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY)")
    report = compared(loads.define("SELECT id FROM s"))
    assert report.missing == sum(sizes) == 50000
    assert max(sizes) < 6000


# Tolerances

NEAR = [
    ("1.0", "1.1", True),
    ("1.0", "1.1000001", False),
    ("-1.0", "-1.1", True),
    ("-0.05", "0.05", True),
    ("-0.06", "0.06", False),
    ("0", "-0.1", True),
    ("0.0999", "0.1", True),
    ("1e15", "1e15", True),
    ("123456.75", "123456.85", True),
    ("NaN", "NaN", True),
    ("NaN", "1", False),
    ("Infinity", "Infinity", True),
    ("Infinity", "-Infinity", False),
    ("Infinity", "1", False),
    (None, None, True),
    (None, "0", False),
    ("0", None, False),
]


@pytest.mark.parametrize("kind", ["double precision", "numeric", "real", "numeric(20,7)"])
def test_what_is_near_enough_is_equal(loads: Loads, kind: str, hashing: str) -> None:
    pairs = [
        pair
        for pair in NEAR
        if not (kind == "real" and pair[0] == "123456.75")
        and not ("(" in kind and (pair[0] or "")[:3] in ("Inf", "1e1"))
    ]
    loads.source.execute(f"CREATE TABLE s (id int, v {kind})")
    loads.target.execute(f"CREATE TABLE analytics.t (id int PRIMARY KEY, v {kind})")
    for number, (mine, theirs, _equal) in enumerate(pairs):
        loads.source.execute("INSERT INTO s VALUES (%s, %s)", [number, mine])
        loads.target.execute("INSERT INTO analytics.t VALUES (%s, %s)", [number, theirs])
    pipeline = loads.define("SELECT id, v FROM s")
    report = compared(pipeline, tolerances={"v": 0.1})
    expected = {(str(number),) for number, pair in enumerate(pairs) if not pair[2]}
    assert found(report)[Kind.DIFFERENT] == expected
    assert columns_of(report) == {key: {"v"} for key in expected}
    loads.target.execute(
        "DELETE FROM analytics.t WHERE id = ANY(%s)", [[int(key) for (key,) in expected]]
    )
    loads.source.execute("DELETE FROM s WHERE id = ANY(%s)", [[int(key) for (key,) in expected]])
    assert_equal(pipeline, tolerances={"v": 0.1})
    assert not compared(pipeline).equal


@pytest.mark.parametrize("tolerance", [5e-324, 1e-30, 1.0, 1e100, 1e308, 0.0])
def test_tolerances_of_any_size_compare_values_of_any_size(
    loads: Loads, tolerance: float, hashing: str
) -> None:
    values = ["0", "-0", "5e-324", "-5e-324", "1e-300", "1", "-1", "1e15", "1e300", "-1.7e308"]
    loads.source.execute("CREATE TABLE s (id int, v double precision, n numeric)")
    for number, value in enumerate(values):
        loads.source.execute("INSERT INTO s VALUES (%s, %s, %s)", [number, value, value])
    pipeline = loaded(loads, "SELECT id, v, n FROM s", "id")
    tolerances = {"v": tolerance, "n": tolerance}
    assert_equal(pipeline, tolerances=tolerances)
    loads.target.execute("UPDATE analytics.t SET v = 'NaN', n = NULL WHERE id = 6")
    assert columns_of(compared(pipeline, tolerances=tolerances)) == {("6",): {"v", "n"}}


def test_without_a_key_what_is_near_enough_is_equal(loads: Loads, hashing: str) -> None:
    loads.source.execute("CREATE TABLE s (a text, v double precision)")
    loads.source.execute("INSERT INTO s VALUES ('x', 1.0), ('x', 2.0), ('y', 3.0), (NULL, 4.0)")
    loads.target.execute("CREATE TABLE analytics.t AS SELECT 'x'::text AS a, 1.05::float8 AS v")
    loads.target.execute("INSERT INTO analytics.t VALUES ('x', 1.95), ('y', 2.95), (NULL, 4.05)")
    pipeline = loads.define("SELECT a, v FROM s")
    assert_equal(pipeline, tolerances={"v": 0.1})
    loads.target.execute("UPDATE analytics.t SET v = 3.3 WHERE a = 'y'")
    assert not compared(pipeline, tolerances={"v": 0.1}).equal


@pytest.mark.parametrize("name", ["nothing", "id", "name"])
def test_a_tolerance_of_a_column_that_takes_none_is_refused(table: Loads, name: str) -> None:
    with pytest.raises(Rejected, match=f"“{name}”"):
        compared(table.define("SELECT id, name FROM people"), tolerances={name: 0.1})


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_no_distance_is_refused(loads: Loads, tolerance: float) -> None:
    with pytest.raises(Rejected, match="“v” must be a number that is not negative"):
        compared(loads.define("SELECT 1.5 AS v"), tolerances={"v": tolerance})


# At random

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("\t\n\\'\"{},"),
    max_size=12,
)
ROWS = st.dictionaries(
    st.tuples(TEXTS, st.integers(-(2**63), 2**63 - 1)),
    st.tuples(
        st.none() | TEXTS,
        st.none() | st.floats(width=64),
        st.none()
        | st.just(Decimal("NaN"))
        | st.decimals(allow_nan=False, allow_infinity=False, places=3),
        st.none() | st.binary(max_size=9),
        st.none() | st.booleans(),
        st.none() | st.lists(st.none() | TEXTS, max_size=3),
    ),
    max_size=25,
)
COLUMNS = ("t", "f", "n", "b", "o", "a")


EDITS = st.lists(st.sampled_from(["keep", "delete", *COLUMNS]), min_size=25, max_size=25)


@given(rows=ROWS, edits=EDITS)
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_random_rows_are_equal_after_a_load_and_random_edits_are_found(
    loads: Loads, rows: dict[tuple[str, int], tuple[Any, ...]], edits: list[str]
) -> None:
    pipeline = load_rows(loads, rows)
    assert_equal(pipeline)
    expected = {("new\t", "-1"): "insert"} if ("new\t", -1) not in rows else {}
    loads.target.execute("INSERT INTO analytics.t VALUES (E'new\\t', -1) ON CONFLICT DO NOTHING")
    for key, edit in zip(sorted(rows), edits, strict=False):
        if edit != "keep":
            make_edit(loads, edit, key, rows[key])
            expected[(key[0], str(key[1]))] = edit
    report = compared(pipeline, sample=1000)
    changed = {key: {edit} for key, edit in expected.items() if edit in COLUMNS}
    assert found(report) == {
        Kind.MISSING: {key for key, edit in expected.items() if edit == "delete"},
        Kind.EXTRA: {key for key, edit in expected.items() if edit == "insert"},
        Kind.DIFFERENT: changed.keys(),
    }
    assert columns_of(report) == changed
    assert compared(pipeline, level=Level.CHECKSUM).equal == (not expected)


def make_edit(loads: Loads, edit: str, key: tuple[str, int], row: tuple[Any, ...]) -> None:
    """Delete the row, or give one of its columns another value."""
    if edit == "delete":
        loads.target.execute("DELETE FROM analytics.t WHERE (k, id) = (%s, %s)", key)
        return
    statement = sql.SQL("UPDATE analytics.t SET {} = %s WHERE (k, id) = (%s, %s)")
    value = _changed(edit, row[COLUMNS.index(edit)])
    loads.target.execute(statement.format(sql.Identifier(edit)), [value, *key])


def _changed(column: str, value: Any) -> Any:
    """Another value."""
    if value is None:
        return {"t": "", "f": 0.0, "n": 0, "b": b"", "o": False, "a": []}[column]
    if column in "fn":
        return None if value == 0 or isnan(value) else -value
    if column == "o":
        return not value
    return value + {"t": " ", "b": b"\0", "a": [None]}[column]


def load_rows(loads: Loads, rows: dict[tuple[str, int], tuple[Any, ...]]) -> Any:
    for session, table in ((loads.source, "s"), (loads.target, "analytics.t")):
        session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.SQL(table)))
        session.execute(
            sql.SQL(
                "CREATE TABLE {} (k text, id bigint, t text, f double precision, n numeric,"
                " b bytea, o boolean, a text[], PRIMARY KEY (k, id))"
            ).format(sql.SQL(table))
        )
    for key, row in rows.items():
        loads.source.execute("INSERT INTO s VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", [*key, *row])
    pipeline = loads.define("SELECT * FROM s", allow_empty=True)
    loads.succeed(pipeline)
    return pipeline


def test_a_key_that_is_there_thousands_of_times_is_shown_in_time(loads: Loads) -> None:
    """Rows of one key are looked through for an example, not each against each."""
    loads.source.execute("CREATE TABLE s AS SELECT 1 AS id, g AS v FROM generate_series(1, 4000) g")
    loads.target.execute(
        "CREATE TABLE analytics.t AS SELECT 1 AS id, -g AS v FROM generate_series(1, 4000) g"
    )
    report = compared(loads.define("SELECT id, v FROM s", key_columns=["id"]), seconds=20)
    assert report.different == 4000
    assert [change.column for change in report.sample[0].changes] == ["v"]


def test_a_key_takes_no_tolerance(loads: Loads) -> None:
    pipeline = loads.define("SELECT 1.5 AS v", key_columns=["v"])
    with pytest.raises(Rejected, match="“v” tells rows apart"):
        compared(pipeline, tolerances={"v": 0.1})
