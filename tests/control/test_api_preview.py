"""Previews over the API: what is answered, what is refused, and that nothing is stored."""

from functools import partial
from unittest import mock

import pytest

from pipelines.models import DEFAULT_CONNECTION, Connection, Pipeline
from runner import preflight
from tests.control.asking import Asker
from tests.control.test_api_errors import NOWHERE, shape
from tests.factories import ConnectionFactory, PipelineFactory

FILMS = {
    "source_query": "SELECT id, title, modified FROM content.films",
    "source_connection": "source",
    "target_table": "analytics.films",
    "key_columns": ["id"],
}
INCREMENTAL = {"mode": "incremental", "incremental_key": "modified"}
MEMBERS = [
    *("columns", "as_bytes", "rows", "rows_note", "plan", "plan_in_words", "key", "target", "ddl"),
    *("method", "method_reasons", "promise", "warnings"),
]


@pytest.fixture
def editor(db, target_url):
    return Asker("editor")


@pytest.fixture
def films(source, source_connection, target):
    """A source of three films."""
    source.execute(
        "CREATE SCHEMA content;"
        "CREATE TABLE content.films (id int PRIMARY KEY, title text, modified timestamptz);"
        "INSERT INTO content.films VALUES (1, 'Alien', '2024-01-01Z'), (2, '', '2024-01-02Z'),"
        " (3, NULL, '2024-01-03Z')"
    )
    target.execute("CREATE SCHEMA analytics")
    return source


def test_a_definition_is_shown_and_nothing_is_stored(editor, films, target):
    answer = editor.post("/preview", FILMS | INCREMENTAL | {"rows": 3})

    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert list(body) == MEMBERS
    assert body["columns"][0] == {
        "name": "id",
        "type": "integer",
        "becomes": "integer",
        "created": True,
        "as_bytes": True,
    }
    assert [row[:2] for row in body["rows"]] == [["1", "Alien"], ["2", ""], ["3", None]]
    assert body["rows_note"] == ""
    assert body["plan"]["weight"] == "light"
    assert body["plan_in_words"][0].startswith("The source has little to do")
    assert [(fact["name"], fact["holds"]) for fact in body["key"]] == [
        ("indexed", False),
        ("never_null", True),
        ("unique", True),
    ]
    assert body["key"][0]["advice"].startswith("CREATE INDEX")
    assert body["ddl"].startswith('CREATE TABLE "analytics"."films" (')
    assert body["method"] == "merge"
    assert "committed" in body["promise"] or "commit" in body["promise"]
    assert not Pipeline.objects.exists()
    assert target.execute("SELECT to_regclass('analytics.films')").fetchone() == (None,)
    assert target.execute("SELECT to_regnamespace('etl')").fetchone() == (None,)


def test_twenty_rows_are_shown_unless_told_otherwise(editor):
    wanted = {
        "source_query": "SELECT n FROM generate_series(1, 200) n",
        "target_table": "analytics.n",
    }

    counts = [
        len(editor.post("/preview", wanted | given).json()["rows"])
        for given in ({}, {"rows": 100}, {"rows": 1})
    ]

    assert counts == [20, 100, 1]


def test_no_rows_are_read_where_none_are_wanted(editor):
    wanted = {"source_query": "SELECT pg_sleep(60)::text AS a", "target_table": "analytics.n"}

    body = editor.post("/preview", wanted | {"rows": 0}).json()

    assert (body["rows"], body["rows_note"]) == (None, "")
    assert body["plan"] is not None


def test_a_slow_query_is_answered_without_rows(editor):
    hasty = mock.patch("runner.preflight.preview", partial(preflight.preview, seconds=0.2))
    wanted = {"source_query": "SELECT pg_sleep(60)::text AS a", "target_table": "analytics.n"}

    with hasty:
        body = editor.post("/preview", wanted).json()

    assert body["rows"] is None
    assert "took longer than 0.2 s" in body["rows_note"]


# A stored pipeline


def test_a_stored_pipeline_is_shown_with_the_changes(editor, films, source_connection):
    stored = PipelineFactory(
        source_connection=source_connection,
        target_connection=Connection.objects.get(name=DEFAULT_CONNECTION),
        **{name: value for name, value in FILMS.items() if name != "source_connection"},
    )

    as_it_is = editor.post("/preview", {"pipeline": str(stored.pk)})
    changed = editor.post(
        "/preview",
        {"pipeline": str(stored.pk).upper(), "source_query": "SELECT 7 AS id", "rows": 1},
    )

    assert len(as_it_is.json()["rows"]) == 3
    assert changed.json()["rows"] == [["7"]]
    stored.refresh_from_db()
    assert stored.source_query == FILMS["source_query"]


def test_a_pipeline_that_runs_can_be_looked_at(editor):
    stored = PipelineFactory(status="RUN_REQUESTED", source_query="SELECT 1 AS id")

    assert editor.post("/preview", {"pipeline": str(stored.pk)}).status_code == 200


@pytest.mark.parametrize("given", ["", "nonsense", 5, None, [], NOWHERE])
def test_what_is_no_pipeline_is_refused_at_its_field(editor, given):
    body = shape(editor.post("/preview", {"pipeline": given}), 400, "invalid")

    assert "pipeline" in body["errors"]


# What is refused


def test_our_own_rules_come_first(editor):
    with mock.patch("runner.preflight.preview") as asked:
        body = shape(
            editor.post("/preview", {"mode": "sometimes", "target_table": "x", "nonsense": 1}),
            400,
            "invalid",
        )

    assert list(body["errors"]) == ["source_query", "mode", "target_table", "nonsense"]
    asked.assert_not_called()


def test_the_name_does_not_matter(editor):
    PipelineFactory(name="taken")
    wanted = {"source_query": "SELECT 1 AS id", "target_table": "analytics.n"}

    for name in ({}, {"name": "taken"}, {"name": ""}):
        assert editor.post("/preview", wanted | name).status_code == 200


@pytest.mark.parametrize("rows", [-1, 101, "20", None, 1.5, True])
def test_a_wrong_number_of_rows_is_told_what_to_give(editor, rows):
    wanted = {"source_query": "SELECT 1 AS id", "target_table": "analytics.n", "rows": rows}

    body = shape(editor.post("/preview", wanted), 400, "invalid")

    assert list(body["errors"]) == ["rows"]


@pytest.mark.parametrize(
    "query",
    [
        "select 1) as q; drop table victims; --",
        "WITH gone AS (DELETE FROM victims RETURNING id) SELECT id FROM gone",
        "SELECT 1 AS a, 2 AS a",
        "SELECT nothing FROM nowhere",
    ],
)
def test_a_query_that_cannot_be_is_refused_at_its_field(editor, target, query):
    target.execute("CREATE TABLE victims AS SELECT 1 AS id")

    body = shape(
        editor.post("/preview", {"source_query": query, "target_table": "analytics.n"}),
        400,
        "invalid",
    )

    assert list(body["errors"]) == ["source_query"]
    assert target.execute("SELECT count(*) FROM victims").fetchone() == (1,)


def test_a_server_that_is_away_is_told_as_when_a_pipeline_is_created(editor):
    ConnectionFactory(name="away", host="127.0.0.1", port=1, target_schemas=["analytics"])
    wanted = {"source_query": "SELECT 1 AS id", "target_table": "analytics.n"}

    for side in ("source", "target"):
        given = wanted | {f"{side}_connection": "away"}
        body = shape(editor.post("/preview", given), 400, f"{side}_unavailable")
        assert list(body["errors"]) == [f"{side}_connection"]


def test_another_pipelines_table_is_warned_of(editor):
    PipelineFactory(name="first", target_table="analytics.n")

    body = editor.post(
        "/preview", {"source_query": "SELECT 1 AS id", "target_table": "analytics.n"}
    ).json()

    assert "“first”" in body["warnings"][0]
