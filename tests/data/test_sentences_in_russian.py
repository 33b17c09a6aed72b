"""What really goes wrong is said in Russian too: real refusals and failures, translated."""

import re
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.utils import translation

from pipelines import hosts
from pipelines.admin.said import said
from pipelines.secrets import Unreadable
from runner.addresses import address_of
from runner.plan import Address
from runner.preflight import test_connection as sign_in
from runner.reach import ForbiddenHost, ways_to
from tests.data.loading import Loads
from tests.factories import ConnectionFactory

Refused = Callable[..., dict[str, list[str]]]

#: What is the same in every language: SQL, names of settings, and the names in these tests.
SAME = {
    *("SELECT", "VALUES", "TABLE", "WITH", "FOR", "UPDATE", "SHARE", "AS", "NULL", "NOT", "GRANT"),
    *(
        "USING",
        "btree",
        "NULLIF",
        "CASE",
        "WHERE",
        "DEFERRABLE",
        "GENERATED",
        "ALWAYS",
        "IDENTITY",
        "COLLATE",
    ),
    *("PostgreSQL", "TLS", "SQLSTATE", "UTC", "COMMIT", "swap", "merge", "replace", "include"),
    *("exclude", "allow_empty", "pg_read_all_stats", "text", "jsonb", "json", "integer", "bigint"),
    *("minutes", "name", "other_name", "id", "modified", "title", "analytics.t", "analytics", "t"),
}
_LATIN = re.compile(r"[A-Za-z_][\w.]*\w|[A-Za-z]")


def russian(sentence: str | None) -> str:
    with translation.override("ru"):
        return said(sentence)


def english_in(sentence: str | None, *names: str) -> set[str]:
    return set(_LATIN.findall(russian(sentence))) - SAME - {*names}


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("SELECT 1 AS id; SELECT 2", {}),
        ("SELECT 1 AS id WHERE $1", {}),
        ("SELECT 1", {}),
        ("SELECT 1 AS id, 2 AS id", {}),
        ("SELECT", {}),
        ("SELECT 1 AS id FROM pg_catalog.pg_class FOR UPDATE", {}),
        ("SELECT 1 AS ctid", {}),
        ("SELECT 1 AS id, 'a' AS title", {"mode": "incremental", "incremental_key": "modified"}),
        ("SELECT 1 AS id", {"key_columns": ["title"]}),
        ("SELECT 1 AS id", {"publish": "merge"}),
        ("SELECT '{}'::json AS id", {"key_columns": ["id"]}),
        (
            "SELECT 1 AS id, now() AS modified",
            {
                "mode": "incremental",
                "incremental_key": "modified",
                "key_columns": ["id"],
                "late_margin": "-1 day",
            },
        ),
        (
            "SELECT 1 AS id, 2 AS modified",
            {
                "mode": "incremental",
                "incremental_key": "modified",
                "key_columns": ["id"],
                "late_margin": "soon",
            },
        ),
    ],
)
def test_refusals_of_the_preflight(
    refused: Refused, target: psycopg.Connection[Any], query: str, values: dict[str, Any]
) -> None:
    target.execute("CREATE SCHEMA analytics")

    found = [sentence for group in refused(query, **values).values() for sentence in group]

    assert found
    for sentence in found:
        assert english_in(sentence, "ctid") == set(), sentence


@pytest.mark.parametrize(
    ("table", "query", "values"),
    [
        ("(id int)", "SELECT 1 AS id, 'a'::text AS title", {}),
        ("(id int, title text NOT NULL)", "SELECT 1 AS id", {}),
        ("(id int, title text)", "SELECT 1 AS id", {"key_columns": ["title"]}),
        ("(id int GENERATED ALWAYS AS (1) STORED)", "SELECT 1 AS id", {}),
        (
            "(id int, modified timestamptz)",
            "SELECT 1 AS id, now() AS modified",
            {"mode": "incremental", "incremental_key": "modified", "key_columns": ["id"]},
        ),
        (
            "(id int, modified timestamptz)",
            "SELECT 1 AS id, now() AS modified",
            {"mode": "incremental", "incremental_key": "modified"},
        ),
        (
            "(id smallint PRIMARY KEY, modified timestamptz)",
            "SELECT 1::bigint AS id, now() AS modified",
            {"mode": "incremental", "incremental_key": "modified"},
        ),
    ],
)
def test_targets_that_do_not_fit(
    refused: Refused,
    target: psycopg.Connection[Any],
    table: str,
    query: str,
    values: dict[str, Any],
) -> None:
    target.execute(f"CREATE SCHEMA analytics; CREATE TABLE analytics.t {table}")

    for group in refused(query, **values).values():
        for sentence in group:
            assert english_in(sentence, "smallint") == set(), sentence


def test_what_stands_in_the_way_of_a_swap(
    refused: Refused, target: psycopg.Connection[Any]
) -> None:
    target.execute("CREATE SCHEMA analytics; CREATE TABLE analytics.t (id int PRIMARY KEY)")
    target.execute("CREATE VIEW analytics.v AS SELECT id FROM analytics.t")
    target.execute("CREATE TABLE analytics.u (id int REFERENCES analytics.t)")

    (sentence,) = refused("SELECT 1 AS id", publish="swap")["publish"]

    assert "на неё ссылаются внешние ключи других таблиц" in russian(sentence)
    assert "правило _RETURN представления" in russian(sentence)
    names = {"_RETURN", "analytics.v", "analytics.u", "u_id_fkey"}
    assert english_in(sentence, *names) == set(), sentence


def test_a_view_is_no_target(refused: Refused, target: psycopg.Connection[Any]) -> None:
    target.execute("CREATE SCHEMA analytics; CREATE VIEW analytics.t AS SELECT 1 AS id")

    (sentence,) = refused("SELECT 1 AS id")["target_table"]

    told = russian(sentence).replace("\N{NO-BREAK SPACE}", " ")
    assert told == "«analytics.t» — это представление. Назовите обычную таблицу."


@pytest.mark.parametrize(
    ("table", "query", "values"),
    [
        ("(id smallint)", "SELECT 100000 AS id", {"publish": "replace"}),
        ("(id int CHECK (id > 5))", "SELECT 1 AS id", {"publish": "replace"}),
        ("(id int)", "SELECT 1 / (id - 1) AS id FROM (VALUES (1)) AS v(id)", {}),
        ("(id int)", "SELECT 1 AS id WHERE false", {}),
        ("(id int)", "SELECT 1 AS id", {"max_shrink_percent": 10}),
        ("(id int PRIMARY KEY)", "SELECT 1 AS id FROM generate_series(1, 2)", {}),
        (
            "(id int PRIMARY KEY, modified timestamptz)",
            "SELECT 1 AS id, NULL::timestamptz AS modified",
            {"mode": "incremental", "incremental_key": "modified"},
        ),
    ],
)
def test_runs_that_fail(loads: Loads, table: str, query: str, values: dict[str, Any]) -> None:
    loads.target.execute(f"CREATE TABLE analytics.t {table}")
    if "CHECK" not in table and "modified" not in table:
        loads.target.execute("INSERT INTO analytics.t SELECT generate_series(1, 2000)")
    run = loads.fail(loads.define(query, **values))

    servers_own = {"division", "by", "zero"} if "/" in query else set()
    names = {"t_id_check", "t_pkey"} | servers_own
    assert english_in(run.error_message, *names) == set(), run.error_message


def test_the_log_of_a_run_and_its_promise(loads: Loads) -> None:
    loads.source.execute("CREATE TABLE s AS SELECT 1 AS id, now() AS modified")
    pipeline = loads.follow("SELECT id, modified FROM s")
    run = loads.succeed(pipeline)
    lines = [line.text for control in loads.controls for line in control.journal.take()]

    assert lines
    for sentence in (*lines, run.promise):
        assert english_in(sentence, "source", "target") == set(), sentence
        assert russian(sentence) != sentence


def test_a_connection_that_cannot_be_opened(source_address: Address) -> None:
    from dataclasses import replace

    nobody = replace(source_address, user="nobody", password="wrong")
    reports = [sign_in(nobody), sign_in(source_address)]

    for report in reports:
        for sentence in (report.sentence, *report.warnings):
            assert english_in(sentence, source_address.user) == set(), sentence


# Texts that are none of ours.


def test_what_the_server_said_stays_as_it_said_it() -> None:
    sentence = (
        'The target says: relation "The table x" does not exist. '
        "Create the table again, or change the query."
    )

    assert russian(sentence) == (
        'Приёмник сообщает: relation "The table x" does not exist. '
        "Создайте таблицу заново или измените запрос."
    )


@pytest.mark.parametrize("words", ["function f(integer) does not exist", "division by zero"])
def test_what_the_server_said_is_not_taken_for_a_phrase_of_ours(words: str) -> None:
    assert russian(f"PostgreSQL says: {words}.") == f"PostgreSQL сообщает: {words}."


@pytest.mark.parametrize("text", ["", "None of ours.", "”“ {name} %(x)s <b>", "…", "\x04", "a. B"])
def test_what_nobody_of_ours_said_stays_as_it_is(text: str) -> None:
    assert russian(text) == text


def test_names_are_never_translated_and_braces_are_no_placeholders() -> None:
    sentence = "Two output columns are called “{name}”. Rename one of them: … AS other_name."

    assert russian(sentence).startswith("Два столбца результата называются «{name}».")
    assert "«a view»" in russian("The query does not return the incremental key “a view”.")


def test_english_is_given_as_it_is_stored() -> None:
    sentence = "“analytics.t” is a view. Name an ordinary table."

    for language in ("en", "en-gb", "de"):
        with translation.override(language):
            assert said(sentence) == sentence
    with translation.override(None):
        assert said(sentence) == sentence
    assert said(None) == ""


@pytest.mark.parametrize(
    "text",
    [
        "The target says: " + "a. B" * 2500 + ".",
        "“x” of " * 1400,
        "The table " * 1000,
        "; it has foreign keys" * 450,
        "A row violates the constraint “" + "”" * 10_000,
        "x" * 10_000,
    ],
)
def test_long_messages_take_no_time(text: str) -> None:
    russian("")
    began = time.perf_counter()

    russian(text)

    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "169.254.169.254",
        "239.1.1.1",
        "",
        "/tmp",
        "a,b",
        "a b",
        "a;b",
        "a..b",
        "a" * 256,
    ],
)
def test_a_host_that_is_forbidden(host: str) -> None:
    address = Address(
        name="shop", host=host, port=5432, dbname="d", user="u", password="", sslmode="require"
    )
    with pytest.raises(ForbiddenHost) as forbidden:
        ways_to(address)

    assert english_in(forbidden.value.sentence, "shop", "IP", "CONNECTIONS_ALLOW_LOCAL") == set()


def test_the_database_of_our_own_tables_is_forbidden() -> None:
    sentence = ForbiddenHost("shop", hosts.METADATA).sentence

    assert english_in(sentence, "shop", "CONNECTIONS_ALLOW_LOCAL") == set()


@pytest.mark.parametrize(
    ("source", "reference", "folder"),
    [
        ("environment", "ETL_SECRET_NOWHERE", ""),
        ("environment", "HOME", ""),
        ("file", "nowhere", ""),
        ("file", "nowhere", "."),
        ("file", "long", "."),
        ("file", "binary", "."),
        ("file", "out", "."),
        ("file", "..", "."),
    ],
)
@pytest.mark.django_db
def test_a_password_that_is_not_there(
    settings: Any, tmp_path: Any, source: str, reference: str, folder: str
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "long").write_text("x" * 5000)
    (inside / "binary").write_bytes(b"\xff\xfe")
    (inside / "out").symlink_to(tmp_path)
    settings.SECRET_FILES_DIR = str(inside) if folder else ""
    row = ConnectionFactory(name="shop", password_source=source, password_reference=reference)
    with pytest.raises(Unreadable) as missing:
        address_of(row)

    names = ("shop", "ETL_SECRET_NOWHERE", "ETL_SECRET_", "SECRET_FILES_DIR", "UTF", "nowhere")
    shown = english_in(str(missing.value), *names, "long", "binary", "out", "password", "shop")
    assert shown == set()
