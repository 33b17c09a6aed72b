"""The form of a pipeline: wrong input at its field, and what is stored when nothing is wrong."""

import threading
from unittest import mock

import pytest
from django.db import connection as metadata

from pipelines import lifecycle
from pipelines.admin import servers
from pipelines.admin.pipeline import PipelineAdmin
from pipelines.choices import Trigger
from pipelines.definition import DATA_FIELDS, FIELDS
from pipelines.models import Pipeline
from runner.plan import Column, Method
from runner.preflight import Findings, Rejected
from tests.factories import ConnectionFactory, PipelineFactory, UserFactory
from tests.whole.admin_pages import errors, listing, new_pipeline, page, person, posted, said
from tests.whole.admin_pages import standing as pipeline_in

LOCKED = (
    "What defines the data (type, mode, query, table, connections, keys) cannot change while a "
    "run is requested or running. Pause or cancel it first."
)
FOUND = Findings(
    columns=(Column(name="id", oid=23, type_name="integer"),),
    target_columns=(),
    key=("id",),
    method=Method.SWAP,
)


@pytest.fixture
def inspect():
    """The servers agree, unless a test says otherwise."""
    with mock.patch("runner.preflight.inspect", return_value=FOUND) as asked:
        yield asked


def add(**changes):
    return person("editor").post(listing(Pipeline, "add"), new_pipeline(**changes))


def edit(pipeline, **changes):
    client = person("editor")
    return client.post(page(pipeline), posted(client, pipeline, **changes), follow=True)


# What is wrong without asking any server.


@pytest.mark.parametrize(
    ("field", "changes", "words"),
    [
        ("name", {"name": ""}, "Give the pipeline a name"),
        ("name", {"name": "   "}, "Give the pipeline a name"),
        ("name", {"name": "taken"}, "There is a pipeline “taken” already"),
        ("name", {"name": "x" * 201}, "at most 200"),
        ("name", {"name": None}, "Give the pipeline a name"),
        ("type", {"type": "PYTHON"}, "not available yet"),
        ("type", {"type": "PERL"}, "PERL"),
        ("mode", {"mode": "sometimes"}, "sometimes"),
        ("incremental_key", {"mode": "incremental"}, "Incremental mode needs the column"),
        ("incremental_key", {"incremental_key": "я" * 40}, "63 bytes"),
        ("batch_size", {"batch_size": "0"}, "a whole number from 1 to 1,000,000"),
        ("batch_size", {"batch_size": "-1"}, "a whole number from 1 to 1,000,000"),
        ("batch_size", {"batch_size": "1000001"}, "a whole number from 1 to 1,000,000"),
        ("batch_size", {"batch_size": "9" * 30}, "a whole number from 1 to 1,000,000"),
        ("batch_size", {"batch_size": "many"}, "a whole number from 1 to 1,000,000"),
        ("batch_size", {"batch_size": ""}, "a whole number from 1 to 1,000,000"),
        ("target_table", {"target_table": ""}, "schema.table"),
        ("target_table", {"target_table": "film_dim"}, "schema.table"),
        ("target_table", {"target_table": "pg_catalog.pg_class"}, "belongs to PostgreSQL itself"),
        ("target_table", {"target_table": "etl.checkpoint"}, "holds the checkpoints"),
        ("target_table", {"target_table": "public.x"}, "Allowed: analytics."),
        ("source_query", {"source_query": ""}, "Write the query"),
        ("source_query", {"source_query": " \r\n "}, "Write the query"),
        ("key_columns", {"key_columns": "id, id"}, "named twice"),
        ("key_columns", {"key_columns": "id,"}, "empty"),
        ("key_columns", {"key_columns": "я" * 40}, "63 bytes"),
        ("publish", {"publish": "magic"}, "magic"),
        ("max_shrink_percent", {"max_shrink_percent": "100"}, "from 0 to 99"),
        ("max_shrink_percent", {"max_shrink_percent": "-1"}, "from 0 to 99"),
        ("max_shrink_percent", {"max_shrink_percent": "half"}, "from 0 to 99"),
        ("null_policy", {"null_policy": "ignore"}, "ignore"),
        ("late_margin", {"late_margin": "soon"}, "neither a length of time"),
        ("source_connection", {"source_connection": ""}, "required"),
        ("source_connection", {"source_connection": "no-such"}, "valid"),
        ("target_connection", {"target_connection": ""}, "required"),
    ],
)
def test_wrong_input_has_one_message_at_its_field(db, inspect, field, changes, words):
    PipelineFactory(name="taken")

    found = errors(add(**changes))

    assert list(found) == [field]
    assert len(found[field]) == 1
    assert words in found[field][0]
    assert Pipeline.objects.count() == 1
    inspect.assert_not_called()


def test_every_wrong_field_has_its_message_at_once(db, inspect):
    found = errors(add(name="", batch_size="0", target_table="x", mode="incremental"))

    assert set(found) == {"name", "batch_size", "target_table", "incremental_key"}


def test_the_message_stands_at_the_field_and_what_was_typed_stays(db, inspect):
    html = add(batch_size="0", description="Typed <by> hand").content.decode()

    field = html.partition('name="batch_size"')[2]
    assert "The batch size must be" in field.partition("<fieldset")[0]
    assert "Typed &lt;by&gt; hand" in html


def test_a_connection_that_is_never_a_target_is_refused(db, inspect):
    source_only = ConnectionFactory(name="shop", target_schemas=[])

    found = errors(add(target_connection=source_only.pk))

    assert "never a target" in found["target_table"][0]


# What only the servers can say.


@pytest.mark.parametrize(
    ("field", "changes", "words"),
    [
        ("source_query", {"source_query": "SELECT 1 AS id; SELECT 2 AS id"}, "one statement"),
        ("source_query", {"source_query": "DELETE FROM content.films"}, ""),
        ("source_query", {"source_query": "SELEC 1"}, "line 1"),
        ("source_query", {"source_query": "SELECT id FROM content.nothing"}, "does not exist"),
        ("source_query", {"source_query": "SELECT titel FROM content.films"}, "titel"),
        (
            "source_query",
            {"source_query": "WITH x AS (DELETE FROM content.films RETURNING 1 AS id) TABLE x"},
            "",
        ),
        ("source_query", {"source_query": "SELECT id FROM content.films FOR UPDATE"}, ""),
        ("source_query", {"source_query": "SELECT $1 AS id"}, ""),
        ("source_query", {"source_query": "SELECT (1 AS id"}, ""),
        ("source_query", {"source_query": "SELECT 1 AS id, 2 AS id"}, "id"),
        ("source_query", {"source_query": "SELECT 1 AS id, 1 + 1"}, "name"),
        (
            "incremental_key",
            {"mode": "incremental", "incremental_key": "changed"},
            "changed",
        ),
        ("key_columns", {"key_columns": "number"}, "number"),
        (
            "key_columns",
            {"mode": "incremental", "incremental_key": "modified", "key_columns": ""},
            "key",
        ),
    ],
)
def test_what_postgresql_refuses_is_said_at_the_field(db, target, field, changes, words):
    target.execute("CREATE SCHEMA analytics; CREATE SCHEMA content")
    target.execute("CREATE TABLE content.films (id int PRIMARY KEY, title text)")

    found = errors(add(**changes))

    assert list(found) == [field]
    assert words in found[field][0]
    assert not Pipeline.objects.exists()


def test_a_source_out_of_reach_is_said_at_the_connection(db):
    nowhere = ConnectionFactory(host="127.0.0.1", port=1)

    found = errors(add(source_connection=nowhere.pk))

    assert list(found) == ["source_connection"]
    assert not Pipeline.objects.exists()


def test_a_password_that_no_key_opens_is_said_at_the_connection(db):
    locked = ConnectionFactory()
    type(locked).objects.filter(pk=locked.pk).update(secret="not a secret of ours")

    found = errors(add(source_connection=locked.pk))

    assert "ENCRYPTION_KEYS" in found["source_connection"][0]


def test_what_belongs_to_no_field_is_said_above_the_form(db, inspect):
    inspect.side_effect = Rejected({"elsewhere": ["The stars are wrong."]})

    assert errors(add()) == {"__all__": ["The stars are wrong."]}


# What is stored.


def test_a_new_pipeline_is_stored_and_its_page_opens(db, target):
    target.execute("CREATE SCHEMA analytics")

    answer = person("editor").post(
        listing(Pipeline, "add"),
        new_pipeline(description="Line 1\r\nLine 2", key_columns=" id ", late_margin="10 minutes"),
        follow=True,
    )

    pipeline = Pipeline.objects.get()
    assert answer.redirect_chain == [(page(pipeline) + "#general", 302)]
    assert pipeline.status == "IDLE"
    assert pipeline.enabled
    assert pipeline.key_columns == ["id"]
    assert pipeline.description == "Line 1\nLine 2"
    assert pipeline.late_margin == "10 minutes"
    assert pipeline.incremental_key is None
    assert said(answer) == [
        "The table analytics.film_dim does not exist yet: the first run makes it, with 2 columns."
        " Its primary key will be (id).",
        "A full load becomes visible by swap: a new table takes the old one's place.",
        f'The pipeline “<a href="{page(pipeline)}">film_dim</a>” was added successfully.',
    ]


def test_warnings_and_the_promise_are_told_after_saving(db, inspect):
    inspect.return_value = Findings(
        columns=FOUND.columns,
        target_columns=(),
        key=("id",),
        method=Method.MERGE,
        promise="Nothing is missed.",
        warnings=("The key has no index.",),
    )

    client = person("editor")
    answer = client.post(
        listing(Pipeline, "add"),
        new_pipeline(mode="incremental", incremental_key="modified"),
        follow=True,
    )

    levels = [(message.level_tag, str(message)) for message in answer.context["messages"]]
    assert levels[:2] == [("info", "Nothing is missed."), ("warning", "The key has no index.")]


def test_a_new_pipeline_begins_with_the_built_in_connection(db):
    form = person("editor").get(listing(Pipeline, "add")).context["adminform"].form

    assert form["source_connection"].initial.name == "default"
    assert form["target_connection"].initial.name == "default"
    assert form["key_columns"].value() == ""


def test_the_form_has_the_whole_definition_and_nothing_else(db):
    form = person("editor").get(listing(Pipeline, "add")).context["adminform"].form

    assert set(form.fields) == {*FIELDS, "version"}


def test_every_field_has_help(db):
    form = person("editor").get(listing(Pipeline, "add")).context["adminform"].form

    silent = [name for name, field in form.fields.items() if not field.help_text]

    assert silent == ["version"]


def test_an_edit_writes_what_changed_and_nothing_of_the_lifecycle(db, inspect):
    pipeline = pipeline_in("FAILED", generation=7, checkpoint_epoch=2)

    answer = edit(pipeline, batch_size="9", source_query="SELECT 2 AS id")

    stored = Pipeline.objects.get()
    assert answer.redirect_chain == [(page(pipeline) + "#general", 302)]
    assert (stored.batch_size, stored.source_query) == (9, "SELECT 2 AS id")
    assert (stored.status, stored.generation, stored.checkpoint_epoch) == ("FAILED", 7, 2)
    assert stored.updated_at > pipeline.updated_at
    inspect.assert_called_once()


def test_saving_without_a_change_asks_no_server_and_stores_nothing(db, inspect):
    pipeline = PipelineFactory(source_query="SELECT 1 AS id\n\n-- the end\n", key_columns=["id"])
    before = Pipeline.objects.values().get()

    client = person("editor")
    data = posted(client, pipeline)
    data["source_query"] = data["source_query"].replace("\n", "\r\n")  # as browsers send it
    client.post(page(pipeline), data)

    assert Pipeline.objects.values().get() == before
    inspect.assert_not_called()


def test_what_does_not_define_the_data_is_stored_without_asking(db, inspect):
    pipeline = PipelineFactory()

    edit(pipeline, batch_size="9", description="New words", name="renamed")

    assert Pipeline.objects.get().name == "renamed"
    inspect.assert_not_called()


def test_disabling_by_the_form_takes_a_request_back(db, inspect):
    pipeline = pipeline_in("RUN_REQUESTED")
    client = person("editor")
    data = posted(client, pipeline)
    del data["enabled"]

    client.post(page(pipeline), data)

    pipeline.refresh_from_db()
    assert (pipeline.enabled, pipeline.status) == (False, "IDLE")


# While a run is requested or active.


@pytest.mark.parametrize("status", ["RUN_REQUESTED", "RUNNING", "PAUSE_REQUESTED"])
def test_what_defines_the_data_is_locked_while_busy(db, status):
    pipeline = pipeline_in(status)

    answer = person("editor").get(page(pipeline))

    form = answer.context["adminform"].form
    locked = {name for name, field in form.fields.items() if field.disabled}
    assert locked == {
        "type",
        "mode",
        "source_query",
        "target_table",
        "source_connection",
        "target_connection",
        "incremental_key",
        "key_columns",
    }
    assert "cannot change until it ends" in answer.content.decode()


def test_the_rest_is_stored_while_busy(db, inspect):
    pipeline = pipeline_in("RUNNING", key_columns=["id"])

    answer = edit(pipeline, batch_size="9")

    stored = Pipeline.objects.get()
    assert answer.redirect_chain
    assert (stored.batch_size, stored.key_columns, stored.status) == (9, ["id"], "RUNNING")
    inspect.assert_not_called()


def test_a_page_opened_before_the_run_is_refused_at_the_field(db, inspect):
    pipeline = PipelineFactory()
    client = person("editor")
    data = posted(client, pipeline, source_query="SELECT 2 AS id")
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)

    answer = client.post(page(pipeline), data)

    assert errors(answer) == {"source_query": [LOCKED]}
    assert Pipeline.objects.get().source_query == pipeline.source_query


# Who was quicker.


def elsewhere(change):
    """Do it in a session of its own that commits, as another request would."""

    def work():
        try:
            change()
        finally:
            metadata.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_a_run_requested_between_check_and_store_is_refused_at_the_field(inspect):
    pipeline = PipelineFactory()

    def ask_meanwhile(_definition):
        elsewhere(lambda: lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API))
        return FOUND

    inspect.side_effect = ask_meanwhile

    answer = edit(pipeline, source_query="SELECT 2 AS id")

    assert errors(answer) == {"source_query": [LOCKED]}
    stored = Pipeline.objects.get()
    assert (stored.status, stored.source_query) == ("RUN_REQUESTED", pipeline.source_query)


@pytest.mark.django_db(transaction=True)
def test_what_somebody_stored_between_check_and_store_is_not_undone(inspect):
    pipeline = PipelineFactory()
    makers = [lambda: lifecycle.edit(other, {"description"}, by=None)]
    other = Pipeline.objects.get()
    other.description = "by somebody else"

    def store_meanwhile(_definition):
        if makers:
            elsewhere(makers.pop())
        return FOUND

    inspect.side_effect = store_meanwhile

    answer = edit(pipeline, source_query="SELECT 2 AS id")

    assert "Somebody changed this pipeline" in errors(answer)["__all__"][0]
    stored = Pipeline.objects.get()
    assert stored.description == "by somebody else"
    assert stored.source_query == pipeline.source_query


@pytest.mark.django_db(transaction=True)
def test_a_name_taken_between_check_and_store_is_said_at_the_field(inspect):
    def take_meanwhile(_definition):
        elsewhere(lambda: PipelineFactory(name="film_dim"))
        return FOUND

    inspect.side_effect = take_meanwhile

    found = errors(add())

    assert found == {"name": ["Another pipeline has this name. Choose another one."]}
    assert Pipeline.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_name_taken_at_the_last_moment_is_said_at_the_field(inspect, monkeypatch):
    store, makers = PipelineAdmin.save_form, [lambda: PipelineFactory(name="film_dim")]

    def take_meanwhile(*args, **kwargs):
        if makers:
            elsewhere(makers.pop())
        return store(*args, **kwargs)

    monkeypatch.setattr(PipelineAdmin, "save_form", take_meanwhile)

    found = errors(add())

    assert found == {"name": ["There is a pipeline “film_dim” already. Choose another name."]}
    assert Pipeline.objects.count() == 1


def test_an_edit_of_an_outdated_page_is_refused(db, inspect):
    pipeline = PipelineFactory()
    client = person("editor")
    data = posted(client, pipeline, batch_size="9")
    other = Pipeline.objects.get()
    other.batch_size = 5
    lifecycle.edit(other, {"batch_size"}, by=UserFactory())

    answer = client.post(page(pipeline), data)

    assert "Somebody changed this pipeline" in errors(answer)["__all__"][0]
    assert Pipeline.objects.get().batch_size == 5


def test_a_run_does_not_make_a_page_outdated(db, inspect):
    pipeline = PipelineFactory()
    client = person("editor")
    data = posted(client, pipeline, batch_size="9")
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)

    client.post(page(pipeline), data)

    assert Pipeline.objects.get().batch_size == 9


def test_the_sentence_for_a_table_without_key_names_none():
    findings = Findings(
        columns=FOUND.columns, target_columns=(), key=(), method=Method.SWAP, creates="CREATE"
    )

    told = list(servers.told(findings, {"mode": "full", "target_table": "analytics.x"}))

    assert (
        told[0]
        == "The table analytics.x does not exist yet: the first run makes it, with 1 column."
    )


# A page that was shown while a run kept its fields from being changed.


def test_what_a_page_could_not_send_stays_as_it_is(db):
    pipeline = PipelineFactory(description="old")
    client = person("editor")
    sent = posted(client, pipeline, description="new")
    for name in DATA_FIELDS:
        sent.pop(name, None)

    response = client.post(page(pipeline), sent, follow=True)

    assert "changed successfully" in said(response)[0]
    stored = Pipeline.objects.get(pk=pipeline.pk)
    assert stored.description == "new"
    assert all(getattr(stored, name) == getattr(pipeline, name) for name in DATA_FIELDS)
