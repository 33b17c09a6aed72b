"""Validate and Preview in the admin: the fragment, the page without scripts, and who may."""

import re
from contextlib import ExitStack
from unittest import mock

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from pipelines.models import Pipeline
from runner import preflight
from tests.factories import ConnectionFactory, PipelineFactory
from tests.whole.admin_pages import GROUPS, listing, new_pipeline, person, posted
from tests.whole.admin_pages import standing as pipeline_in

FILMS = "SELECT id, title, modified FROM content.films"
HTMX = {"HX-Request": "true"}
SERVERS = ("runner.preflight.preview", "runner.preflight.validate", "runner.preflight.inspect")


@pytest.fixture
def films(target):
    """Three films, on the built-in connection's server."""
    target.execute(
        "CREATE SCHEMA content; CREATE SCHEMA analytics;"
        "CREATE TABLE content.films (id int PRIMARY KEY, title text, modified timestamptz);"
        "INSERT INTO content.films VALUES (1, '<b>Alien</b>', '2024-01-01Z'),"
        " (2, '', '2024-01-02Z'), (3, NULL, '2024-01-03Z')"
    )
    return target


def look(client, button="preview", /, *, pipeline=None, headers=HTMX, **changes):
    """Press the button; the form of a new pipeline, or of `pipeline`."""
    address = listing(Pipeline, button)
    if pipeline is None:
        return client.post(address, new_pipeline(**changes), headers=headers)
    form = posted(client, pipeline, **changes)
    return client.post(f"{address}?pipeline={pipeline.pk}", form, headers=headers)


def text(answer):
    assert answer.status_code == 200, answer
    return answer.content.decode()


def words(answer):
    """What is said, without the markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", text(answer)).split())


# What is shown


def test_a_preview_shows_columns_rows_plan_key_and_target(db, films):
    answer = look(
        person("editor"), source_query=FILMS, mode="incremental", incremental_key="modified"
    )

    said = words(answer)
    assert "valid Both servers were asked: this can run." in said
    for heading in (
        *("Columns", "First rows", "What the query costs", "Incremental key", "Target"),
        *("How it is published", "Late commits"),
    ):
        assert f"<h3>{heading}" in text(answer), heading
    assert "modified timestamp with time zone timestamp with time zone created bytes" in said
    assert "! Indexed: no" in said
    assert "✓ Never NULL: yes" in said
    assert "✓ Unique together with the key: yes" in said
    assert "CREATE INDEX CONCURRENTLY ON &quot;content&quot;.&quot;films&quot;" in text(answer)
    assert "CREATE TABLE &quot;analytics&quot;.&quot;film_dim&quot;" in text(answer)


def test_values_are_escaped_and_null_is_told_from_the_empty_string(db, films):
    shown = text(look(person("editor"), source_query=FILMS))

    assert "&lt;b&gt;Alien&lt;/b&gt;" in shown
    assert "<b>Alien" not in shown
    assert shown.count('<span class="etl-nothing">NULL</span>') == 1
    assert shown.count('<span class="etl-nothing">empty</span>') == 1


def test_names_of_columns_are_escaped_too(db, films):
    shown = text(look(person("editor"), source_query='SELECT 1 AS id, 2 AS "<script>x</script>"'))

    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_long_values_are_cut_and_that_is_said(db, films):
    answer = look(person("editor"), source_query="SELECT 1 AS id, repeat('x', 5000) AS t")

    assert "x" * 200 + "…" in text(answer)
    assert "x" * 201 not in text(answer)
    assert "at most 200 characters" in words(answer)


def test_a_query_without_rows_says_so(db, films):
    assert "The query returns no rows" in words(
        look(person("editor"), source_query=f"{FILMS} WHERE false")
    )


def test_an_existing_table_is_shown_beside_the_query(db, films):
    films.execute("CREATE TABLE analytics.film_dim (id bigint PRIMARY KEY, title text, note text)")

    said = words(look(person("editor"), source_query="SELECT id, title FROM content.films"))

    assert "id integer bigint text title text text text, as the others" in said
    assert "does not fill: “note”" in said
    assert "CREATE TABLE" not in said
    assert "A full load becomes visible by swap" in said


def test_validate_shows_what_is_checked_and_runs_nothing(db, films):
    query = "SELECT 1 AS id, now() AS modified, pg_sleep(60)::text AS z"

    said = words(look(person("editor"), "validate", source_query=query))

    assert "valid Both servers were asked" in said
    assert "Columns" in said
    assert "First rows" not in said
    assert "What the query costs" not in said


def test_warnings_are_shown(db, films):
    PipelineFactory(name="first", target_table="analytics.film_dim")

    assert "“first” writes to the table" in words(look(person("editor"), source_query=FILMS))


# What is wrong


def test_wrong_fields_are_named_by_their_labels_and_no_server_is_asked(db):
    with ExitStack() as stack:
        asked = [stack.enter_context(mock.patch(name)) for name in SERVERS]
        said = words(look(person("editor"), target_table="x", batch_size="0", source_query=""))

    assert "not valid It cannot run like this: 3 things are wrong." in said
    for label in ("Target table", "Batch size", "Source query Write the query"):
        assert label in said
    assert not any(server.called for server in asked)


@pytest.mark.parametrize("name", ["preview", "validate"])
@pytest.mark.parametrize(
    "query",
    [
        "select 1) as q; drop table content.films; --",
        "WITH gone AS (DELETE FROM content.films RETURNING id) SELECT id FROM gone",
        "SELECT titel FROM content.films",
        "SELECT 1 AS a, 2 AS a",
    ],
)
def test_what_the_servers_refuse_is_said_at_its_field(db, films, name, query):
    said = words(look(person("editor"), name, source_query=query))

    assert "not valid It cannot run like this: 1 thing is wrong. Source query" in said
    assert films.execute("SELECT count(*) FROM content.films").fetchone() == (3,)


def test_a_server_that_is_away_is_said_at_its_connection(db, films):
    away = ConnectionFactory(name="away", host="127.0.0.1", port=1)

    assert "Source connection The source connection “away” cannot be reached" in words(
        look(person("editor"), source_connection=away.pk)
    )


def test_a_preview_does_not_wait_for_a_name_and_validate_does(db, films):
    PipelineFactory(name="taken")

    for name in ("", "taken"):
        assert "valid Both" in words(look(person("editor"), name=name, source_query=FILMS))
        assert "not valid" in words(look(person("editor"), "validate", name=name))


# Stored pipelines


def test_the_form_of_a_stored_pipeline_is_shown_as_it_was_typed(db, films):
    stored = PipelineFactory(source_query=FILMS, target_table="analytics.film_dim")
    client = person("editor")

    said = words(look(client, pipeline=stored, source_query="SELECT 7 AS id, 'typed' AS title"))

    assert "typed" in said
    stored.refresh_from_db()
    assert stored.source_query == FILMS


def test_the_pipeline_may_be_named_in_the_form(db, films):
    stored = PipelineFactory(source_query=FILMS, target_table="analytics.film_dim")
    client = person("editor")
    form = posted(client, stored)

    answer = client.post(
        listing(Pipeline, "preview"), {**form, "pipeline": str(stored.pk)}, headers=HTMX
    )

    assert "Alien" in words(answer)


@pytest.mark.parametrize("status", ["RUN_REQUESTED", "RUNNING", "PAUSE_REQUESTED"])
@pytest.mark.parametrize("name", ["preview", "validate"])
def test_a_locked_pipeline_is_shown_as_it_is_stored(db, films, status, name):
    stored = pipeline_in(status, source_query=FILMS, target_table="analytics.film_dim")
    client = person("editor")

    answer = look(client, name, pipeline=stored)

    assert "source_query" not in posted(client, stored)
    assert "valid Both servers were asked" in words(answer)
    assert "title text text" in words(answer)


def test_a_page_from_before_somebody_elses_change_can_still_be_looked_at(db, films):
    stored = PipelineFactory(source_query=FILMS, target_table="analytics.film_dim")

    assert "valid Both" in words(look(person("editor"), pipeline=stored, version="2001-01-01"))


@pytest.mark.parametrize("key", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_a_pipeline_that_is_gone_is_said(db, key):
    answer = person("editor").post(
        f"{listing(Pipeline, 'preview')}?pipeline={key}", new_pipeline(), headers=HTMX
    )

    assert "deleted meanwhile" in words(answer)


# Nothing is left behind


def test_nothing_is_stored_and_no_message_waits(db, films):
    stored = PipelineFactory(source_query=FILMS, target_table="analytics.film_dim")
    client = person("editor")

    for name in ("preview", "validate"):
        look(client, name, name="brand_new", source_query=FILMS)
        look(client, name, pipeline=stored, name="other", batch_size="7")

    stored.refresh_from_db()
    assert (Pipeline.objects.count(), stored.name == "other", stored.batch_size) == (1, False, 5000)
    assert not LogEntry.objects.exists()
    assert not list(client.get(listing(Pipeline)).context["messages"])
    assert films.execute("SELECT to_regnamespace('etl')").fetchone() == (None,)
    assert films.execute("SELECT to_regclass('analytics.film_dim')").fetchone() == (None,)


# The two forms of the answer


def test_htmx_gets_a_fragment_and_a_form_without_scripts_a_page(db, films):
    client = person("editor")

    fragment = text(look(client, source_query=FILMS))
    page = look(client, source_query=FILMS, headers={})

    assert "<html" not in fragment
    assert "<html" in text(page)
    assert "<title>Preview" in re.sub(r"\s+", " ", text(page)).replace("<title> ", "<title>")
    assert "Alien" in text(page)


def test_no_script_and_no_style_is_written_into_the_fragment(db, films):
    shown = text(look(person("editor"), source_query=FILMS))

    assert not re.search(r"<script|\son\w+=|style=", shown)


# Who may


@pytest.fixture
def _no_servers(db):
    """The question here is who may ask, not what the servers say."""
    gone = preflight.Rejected({"source_query": ["No."]})
    with (
        mock.patch("runner.preflight.preview", side_effect=gone),
        mock.patch("runner.preflight.validate", side_effect=gone),
    ):
        yield


@pytest.mark.usefixtures("_no_servers")
@pytest.mark.parametrize("group", [*GROUPS, None])
@pytest.mark.parametrize("name", ["preview", "validate"])
def test_only_editors_may(group, name):
    stored = PipelineFactory()
    client, form = person(group), new_pipeline()
    address = listing(Pipeline, name)

    answers = [
        client.post(address, form, headers=HTMX),
        client.post(f"{address}?pipeline={stored.pk}", form, headers=HTMX),
        client.post(address, form),
    ]

    expected = 200 if group in ("editor", "administrator") else 403
    assert {answer.status_code for answer in answers} == {expected}


@pytest.mark.parametrize("name", ["preview", "validate"])
def test_a_stranger_is_led_to_the_sign_in(db, name):
    assert Client().post(listing(Pipeline, name), new_pipeline()).status_code == 302


@pytest.mark.parametrize("name", ["preview", "validate"])
def test_looking_takes_a_post_with_its_csrf_token(db, name):
    client = person("editor")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(client.user)

    assert client.get(listing(Pipeline, name)).status_code == 405
    assert strict.post(listing(Pipeline, name), new_pipeline()).status_code == 403
