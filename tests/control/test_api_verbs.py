"""Run, pause, cancel, status, checkpoint and reconcile over the API."""

from datetime import timedelta
from unittest import mock

import pytest
from django.utils import timezone

from pipelines.models import Connection, Pipeline, PipelineState
from pipelines.states import ACTIVE, BUSY, REFUSED, RESTING, PipelineStatus
from runner.reconcile import ReconcileFailed
from tests.control.asking import Asker
from tests.control.standing import events, row, standing, status
from tests.control.test_api_errors import shape
from tests.factories import ConnectionFactory, PipelineFactory, RunFactory

#: The status in the answer to each verb, by the status before, where it is not refused.
ANSWERS = {
    "run": dict.fromkeys((*RESTING, "RUN_REQUESTED"), "RUN_REQUESTED"),
    "pause": {
        "RUN_REQUESTED": "PAUSE_REQUESTED",
        "RUNNING": "PAUSE_REQUESTED",
        "PAUSE_REQUESTED": "PAUSE_REQUESTED",
        "PAUSED": "PAUSED",
    },
    "cancel": {
        "RUN_REQUESTED": "IDLE",
        "PAUSED": "IDLE",
        "RUNNING": "RUNNING",
        "PAUSE_REQUESTED": "PAUSE_REQUESTED",
    },
}


@pytest.fixture
def operator(db):
    return Asker("operator")


@pytest.mark.parametrize("verb", ANSWERS)
@pytest.mark.parametrize("before", PipelineStatus)
def test_each_verb_from_each_status(operator, verb, before):
    pipeline = standing(before)
    answer = operator.post(f"/pipelines/{pipeline.pk}/{verb}")
    if before in REFUSED[verb]:
        assert shape(answer, 409, "refused")["status"] == before
        assert status(pipeline) == before
        return
    assert answer.status_code == 202
    assert answer.json() == {"pipeline_id": str(pipeline.pk), "status": ANSWERS[verb][before]}
    assert list(answer.json()) == ["pipeline_id", "status"]
    assert status(pipeline) == ANSWERS[verb][before]


@pytest.mark.parametrize("verb", ANSWERS)
@pytest.mark.parametrize("body", [None, {}])
def test_a_verb_needs_no_body_and_no_content_type(operator, verb, body):
    pipeline = standing("RUN_REQUESTED")
    assert operator.post(f"/pipelines/{pipeline.pk}/{verb}", body).status_code == 202
    pipeline = standing("RUN_REQUESTED")
    answer = operator.client.post(
        f"/api/v1/pipelines/{pipeline.pk}/{verb}",
        data=b"",
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.status_code == 202


def test_who_asked_and_how_is_kept(operator):
    pipeline = PipelineFactory()
    operator.post(f"/pipelines/{pipeline.pk}/run")
    pipeline.refresh_from_db()
    assert (pipeline.requested_by, pipeline.trigger) == (operator.user, "api")
    assert events(pipeline) == ["run"]


@pytest.mark.parametrize("before", PipelineStatus)
def test_a_disabled_pipeline_does_not_run(operator, before):
    pipeline = standing(before, enabled=False)
    body = shape(operator.post(f"/pipelines/{pipeline.pk}/run"), 409, "refused")
    assert "disabled" in body["detail"]
    assert body["status"] == before


def test_cancelling_a_run_asks_its_worker(operator):
    pipeline = standing("RUNNING")
    operator.post(f"/pipelines/{pipeline.pk}/cancel")
    pipeline.refresh_from_db()
    assert pipeline.cancel_requested_at is not None


class TestStatus:
    def test_without_runs_there_is_no_last_one(self, operator):
        pipeline = PipelineFactory()
        body = operator.get(f"/pipelines/{pipeline.pk}/status").json()
        assert list(body) == ["pipeline_id", "status", "last_run_id", "last_updated_at"]
        assert (body["status"], body["last_run_id"]) == ("IDLE", None)

    def test_progress_moves_the_time_and_a_change_of_status_too(self, operator):
        pipeline = standing("RUNNING")
        path = f"/pipelines/{pipeline.pk}/status"
        first = operator.get(path).json()["last_updated_at"]
        later = timezone.now() + timedelta(minutes=5)
        pipeline.runs.update(progress_at=later)
        assert operator.get(path).json()["last_updated_at"] == _json(later)
        latest = later + timedelta(minutes=5)
        Pipeline.objects.filter(pk=pipeline.pk).update(status_changed_at=latest)
        assert operator.get(path).json()["last_updated_at"] == _json(latest)
        assert first < _json(later)

    def test_the_last_run_is_the_newest(self, operator):
        pipeline = PipelineFactory()
        RunFactory(pipeline=pipeline, generation=9)
        newest = RunFactory(pipeline=pipeline, generation=10)
        body = operator.get(f"/pipelines/{pipeline.pk}/status").json()
        assert body["last_run_id"] == str(newest.pk)


class TestState:
    def test_without_a_checkpoint_all_is_null(self, operator):
        pipeline = PipelineFactory()
        assert operator.get(f"/pipelines/{pipeline.pk}/state").json() == {
            "pipeline_id": str(pipeline.pk),
            "last_processed_id": None,
            "last_processed_value": None,
            "updated_at": None,
        }

    @pytest.mark.parametrize("before", [*RESTING, "RUN_REQUESTED"])
    def test_a_reset_clears_it(self, db, before):
        pipeline = standing(before)
        PipelineState.objects.create(pipeline=pipeline, last_processed_value="7")
        answer = Asker().delete(f"/pipelines/{pipeline.pk}/state")
        assert (answer.status_code, answer.content) == (204, b"")
        pipeline.refresh_from_db()
        assert pipeline.checkpoint_epoch == 1
        assert Asker().get(f"/pipelines/{pipeline.pk}/state").json()["last_processed_value"] is None

    @pytest.mark.parametrize("before", ACTIVE)
    def test_a_reset_is_refused_while_a_run_is_active(self, db, before):
        pipeline = standing(before)
        kept = row(pipeline)
        answer = Asker().delete(f"/pipelines/{pipeline.pk}/state")
        assert shape(answer, 409, "refused")["status"] == before
        assert row(pipeline) == kept

    def test_a_reset_works_while_the_target_is_away(self, db):
        gone = ConnectionFactory(host="127.0.0.1", port=1)
        pipeline = PipelineFactory(target_connection=gone)
        assert Asker().delete(f"/pipelines/{pipeline.pk}/state").status_code == 204


def test_a_run_has_the_contracts_fields_and_ours(operator):
    pipeline = PipelineFactory()
    RunFactory(
        pipeline=pipeline,
        status="FAILED",
        error_message="A row violates the constraint “films_pkey”.",
        error_class="UniqueViolation",
        sqlstate="23505",
        publish="swap",
        resumed=True,
        attempt=2,
    )
    (run,) = operator.get(f"/pipelines/{pipeline.pk}/runs").json()
    assert list(run)[:13] == [
        "id",
        "pipeline_id",
        "started_at",
        "finished_at",
        "rows_read",
        "rows_written",
        "status",
        "error_message",
        "trigger",
        "resumed",
        "publish",
        "kind",
        "reconciliation_id",
    ]
    assert (run["kind"], run["reconciliation_id"]) == ("load", None)
    assert (run["trigger"], run["resumed"], run["publish"]) == ("api", True, "swap")
    assert (run["attempt"], run["sqlstate"]) == (2, "23505")
    assert "definition" not in run


class TestReconcile:
    def test_equal_counts_are_ok(self, operator, target):
        target.execute("CREATE SCHEMA analytics; CREATE TABLE analytics.t AS SELECT 1 AS id")
        pipeline = PipelineFactory(target_table="analytics.t")
        body = operator.post(f"/pipelines/{pipeline.pk}/reconcile").json()
        assert (body["source_count"], body["target_count"]) == (1, 1)
        assert (body["difference"], body["status"]) == (0, "OK")

    def test_a_missing_target_counts_nothing(self, operator, target_url):
        body = operator.post(f"/pipelines/{PipelineFactory().pk}/reconcile").json()
        assert (body["target_count"], body["difference"], body["status"]) == (0, 1, "WARNING")

    @pytest.mark.parametrize("before", BUSY)
    def test_it_may_be_asked_while_a_run_is_active(self, operator, target_url, before):
        answer = operator.post(f"/pipelines/{standing(before).pk}/reconcile")
        assert answer.status_code == 200

    @pytest.mark.parametrize("side", ["source", "target"])
    def test_a_server_out_of_reach_is_503(self, operator, target_url, side):
        gone = ConnectionFactory(host="127.0.0.1", port=1)
        pipeline = PipelineFactory(
            source_connection=gone if side == "source" else Connection.objects.get(name="default"),
            target_connection=gone if side == "target" else Connection.objects.get(name="default"),
        )
        answer = operator.post(f"/pipelines/{pipeline.pk}/reconcile")
        shape(answer, 503, f"{side}_unavailable")

    def test_past_its_time_limit_it_is_503(self, operator, target_url, settings):
        settings.RECONCILE_SECONDS = 0.2
        pipeline = PipelineFactory(source_query="SELECT pg_sleep(60)::text AS id")
        shape(operator.post(f"/pipelines/{pipeline.pk}/reconcile"), 503, "reconcile_timeout")

    def test_a_query_that_no_longer_works_is_409(self, operator, target_url):
        pipeline = PipelineFactory(source_query="SELECT id FROM dropped_since")
        body = shape(operator.post(f"/pipelines/{pipeline.pk}/reconcile"), 409, "query_failed")
        assert body["status"] == "IDLE"

    @pytest.mark.parametrize(
        "code", ["reconcile_timeout", "source_unavailable", "target_unavailable"]
    )
    def test_the_reason_is_told_by_its_code(self, operator, code):
        with mock.patch("runner.reconcile.guarded", side_effect=ReconcileFailed(code, "Why not.")):
            answer = operator.post(f"/pipelines/{PipelineFactory().pk}/reconcile")
        assert shape(answer, 503, code)["detail"] == "Why not."

    def test_a_password_that_no_key_opens_is_503(self, operator):
        odd = ConnectionFactory()
        Connection.objects.filter(pk=odd.pk).update(secret="not ours")
        pipeline = PipelineFactory(source_connection=odd)
        answer = operator.post(f"/pipelines/{pipeline.pk}/reconcile")
        assert "ENCRYPTION_KEYS" in shape(answer, 503, "secret_unreadable")["detail"]


def _json(moment):
    return moment.isoformat().replace("+00:00", "Z")
