"""Comparisons over the API: asked, answered now or later, listed, cancelled, repaired."""

from datetime import timedelta
from unittest import mock

import pytest
from django.db.models.functions import Now

from pipelines import lifecycle, retention
from pipelines.busy import alone
from pipelines.choices import ReconciliationLevel
from pipelines.models import AuditRecord, Connection, Pipeline, Reconciliation
from pipelines.states import PipelineStatus
from runner.reconcile import ReconcileFailed
from tests.control.asking import Asker
from tests.control.standing import standing
from tests.control.test_api_errors import shape
from tests.factories import PipelineFactory, ReconciliationFactory, RunFactory, WorkerFactory
from tests.whole.every_page import DIFFERING

FILMS = "SELECT * FROM (VALUES (1, 'Alien'), (2, 'Heat 2'), (3, 'Ran')) AS v (id, title)"
TO_REPAIR = {"status": "WARNING", "missing": 1, "extra": 2, "different": 4}


@pytest.fixture
def films(db, target):
    """The target lacks a row, has another title in one, and one too many."""
    target.execute("CREATE SCHEMA analytics")
    target.execute("CREATE TABLE analytics.film (id int PRIMARY KEY, title text)")
    target.execute("INSERT INTO analytics.film VALUES (1, 'Alien'), (2, 'Heat'), (9, 'Gone')")
    return PipelineFactory(source_query=FILMS, target_table="analytics.film", key_columns=["id"])


@pytest.fixture
def editor(db):
    return Asker("editor")


@pytest.fixture
def operator(db):
    return Asker("operator")


def ask(asker, pipeline, **body):
    return asker.post(f"/pipelines/{pipeline.pk}/reconcile", body)


# Asking


def test_without_a_body_rows_are_counted(films, operator):
    body = operator.post(f"/pipelines/{films.pk}/reconcile").json()
    assert list(body)[:5] == [
        "pipeline_id",
        "source_count",
        "target_count",
        "difference",
        "status",
    ]
    assert (body["level"], body["status"], body["missing"]) == ("count", "OK", None)


def test_rows_are_named_with_the_columns_that_differ(films, editor):
    body = ask(editor, films, level="rows").json()

    assert (body["source_count"], body["target_count"], body["status"]) == (3, 3, "WARNING")
    assert (body["missing"], body["extra"], body["different"]) == (1, 1, 1)
    rows = {row["kind"]: row for row in body["rows"]}
    assert rows["different"] == {
        "kind": "different",
        "key": ["2"],
        "changes": [{"column": "title", "source": "Heat 2", "target": "Heat"}],
    }
    assert (rows["missing"]["key"], rows["extra"]["key"]) == (["3"], ["9"])
    assert sum(part["source"] for part in body["ranges"]) == 3
    kept = Reconciliation.objects.get()
    assert (kept.requested_by, str(kept.pk)) == (editor.user, body["id"])
    assert body["seconds"] >= 0


def test_checksums_tell_whether_and_where_but_not_which(films, editor):
    body = ask(editor, films, level="checksum").json()

    assert (body["status"], body["missing"], body["rows"]) == ("WARNING", None, [])
    assert any(part["differs"] for part in body["ranges"])


def test_so_many_rows_of_each_kind_are_kept(films, target, editor):
    target.execute("INSERT INTO analytics.film SELECT n, '' FROM generate_series(10, 29) AS n")

    body = ask(editor, films, level="rows", sample=5).json()

    assert body["extra"] == 21
    assert len([row for row in body["rows"] if row["kind"] == "extra"]) == 5
    assert ask(editor, films, level="rows", sample=0).json()["rows"] == []


def test_a_tolerance_lets_values_be_a_little_apart(target, editor):
    target.execute("CREATE SCHEMA analytics")
    target.execute("CREATE TABLE analytics.price AS SELECT 1 AS id, 9.99::float8 AS price")
    pipeline = PipelineFactory(
        source_query="SELECT 1 AS id, 9.994::float8 AS price",
        target_table="analytics.price",
        key_columns=["id"],
    )

    assert ask(editor, pipeline, level="rows").json()["status"] == "WARNING"
    body = ask(editor, pipeline, level="rows", tolerances={"price": 0.01}).json()
    assert (body["status"], body["tolerances"]) == ("OK", {"price": 0.01})


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"level": "closer"}, "level", "count, checksum, rows"),
        ({"level": 3}, "level", "string"),
        ({"sample": -1}, "sample", "from 0 to 1000"),
        ({"sample": 1001}, "sample", "from 0 to 1000"),
        ({"sample": "many"}, "sample", "whole number"),
        ({"sample": True}, "sample", "whole number"),
        ({"tolerances": {"title": 0}}, "tolerances", "above 0"),
        ({"tolerances": {"title": "x"}}, "tolerances", "above 0"),
        ({"tolerances": [1]}, "tolerances", "above 0"),
        ({"tolerances": {str(n): 1 for n in range(101)}}, "tolerances", "above 0"),
        ({"levels": "rows"}, "levels", "level, sample, tolerances"),
        ({"level": "rows", "tolerances": {"title": 1}}, "tolerances", "“title”"),
        ({"level": "rows", "tolerances": {"none": 1}}, "tolerances", "“none”"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(films, editor, body, field, words):
    answer = ask(editor, films, **body)
    assert words in shape(answer, 400, "invalid")["errors"][field][0]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_tolerance_is_a_number(films, editor, number):
    body = f'{{"level": "rows", "tolerances": {{"title": {number}}}}}'.encode()
    answer = editor.post(f"/pipelines/{films.pk}/reconcile", body)
    assert answer.status_code == 400


def test_a_failure_is_kept_with_its_reason(films, operator):
    failure = ReconcileFailed("reconcile_timeout", "It took too long.")
    with mock.patch("runner.reconcile.guarded", side_effect=failure):
        shape(ask(operator, films), 503, "reconcile_timeout")

    (row,) = operator.get(f"/pipelines/{films.pk}/reconciliations").json()
    assert (row["status"], row["error_message"]) == ("FAILED", "It took too long.")
    assert row["error_code"] == "reconcile_timeout"


def test_a_bug_is_kept_without_what_it_saw(films, operator, caplog):
    with mock.patch("runner.reconcile.compare", side_effect=RuntimeError("secret 4711")):
        body = ask(operator, films).json()

    assert (body["status"], body["error_code"]) == ("FAILED", "internal")
    assert "4711" not in body["error_message"]


def test_a_busy_connection_is_503_and_nothing_is_kept(films, operator):
    with alone(Connection.objects.get(name="default")):
        shape(ask(operator, films), 503, "connection_busy")
    assert not Reconciliation.objects.exists()


# Later


@pytest.fixture
def large(films, settings):
    """A pipeline whose last run read more than is compared at once."""
    settings.RECONCILE_ROWS_AT_ONCE = 1000
    RunFactory(pipeline=films, rows_read=1001)
    return films


def test_a_large_table_is_left_to_a_worker(large, editor):
    answer = ask(editor, large, level="rows")

    assert answer.status_code == 202
    body = answer.json()
    assert (body["status"], body["source_count"]) == ("REQUESTED", None)
    address = answer.headers["Location"]
    assert address.endswith(f"/api/v1/reconciliations/{body['id']}")
    assert editor.get(f"/reconciliations/{body['id']}").json() == body
    assert ask(editor, large).status_code == 200  # counts never wait


@pytest.mark.parametrize(
    "before",
    [
        {"status": "FAILED", "error_code": "reconcile_timeout"},
        {"started_at": Now() - timedelta(seconds=20)},
    ],
)
def test_what_took_long_last_time_is_left_to_a_worker(films, editor, settings, before):
    settings.RECONCILE_SECONDS = 30
    ReconciliationFactory(pipeline=films, **before)

    assert ask(editor, films, level="rows").status_code == 202
    assert ask(editor, films).status_code == 200


def test_one_that_waits_is_cancelled_at_once(large, operator):
    key = ask(operator, large, level="rows").json()["id"]

    answer = operator.post(f"/reconciliations/{key}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLED")
    assert operator.post(f"/reconciliations/{key}/cancel").json()["status"] == "CANCELLED"
    assert AuditRecord.objects.filter(action="reconcile_cancel").count() == 1


def test_one_that_is_being_made_is_asked_to_end(operator):
    row = ReconciliationFactory(open=True)

    body = operator.post(f"/reconciliations/{row.pk}/cancel").json()

    assert body["status"] == "RUNNING"
    row.refresh_from_db()
    assert row.cancel_requested_at is not None


# Who sees what


def test_viewers_see_counts_operators_keys_editors_values(db):
    row = ReconciliationFactory(**DIFFERING)
    bodies = {
        group: Asker(group).get(f"/reconciliations/{row.pk}").json()
        for group in ("viewer", "operator", "editor")
    }

    assert bodies["viewer"]["rows"] == []
    assert {part["low"] for part in bodies["viewer"]["ranges"]} == {None}
    assert {part["low"] for part in bodies["operator"]["ranges"]} == {None, "10", "20"}
    assert [one["key"] for one in bodies["operator"]["rows"]] == [["11"], ["21"], ["9"]]
    assert bodies["operator"]["rows"][2]["changes"] == [{"column": "title"}, {"column": "note"}]
    assert bodies["editor"]["rows"] == DIFFERING["rows"]
    counts = {(body["missing"], body["extra"], body["different"]) for body in bodies.values()}
    assert counts == {(1, 1, 2)}


# The list


def test_the_list_has_the_newest_first_in_pages(operator):
    pipeline = PipelineFactory()
    rows = [
        ReconciliationFactory(pipeline=pipeline, requested_at=Now() - timedelta(minutes=age))
        for age in (3, 2, 1)
    ]
    ReconciliationFactory()
    path = f"/pipelines/{pipeline.pk}/reconciliations"

    first = operator.get(f"{path}?limit=2")
    ids = [row["id"] for row in first.json()]
    assert ids == [str(rows[2].pk), str(rows[1].pk)]
    assert "rows" not in first.json()[0]
    following = f"{path}?before={ids[-1]}&limit=2"
    assert f'<http://testserver/api/v1{following}>; rel="next"' in first.headers["Link"]
    last = operator.get(following)
    assert [row["id"] for row in last.json()] == [str(rows[0].pk)]
    assert 'rel="next"' not in last.headers["Link"]


@pytest.mark.parametrize("before", ["x", "00000000-0000-4000-8000-000000000000"])
def test_a_page_begins_after_a_comparison_that_there_is(operator, before):
    path = f"/pipelines/{PipelineFactory().pk}/reconciliations?before={before}"
    assert "before" in shape(operator.get(path), 400, "invalid")["errors"]


# Repairing


def test_a_repair_is_asked_for(operator):
    row = ReconciliationFactory(**TO_REPAIR)

    answer = operator.post(f"/reconciliations/{row.pk}/repair", {"max_rows": 7})

    assert answer.status_code == 202
    assert answer.json() == {"pipeline_id": str(row.pipeline_id), "status": "RUN_REQUESTED"}
    pipeline = Pipeline.objects.get()
    assert (pipeline.repair, pipeline.repair_limit) == (row, 7)
    assert AuditRecord.objects.filter(action="repair").count() == 1


@pytest.mark.parametrize("body", [{}, {"max_rows": 0}, {"max_rows": None}, {"max_rows": "all"}])
def test_how_many_rows_may_change_has_to_be_said(operator, body):
    row = ReconciliationFactory(**TO_REPAIR)
    answer = operator.post(f"/reconciliations/{row.pk}/repair", body)
    assert "max_rows" in shape(answer, 400, "invalid")["errors"]


@pytest.mark.parametrize(
    ("columns", "limit", "code"),
    [
        ({}, 6, "limit_too_low"),
        ({"status": "OK"}, 7, "nothing_differs"),
        ({"status": "FAILED"}, 7, "not_repairable"),
        ({"level": "checksum"}, 7, "not_repairable"),
        ({"key": []}, 7, "not_repairable"),
        ({"definition": {}}, 7, "outdated"),
    ],
)
def test_what_cannot_be_repaired_is_409_with_the_reason(operator, columns, limit, code):
    row = ReconciliationFactory(**(TO_REPAIR | columns))

    answer = operator.post(f"/reconciliations/{row.pk}/repair", {"max_rows": limit})

    assert shape(answer, 409, code)["status"] == "IDLE"
    assert Pipeline.objects.get().repair is None


@pytest.mark.parametrize(
    "status", [PipelineStatus.RUN_REQUESTED, PipelineStatus.RUNNING, PipelineStatus.PAUSE_REQUESTED]
)
def test_a_pipeline_at_work_is_not_repaired(operator, status):
    pipeline = standing(status)
    row = ReconciliationFactory(pipeline=pipeline, **TO_REPAIR)

    answer = operator.post(f"/reconciliations/{row.pk}/repair", {"max_rows": 7})

    assert shape(answer, 409, "refused")["status"] == status
    pipeline.refresh_from_db()
    assert (pipeline.repair, pipeline.repair_limit) == (None, None)


def test_a_run_that_is_asked_for_again_is_no_repair(operator):
    row = ReconciliationFactory(**TO_REPAIR)
    operator.post(f"/reconciliations/{row.pk}/repair", {"max_rows": 7})
    operator.post(f"/pipelines/{row.pipeline_id}/cancel")

    operator.post(f"/pipelines/{row.pipeline_id}/run")

    pipeline = Pipeline.objects.get()
    assert pipeline.status == PipelineStatus.RUN_REQUESTED
    assert (pipeline.repair, pipeline.repair_limit) == (None, None)


# Keeping


def test_comparisons_are_kept_as_long_as_runs(db, settings):
    settings.RETENTION_DAYS = 30
    kept = ReconciliationFactory()
    long_ago = Now() - timedelta(days=31)
    ReconciliationFactory(requested_at=long_ago, finished_at=long_ago)

    retention.prune()

    assert Reconciliation.objects.get() == kept


def test_they_go_with_their_pipeline(db):
    row = ReconciliationFactory()
    Asker("administrator").delete(f"/pipelines/{row.pipeline_id}")
    assert not Reconciliation.objects.exists()


def test_a_lost_comparison_is_taken_over_and_at_the_third_loss_given_up(db):
    row = ReconciliationFactory(open=True)
    rows = Reconciliation.objects.filter(pk=row.pk)
    worker = WorkerFactory()

    for attempt in (2, 3):
        rows.update(lease_until=Now() - timedelta(seconds=1))
        held = lifecycle.claim_reconciliation(worker=worker.pk, lease=20)
        assert held is not None
        assert held.attempt == attempt
        with pytest.raises(lifecycle.Superseded):
            lifecycle.renew_reconciliation(row, lease=20, phase="", done=0, of=0)
    rows.update(lease_until=Now() - timedelta(seconds=1))

    assert lifecycle.claim_reconciliation(worker=worker.pk, lease=20) is None
    row.refresh_from_db()
    assert (row.status, row.error_code) == ("FAILED", "worker_lost")


def test_one_that_has_waited_long_is_found_by_that(db):
    worker = WorkerFactory()
    key = lifecycle.ask(
        PipelineFactory(), level=ReconciliationLevel.ROWS, sample=1, tolerances={}, by=None
    ).pk

    assert lifecycle.claim_reconciliation(worker=worker.pk, lease=20, waited=60) is None
    due = Now() - timedelta(seconds=61)
    Reconciliation.objects.filter(pk=key).update(next_attempt_at=due)
    held = lifecycle.claim_reconciliation(worker=worker.pk, lease=20, waited=60)
    assert held is not None
    assert held.pk == key
