"""Pipelines over the API: create, read, change, delete, and what each refuses."""

from unittest import mock

import pytest
from django.db import IntegrityError

from pipelines.api import definitions
from pipelines.api.naming import unique_name
from pipelines.models import Connection, Pipeline
from pipelines.states import ACTIVE, BUSY, RESTING, PipelineStatus
from tests.control.asking import Asker
from tests.control.standing import row, standing
from tests.control.test_api_errors import shape
from tests.factories import ConnectionFactory, PipelineFactory, RunFactory
from tests.whole.test_contract import ISO_UTC

MINIMAL = {
    "name": "films",
    "target_table": "analytics.films",
    "source_query": "SELECT 1 AS id, 'x'::text AS title, now() AS modified",
}
DEFAULTS = {
    "description": "",
    "type": "SQL",
    "mode": "full",
    "enabled": True,
    "status": "IDLE",
    "batch_size": 5000,
    "incremental_key": None,
    "source_connection": "default",
    "target_connection": "default",
    "key_columns": [],
    "publish": "auto",
    "allow_empty": False,
    "allow_cascade": False,
    "max_shrink_percent": None,
    "null_policy": "fail",
    "late_margin": None,
}
OURS = [
    "source_connection",
    "target_connection",
    "key_columns",
    "publish",
    "allow_empty",
    "allow_cascade",
    "max_shrink_percent",
    "null_policy",
    "late_margin",
    "delete_missing",
    "delete_column",
    "max_delete_percent",
    "warnings",
]


@pytest.fixture
def editor(db, target_url):
    return Asker("editor")


def inspected():
    return mock.patch("runner.preflight.inspect", wraps=definitions.preflight.inspect)


class TestCreate:
    def test_three_fields_are_enough(self, editor):
        answer = editor.post("/pipelines", MINIMAL)
        assert answer.status_code == 201
        body = answer.json()
        assert {name: body[name] for name in MINIMAL | DEFAULTS} == MINIMAL | DEFAULTS
        assert list(body)[-len(OURS) :] == OURS

    def test_every_field_is_stored_and_the_address_is_told(self, editor, source_connection):
        wanted = MINIMAL | {
            "description": "for the board ",
            "mode": "incremental",
            "enabled": False,
            "batch_size": 1_000_000,
            "incremental_key": "modified",
            "source_connection": "source",
            "target_connection": "default",
            "key_columns": ["id"],
            "publish": "merge",
            "allow_empty": True,
            "allow_cascade": True,
            "null_policy": "exclude",
            "late_margin": "10 minutes",
        }
        answer = editor.post("/pipelines", wanted)
        assert answer.status_code == 201, answer.content
        assert {name: answer.json()[name] for name in wanted} == wanted
        assert answer.headers["Location"].endswith(f"/api/v1/pipelines/{answer.json()['id']}")
        path = answer.headers["Location"].removeprefix("http://testserver/api/v1")
        assert editor.get(path).json() | {"warnings": []} == answer.json() | {"warnings": []}

    def test_the_query_is_kept_as_it_was_typed_and_the_name_trimmed(self, editor):
        query = "\n  SELECT 1 AS id -- one\n"
        answer = editor.post("/pipelines", MINIMAL | {"source_query": query, "name": "  films "})
        assert (answer.json()["source_query"], answer.json()["name"]) == (query, "films")

    def test_times_are_utc_whatever_the_server_thinks(self, editor, settings):
        settings.TIME_ZONE = "Asia/Tokyo"
        body = editor.post("/pipelines", MINIMAL).json()
        assert ISO_UTC.fullmatch(body["created_at"])
        assert ISO_UTC.fullmatch(body["updated_at"])

    def test_an_empty_text_is_none_where_there_may_be_none(self, editor):
        body = editor.post("/pipelines", MINIMAL | {"incremental_key": "", "late_margin": ""})
        assert body.json()["incremental_key"] is None
        assert body.json()["late_margin"] is None

    def test_nothing_is_stored_when_a_server_refuses(self, editor):
        body = shape(
            editor.post("/pipelines", MINIMAL | {"source_query": "SELECT nothing FROM nowhere"}),
            400,
            "invalid",
        )
        assert "nowhere" in body["errors"]["source_query"][0]
        assert not Pipeline.objects.exists()

    def test_a_source_out_of_reach_is_400_and_nothing_is_stored(self, editor):
        ConnectionFactory(name="gone", host="127.0.0.1", port=1)
        answer = editor.post("/pipelines", MINIMAL | {"source_connection": "gone"})
        body = shape(answer, 400, "source_unavailable")
        assert list(body["errors"]) == ["source_connection"]
        assert not Pipeline.objects.exists()

    def test_a_target_out_of_reach_is_400(self, editor):
        ConnectionFactory(name="gone", host="127.0.0.1", port=1)
        answer = editor.post("/pipelines", MINIMAL | {"target_connection": "gone"})
        body = shape(answer, 400, "target_unavailable")
        assert list(body["errors"]) == ["target_connection"]

    def test_a_password_that_no_key_opens_is_400_at_its_connection(self, editor):
        Connection.objects.filter(pk=ConnectionFactory(name="odd").pk).update(secret="not ours")
        answer = editor.post("/pipelines", MINIMAL | {"source_connection": "odd"})
        body = shape(answer, 400, "source_unavailable")
        assert "ENCRYPTION_KEYS" in body["errors"]["source_connection"][0]

    def test_of_two_who_take_a_name_at_once_the_second_gets_400(self, editor):
        PipelineFactory(name="films")
        with mock.patch("pipelines.validation.definition.taken", return_value=False):
            body = shape(editor.post("/pipelines", MINIMAL), 400, "invalid")
        assert list(body["errors"]) == ["name"]
        assert Pipeline.objects.count() == 1

    def test_two_pipelines_on_one_table_are_allowed_with_a_warning(self, editor):
        PipelineFactory(name="older", target_table="analytics.films")
        answer = editor.post("/pipelines", MINIMAL)
        assert answer.status_code == 201
        assert any("older" in sentence for sentence in answer.json()["warnings"])


class TestWrongInput:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "   "),
            ("name", None),
            ("name", 5),
            ("name", "x" * 201),
            ("name", "a\0b"),
            ("name", "\ud800"),
            ("name", "taken"),
            ("description", None),
            ("description", "\0"),
            ("type", "PYTHON"),
            ("type", "sql"),
            ("type", ""),
            ("type", None),
            ("type", ["SQL"]),
            ("type", "\ud800"),
            ("mode", "partial"),
            ("mode", {}),
            ("mode", "incremental"),
            ("enabled", "yes"),
            ("enabled", 1),
            ("enabled", None),
            ("batch_size", 0),
            ("batch_size", -1),
            ("batch_size", 1_000_001),
            ("batch_size", 10**30),
            ("batch_size", 1.5),
            ("batch_size", "5000"),
            ("batch_size", True),
            ("batch_size", None),
            ("target_table", ""),
            ("target_table", "films"),
            ("target_table", "a.b.c"),
            ("target_table", "analytics."),
            ("target_table", f"analytics.{'x' * 64}"),
            ("target_table", "public.films"),
            ("target_table", "pg_catalog.films"),
            ("target_table", "information_schema.films"),
            ("target_table", "etl.checkpoint"),
            ("target_table", 7),
            ("source_query", ""),
            ("source_query", " \n"),
            ("source_query", None),
            ("source_query", "SELECT '\0'"),
            ("source_query", "SELECT 1 AS id -- " + "x" * 100_000),
            ("source_query", "SELECT 1 AS a; SELECT 2 AS b"),
            ("source_query", "DELETE FROM content.film_work"),
            ("source_query", "INSERT INTO t VALUES (1) RETURNING 1 AS id"),
            ("source_query", "SELEC 1"),
            ("source_query", "SELECT nothing AS id"),
            ("source_query", "SELECT 1 AS id FROM nowhere"),
            ("source_query", "WITH x AS (DELETE FROM pg_class RETURNING oid) SELECT oid FROM x"),
            ("source_query", "SELECT oid FROM pg_class FOR UPDATE"),
            ("source_query", "SELECT $1::int AS id"),
            ("source_query", "SELECT (1 AS id"),
            ("source_query", "SELECT 1) AS q, (SELECT 2"),
            ("source_query", "SELECT 1 AS a, 2 AS a"),
            ("source_query", "SELECT 1 + 1"),
            ("source_query", "SET work_mem = '1GB'"),
            ("source_query", "EXPLAIN SELECT 1"),
            ("source_query", "COPY (SELECT 1) TO STDOUT"),
            ("source_connection", "nowhere"),
            ("source_connection", None),
            ("source_connection", 1),
            ("target_connection", ""),
            ("target_connection", "a\0b"),
            ("target_connection", "nobody-writes"),
            ("key_columns", None),
            ("key_columns", "id"),
            ("key_columns", [""]),
            ("key_columns", [1]),
            ("key_columns", ["id", "id"]),
            ("key_columns", ["x" * 64]),
            ("key_columns", ["missing"]),
            ("key_columns", [f"c{n}" for n in range(33)]),
            ("publish", "quickly"),
            ("allow_empty", "no"),
            ("allow_cascade", 0),
            ("null_policy", "ignore"),
            ("max_shrink_percent", 100),
            ("max_shrink_percent", "much"),
            ("late_margin", "a while"),
            ("late_margin", "-5 minutes"),
            ("late_margin", 10),
            ("incremental_key", ["modified"]),
            ("incremental_key", "x" * 64),
        ],
    )
    def test_each_is_refused_at_its_field(self, editor, field, value):
        PipelineFactory(name="taken")
        ConnectionFactory(name="nobody-writes", target_schemas=[])
        body = shape(editor.post("/pipelines", MINIMAL | {field: value}), 400, "invalid")
        expected = {
            ("mode", "incremental"): "incremental_key",
            ("target_connection", "nobody-writes"): "target_table",
        }
        key = (field, value) if isinstance(value, str) else (field, "")
        assert list(body["errors"]) == [expected.get(key, field)]
        assert Pipeline.objects.count() == 1

    def test_a_number_too_large_for_any_machine_is_refused_at_its_field(self, editor):
        body = shape(editor.post("/pipelines", b'{"batch_size": 1e400}'), 400, "invalid")
        assert "batch_size" in body["errors"]

    def test_python_pipelines_are_not_available_yet_and_it_says_so(self, editor):
        body = editor.post("/pipelines", MINIMAL | {"type": "PYTHON"}).json()
        assert "not available yet" in body["errors"]["type"][0]

    def test_the_allow_list_is_named(self, editor):
        body = editor.post("/pipelines", MINIMAL | {"target_table": "secret.films"}).json()
        assert "analytics" in body["errors"]["target_table"][0]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"incremental_key": "missing"}, "incremental_key"),
            ({"key_columns": []}, "key_columns"),
            ({"key_columns": ["missing"]}, "key_columns"),
        ],
    )
    def test_incremental_needs_columns_that_the_query_returns(self, editor, changes, field):
        good = {"mode": "incremental", "incremental_key": "modified", "key_columns": ["id"]}
        body = shape(editor.post("/pipelines", MINIMAL | good | changes), 400, "invalid")
        assert list(body["errors"]) == [field]

    @pytest.mark.parametrize("field", ["id", "status", "created_at", "updated_at", "warnings"])
    def test_fields_that_only_we_write_are_named(self, editor, field):
        body = shape(editor.post("/pipelines", MINIMAL | {field: "IDLE"}), 400, "invalid")
        assert list(body["errors"]) == [field]

    @pytest.mark.parametrize(
        "field", ["generation", "worker", "lease_until", "checkpoint_epoch", "nonsense", "\0"]
    )
    def test_unknown_fields_are_named(self, editor, field):
        pipeline = PipelineFactory()
        before = row(pipeline)
        for answer in (
            editor.post("/pipelines", MINIMAL | {field: 1}),
            editor.patch(f"/pipelines/{pipeline.pk}", {field: 1, "batch_size": 1}),
        ):
            assert list(shape(answer, 400, "invalid")["errors"]) == [field]
        assert row(pipeline) == before

    def test_all_that_is_wrong_is_said_at_once(self, editor):
        wrong = {"name": "", "type": "PYTHON", "mode": "x", "batch_size": 0, "target_table": "t"}
        body = shape(editor.post("/pipelines", MINIMAL | wrong | {"nonsense": 1}), 400, "invalid")
        assert list(body["errors"]) == [*wrong, "nonsense"]

    def test_a_wrong_connection_brings_no_complaint_about_its_schemas(self, editor):
        wrong = {"target_connection": "nowhere", "target_table": "elsewhere.films"}
        body = shape(editor.post("/pipelines", MINIMAL | wrong), 400, "invalid")
        assert list(body["errors"]) == ["target_connection"]


class TestChange:
    def test_one_field_changes_and_the_others_stay(self, editor):
        before = editor.post("/pipelines", MINIMAL).json()
        after = editor.patch(f"/pipelines/{before['id']}", {"description": "new"}).json()
        assert after == before | {"description": "new", "updated_at": after["updated_at"]}

    def test_nothing_given_or_nothing_new_changes_nothing(self, editor):
        before = editor.post("/pipelines", MINIMAL).json()
        path = f"/pipelines/{before['id']}"
        with inspected() as asked:
            assert editor.patch(path, {}).json() == before
            assert editor.patch(path, MINIMAL | {"key_columns": []}).json() == before
        assert not asked.called

    @pytest.mark.parametrize(
        "change",
        [
            {"enabled": False},
            {"name": "renamed"},
            {"description": "x"},
            {"batch_size": 1},
            {"publish": "merge"},
            {"allow_empty": True},
            {"allow_cascade": True},
            {"null_policy": "include"},
            {"late_margin": "1 day"},
        ],
    )
    @pytest.mark.parametrize("status", PipelineStatus)
    def test_what_does_not_define_the_data_changes_at_any_time_and_asks_nobody(
        self, editor, status, change
    ):
        pipeline = standing(status)
        with inspected() as asked:
            answer = editor.patch(f"/pipelines/{pipeline.pk}", change)
        assert answer.status_code == 200
        assert not asked.called
        assert {name: answer.json()[name] for name in change} == change

    @pytest.mark.parametrize(
        "change",
        [
            {"mode": "incremental", "incremental_key": "modified", "key_columns": ["id"]},
            {"source_query": "SELECT 2 AS id"},
            {"target_table": "analytics.other"},
            {"source_connection": "source"},
            {"target_connection": "target"},
            {"incremental_key": "modified"},
            {"key_columns": ["id"]},
        ],
    )
    @pytest.mark.parametrize("status", PipelineStatus)
    def test_what_defines_the_data_changes_only_while_no_run_is_asked_or_active(
        self, editor, source_connection, target_connection, status, change
    ):
        pipeline = standing(status)
        before = row(pipeline)
        with inspected() as asked:
            answer = editor.patch(f"/pipelines/{pipeline.pk}", change)
        if status in BUSY:
            body = shape(answer, 409, "refused")
            assert body["status"] == status
            assert not asked.called
            assert row(pipeline) == before
        else:
            assert answer.status_code == 200, answer.content
            assert asked.called

    @pytest.mark.parametrize("status", BUSY)
    def test_the_same_values_are_no_change_even_while_it_runs(self, editor, status):
        pipeline = standing(status)
        same = {
            "source_query": pipeline.source_query,
            "target_table": pipeline.target_table,
            "mode": "full",
        }
        answer = editor.patch(f"/pipelines/{pipeline.pk}", same | {"batch_size": 7})
        assert answer.status_code == 200
        assert answer.json()["batch_size"] == 7

    def test_a_pipeline_that_has_become_wrong_can_still_be_disabled(self, editor):
        gone = ConnectionFactory(name="gone", host="127.0.0.1", port=1, target_schemas=[])
        pipeline = PipelineFactory(source_connection=gone, target_table="forbidden.table")
        answer = editor.patch(f"/pipelines/{pipeline.pk}", {"enabled": False})
        assert (answer.status_code, answer.json()["enabled"]) == (200, False)

    def test_nothing_is_stored_when_the_source_is_out_of_reach(self, editor):
        gone = ConnectionFactory(name="gone", host="127.0.0.1", port=1)
        pipeline = PipelineFactory(source_connection=gone)
        before = row(pipeline)
        change = {"source_query": "SELECT 2 AS id", "batch_size": 9}
        shape(editor.patch(f"/pipelines/{pipeline.pk}", change), 400, "source_unavailable")
        assert row(pipeline) == before

    def test_disabling_takes_back_a_request(self, editor):
        pipeline = standing("RUN_REQUESTED")
        answer = editor.patch(f"/pipelines/{pipeline.pk}", {"enabled": False})
        assert answer.json()["status"] == "IDLE"

    def test_a_name_that_is_taken_is_400(self, editor):
        PipelineFactory(name="taken")
        pipeline = PipelineFactory()
        path = f"/pipelines/{pipeline.pk}"
        assert list(shape(editor.patch(path, {"name": "taken"}), 400, "invalid")["errors"]) == [
            "name"
        ]
        with mock.patch("pipelines.validation.definition.taken", return_value=False):
            shape(editor.patch(path, {"name": "taken"}), 400, "invalid")

    def test_a_change_after_a_settle_leaves_the_status_alone(self, editor):
        pipeline = standing("RUNNING")

        def settled(*args, **kwargs):
            facts = {"status": "FAILED", "lease_until": None, "worker": None}
            Pipeline.objects.filter(pk=pipeline.pk).update(**facts)
            return original(*args, **kwargs)

        original = definitions.lifecycle.edit
        with mock.patch("pipelines.lifecycle.edit", side_effect=settled):
            answer = editor.patch(f"/pipelines/{pipeline.pk}", {"batch_size": 11})
        assert (answer.json()["status"], answer.json()["batch_size"]) == ("FAILED", 11)

    def test_a_run_that_is_asked_for_during_the_checks_wins(self, editor):
        pipeline = PipelineFactory()
        path = f"/pipelines/{pipeline.pk}"

        def requested(definition):
            Pipeline.objects.filter(pk=pipeline.pk).update(status="RUN_REQUESTED")
            return original(definition)

        original = definitions.preflight.inspect
        with mock.patch("runner.preflight.inspect", side_effect=requested):
            body = shape(editor.patch(path, {"source_query": "SELECT 2 AS id"}), 409, "refused")
        assert body["status"] == "RUN_REQUESTED"
        pipeline.refresh_from_db()
        assert pipeline.source_query != "SELECT 2 AS id"

    def test_edits_that_do_not_go_together_are_a_conflict(self, editor):
        pipeline = PipelineFactory(incremental=True)
        path = f"/pipelines/{pipeline.pk}"
        with (
            mock.patch("pipelines.api.serializers.pipelines.check_definition", return_value={}),
            mock.patch("pipelines.api.definitions._ask", return_value=()),
        ):
            shape(editor.patch(path, {"incremental_key": None}), 409, "conflict")


class TestDelete:
    @pytest.mark.parametrize("status", [*RESTING, "RUN_REQUESTED"])
    def test_a_pipeline_goes_with_its_runs(self, db, status):
        pipeline = standing(status)
        RunFactory(pipeline=pipeline, generation=1)
        answer = Asker().delete(f"/pipelines/{pipeline.pk}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert not Pipeline.objects.filter(pk=pipeline.pk).exists()
        shape(Asker().delete(f"/pipelines/{pipeline.pk}"), 404, "not_found")

    @pytest.mark.parametrize("status", ACTIVE)
    def test_an_active_one_stays(self, db, status):
        pipeline = standing(status)
        body = shape(Asker().delete(f"/pipelines/{pipeline.pk}"), 409, "refused")
        assert body["status"] == status
        assert Pipeline.objects.filter(pk=pipeline.pk).exists()


def test_a_unique_name_is_the_only_conflict_that_becomes_a_field_error(db):
    with (
        pytest.raises(IntegrityError),
        unique_name("x"),
    ):
        Pipeline.objects.filter(pk=PipelineFactory().pk).update(batch_size=0)
