"""Every example of the customer's contract (API, draft v0.1), sent and answered as printed there.

What the contract abbreviates (ids, times, counts of its own data) is compared by its form.
"""

import re
from datetime import datetime
from unittest import mock
from uuid import UUID

import pytest
from django.db import OperationalError, connection

from pipelines.models import PipelineState
from tests.control.asking import Asker, Stranger
from tests.control.standing import standing
from tests.factories import PipelineFactory, RunFactory

ISO_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

# 3.1: the list.
LIST = [
    {
        "id": "f0f2f3b0-...",
        "name": "film_dim_full",
        "type": "SQL",
        "mode": "full",
        "enabled": True,
        "status": "IDLE",
        "target_table": "analytics.film_dim",
        "batch_size": 5000,
    },
    {
        "id": "a1b2c3d4-...",
        "name": "film_rating_agg_incremental",
        "type": "SQL",
        "mode": "incremental",
        "enabled": True,
        "status": "PAUSED",
        "target_table": "analytics.film_rating_agg",
        "batch_size": 2000,
    },
]
# 3.2: create.
CREATE = {
    "name": "film_dim_full",
    "description": "Полная загрузка витрины по фильмам",
    "type": "SQL",
    "mode": "full",
    "enabled": True,
    "target_table": "analytics.film_dim",
    "batch_size": 5000,
    "source_query": "SELECT id, title, rating, modified FROM content.film_work",
}
CREATED = {
    "id": "f0f2f3b0-...",
    "name": "film_dim_full",
    "description": "Полная загрузка витрины по фильмам",
    "type": "SQL",
    "mode": "full",
    "enabled": True,
    "status": "IDLE",
    "target_table": "analytics.film_dim",
    "batch_size": 5000,
    "incremental_key": None,
    "created_at": "2025-01-01T10:00:00Z",
    "updated_at": "2025-01-01T10:00:00Z",
}
# 3.3: detail.
DETAIL = {
    "id": "f0f2f3b0-...",
    "name": "film_dim_full",
    "description": "Полная загрузка витрины по фильмам",
    "type": "SQL",
    "mode": "full",
    "enabled": True,
    "status": "IDLE",
    "target_table": "analytics.film_dim",
    "batch_size": 5000,
    "incremental_key": None,
    "source_query": "SELECT id, title, rating, modified FROM content.film_work",
    "created_at": "2025-01-01T10:00:00Z",
    "updated_at": "2025-01-01T10:00:00Z",
}
# 3.4: change.
CHANGE = {
    "batch_size": 10000,
    "enabled": False,
    "source_query": (
        "SELECT id, title, rating, modified FROM content.film_work WHERE rating IS NOT NULL"
    ),
}
CHANGED = {
    "id": "f0f2f3b0-...",
    "name": "film_dim_full",
    "type": "SQL",
    "mode": "full",
    "enabled": False,
    "status": "IDLE",
    "target_table": "analytics.film_dim",
    "batch_size": 10000,
    "source_query": (
        "SELECT id, title, rating, modified FROM content.film_work WHERE rating IS NOT NULL"
    ),
    "incremental_key": None,
    "created_at": "2025-01-01T10:00:00Z",
    "updated_at": "2025-01-01T12:30:00Z",
}
# 2.1 and 2.2: the fields of the models.
PIPELINE_FIELDS = [
    "id",
    "name",
    "description",
    "type",
    "mode",
    "enabled",
    "status",
    "target_table",
    "batch_size",
    "incremental_key",
    "created_at",
    "updated_at",
]
CONFIG_FIELDS = ["source_query", "target_table", "mode", "batch_size", "incremental_key"]
# 4.1 to 4.3: run, pause, status.
RUN = {"pipeline_id": "f0f2f3b0-...", "status": "RUN_REQUESTED"}
PAUSE = {"pipeline_id": "f0f2f3b0-...", "status": "PAUSE_REQUESTED"}
STATUS = {
    "pipeline_id": "f0f2f3b0-...",
    "status": "RUNNING",
    "last_run_id": "cafe-babe-...",
    "last_updated_at": "2025-01-01T11:01:00Z",
}
# 5.1 and 5.2: checkpoint, runs.
STATE = {
    "pipeline_id": "f0f2f3b0-...",
    "last_processed_id": "cc32e6da-...",
    "last_processed_value": "2025-01-01T00:00:00Z",
    "updated_at": "2025-01-01T11:00:00Z",
}
RUNS = [
    {
        "id": "run-1-uuid",
        "pipeline_id": "f0f2f3b0-...",
        "started_at": "2025-01-01T11:00:00Z",
        "finished_at": "2025-01-01T11:02:30Z",
        "rows_read": 10000,
        "rows_written": 9800,
        "status": "SUCCESS",
        "error_message": None,
    },
    {
        "id": "run-2-uuid",
        "pipeline_id": "f0f2f3b0-...",
        "started_at": "2025-01-02T11:00:00Z",
        "finished_at": "2025-01-02T11:01:10Z",
        "rows_read": 5000,
        "rows_written": 5000,
        "status": "FAILED",
        "error_message": "duplicate key value violates unique constraint ...",
    },
]
# 6.1: reconcile.
RECONCILE = {
    "pipeline_id": "f0f2f3b0-...",
    "source_count": 10500,
    "target_count": 10480,
    "difference": 20,
    "status": "WARNING",
}
# 7.1: health.
HEALTH = {"status": "ok", "db": "ok", "version": "0.1.0"}


@pytest.fixture
def api(db):
    return Asker("administrator")


@pytest.fixture
def films(target):
    """The tables that the contract's query reads from and its pipelines write to."""
    target.execute("CREATE SCHEMA content; CREATE SCHEMA analytics")
    target.execute(
        "CREATE TABLE content.film_work (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
        " title text NOT NULL, description text, creation_date date, rating float, type text,"
        " created timestamptz, modified timestamptz)"
    )
    return target


def as_printed(answer, printed, *, exactly=True):
    """Assert that the answer has the example's fields, with its values where it gives them whole.

    `exactly`: and no others.
    """
    if exactly:
        assert list(answer) == list(printed)
    for field, value in printed.items():
        assert field in answer
        if field == "id" or field.endswith("_id"):
            if field != "last_processed_id":
                assert str(UUID(answer[field])) == answer[field]
        elif field.endswith("_at"):
            assert ISO_UTC.fullmatch(answer[field]), field
        else:
            assert answer[field] == value, field


def at(text):
    return datetime.fromisoformat(text)


def test_create_3_2(api, films):
    answer = api.post("/pipelines", CREATE)
    assert answer.status_code == 201, answer.content
    as_printed(answer.json(), CREATED, exactly=False)
    assert [field for field in answer.json() if field in PIPELINE_FIELDS] == PIPELINE_FIELDS


def test_detail_3_3(api, films):
    made = api.post("/pipelines", CREATE).json()
    answer = api.get(f"/pipelines/{made['id']}")
    assert answer.status_code == 200
    as_printed(answer.json(), DETAIL, exactly=False)
    assert list(answer.json())[: len(DETAIL)] == list(DETAIL)
    assert set(CONFIG_FIELDS) <= set(answer.json())


def test_change_3_4(api, films):
    made = api.post("/pipelines", CREATE).json()
    answer = api.patch(f"/pipelines/{made['id']}", CHANGE)
    assert answer.status_code == 200
    as_printed(answer.json(), CHANGED, exactly=False)
    assert answer.json()["created_at"] == made["created_at"]
    assert at(answer.json()["updated_at"]) >= at(made["updated_at"])
    assert api.get(f"/pipelines/{made['id']}").json() == answer.json()


def test_list_3_1(api):
    PipelineFactory(name="film_dim_full", target_table="analytics.film_dim")
    PipelineFactory(
        name="film_rating_agg_incremental",
        target_table="analytics.film_rating_agg",
        batch_size=2000,
        status="PAUSED",
        incremental=True,
    )
    answer = api.get("/pipelines")
    assert answer.status_code == 200
    assert len(answer.json()) == len(LIST)
    for pipeline, printed in zip(answer.json(), LIST, strict=True):
        as_printed(pipeline, printed)


def test_run_4_1(api):
    answer = api.post(f"/pipelines/{PipelineFactory().pk}/run")
    assert answer.status_code == 202
    as_printed(answer.json(), RUN)


def test_pause_4_2(api):
    pipeline = standing("RUNNING")
    answer = api.post(f"/pipelines/{pipeline.pk}/pause")
    assert answer.status_code == 202
    as_printed(answer.json(), PAUSE)


def test_status_4_3(api):
    pipeline = standing("RUNNING")
    answer = api.get(f"/pipelines/{pipeline.pk}/status")
    assert answer.status_code == 200
    as_printed(answer.json(), STATUS)
    assert answer.json()["last_run_id"] == str(pipeline.runs.get().pk)


def test_state_5_1(api):
    pipeline = PipelineFactory(incremental=True)
    PipelineState.objects.create(
        pipeline=pipeline,
        last_processed_id=STATE["last_processed_id"],
        last_processed_value=STATE["last_processed_value"],
        updated_at=at(STATE["updated_at"]),
    )
    answer = api.get(f"/pipelines/{pipeline.pk}/state")
    assert answer.status_code == 200
    assert answer.json() == STATE | {"pipeline_id": str(pipeline.pk)}
    assert list(answer.json()) == list(STATE)


def test_runs_5_2(api):
    pipeline = PipelineFactory()
    for printed in RUNS:
        facts = {k: v for k, v in printed.items() if k not in {"id", "pipeline_id"}}
        times = {name: at(facts.pop(name)) for name in ("started_at", "finished_at")}
        RunFactory(pipeline=pipeline, **facts, **times)
    answer = api.get(f"/pipelines/{pipeline.pk}/runs")
    assert answer.status_code == 200
    assert len(answer.json()) == len(RUNS)
    for run, printed in zip(answer.json(), reversed(RUNS), strict=True):  # newest first
        assert list(run)[: len(printed)] == list(printed)
        values = {k: v for k, v in printed.items() if k not in {"id", "pipeline_id"}}
        assert {field: run[field] for field in values} == values
        assert run["pipeline_id"] == str(pipeline.pk)


def test_reconcile_6_1(api, films):
    films.execute(
        "INSERT INTO content.film_work (title) SELECT 'film' FROM generate_series(1, 10500);"
        "CREATE TABLE analytics.film_dim AS SELECT id FROM content.film_work LIMIT 10480"
    )
    pipeline = PipelineFactory(
        source_query=CREATE["source_query"], target_table="analytics.film_dim"
    )
    answer = api.post(f"/pipelines/{pipeline.pk}/reconcile")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert list(body)[: len(RECONCILE)] == list(RECONCILE)
    printed = {field: body[field] for field in RECONCILE}
    assert printed == RECONCILE | {"pipeline_id": str(pipeline.pk)}


def test_health_7_1(db):
    answer = Stranger().get("/health")
    assert answer.status_code == 200
    assert answer.json() == HEALTH
    assert list(answer.json()) == list(HEALTH)


def test_health_without_its_database_is_503(db):
    nowhere = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": "1"}
    with mock.patch.object(connection, "settings_dict", nowhere):
        answer = Stranger().get("/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "error", "db": "error", "version": "0.1.0"}


def test_health_survives_a_database_that_cannot_be_started(db):
    away = mock.patch.object(connection, "get_connection_params", side_effect=OperationalError)
    with away:
        assert Stranger().get("/health").status_code == 503


def test_errors_have_a_detail_for_people(db):
    answer = Stranger().get("/pipelines")
    assert isinstance(answer.json()["detail"], str)


def test_no_content_has_no_body(api):
    answer = api.delete(f"/pipelines/{PipelineFactory().pk}")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_pipeline_of_the_contract_runs_from_request_to_checkpoint(
    transactional_db, films, run_worker
):
    films.execute(
        "INSERT INTO content.film_work (title, rating, modified)"
        " SELECT 'film ' || i, i % 10, timestamptz '2025-01-01 00:00Z' + i * interval '1 s'"
        " FROM generate_series(1, 250) AS i"
    )
    api = Asker("administrator")
    made = api.post(
        "/pipelines",
        CREATE
        | {
            "name": "film_dim_incremental",
            "mode": "incremental",
            "incremental_key": "modified",
            "key_columns": ["id"],
            "batch_size": 100,
        },
    ).json()
    path = f"/pipelines/{made['id']}"
    assert api.post(f"{path}/run").json()["status"] == "RUN_REQUESTED"
    run_worker()
    assert api.get(f"{path}/status").json()["status"] == "IDLE"
    (run,) = api.get(f"{path}/runs").json()
    assert (run["status"], run["rows_read"], run["rows_written"]) == ("SUCCESS", 250, 250)
    state = api.get(f"{path}/state").json()
    assert state["last_processed_value"] == "2025-01-01T00:04:10Z"
    assert UUID(state["last_processed_id"])
    assert api.post(f"{path}/reconcile").json()["status"] == "OK"
