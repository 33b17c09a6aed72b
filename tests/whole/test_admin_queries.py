"""Pages of the admin cost the same number of queries however many rows there are."""

import pytest
from axes.models import AccessAttempt
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken

from pipelines import audit
from pipelines.choices import AuditAction
from pipelines.models import (
    AuditRecord,
    Connection,
    Pipeline,
    PipelineRun,
    PipelineState,
    RunEvent,
    Worker,
)
from pipelines.states import RunStatus
from tests.factories import (
    AttemptFactory,
    ConnectionFactory,
    PipelineFactory,
    RunFactory,
    UserFactory,
    WorkerFactory,
)
from tests.whole.admin_pages import listing, page, person, standing


def grow(rows):
    """So many more pipelines, each with connections, a worker, runs and events of its own."""
    for _ in range(rows):
        source, target, worker = ConnectionFactory(), ConnectionFactory(), WorkerFactory()
        pipeline = standing(
            "RUNNING", source_connection=source, target_connection=target, worker=worker
        )
        PipelineState.objects.create(pipeline=pipeline, seq=1, updated_at=timezone.now())
        failed = RunFactory(pipeline=pipeline, status=RunStatus.FAILED, error_message="Why.")
        RunFactory(pipeline=pipeline, worker=worker)
        RunEvent.objects.create(pipeline=pipeline, run=failed, event="fail", worker=worker)
        user = UserFactory(groups=["viewer", "editor"])
        AuthToken.objects.create(user)
        AttemptFactory()
        audit.record(AuditAction.RUN, pipeline, by=user)


def queries(client, path):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


LISTS = {
    "overview": "/admin/",
    "pipelines": listing(Pipeline),
    "runs": listing(PipelineRun),
    "connections": listing(Connection),
    "workers": listing(Worker),
    "users": "/admin/auth/user/",
    "tokens": listing(AuthToken),
    "audit": listing(AuditRecord),
    "failed sign-ins": listing(AccessAttempt),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_costs_the_same_with_3_and_with_30(db, name):
    client = person()
    grow(3)
    queries(client, LISTS[name])  # caches fill
    few = queries(client, LISTS[name])
    grow(27)

    many = queries(client, LISTS[name])

    assert many == few
    assert many < 25


def test_the_page_of_a_pipeline_costs_the_same_with_3_runs_and_with_30(db):
    client, pipeline = person(), PipelineFactory(incremental=True)
    RunFactory.create_batch(3, pipeline=pipeline)
    queries(client, page(pipeline))
    few = queries(client, page(pipeline))
    RunFactory.create_batch(27, pipeline=pipeline)
    grow(5)

    assert queries(client, page(pipeline)) == few


def test_the_page_of_a_run_costs_the_same_with_3_events_and_with_30(db):
    client, run, worker = person(), RunFactory(), WorkerFactory()

    def happen(times):
        for _ in range(times):
            RunEvent.objects.create(
                pipeline=run.pipeline, run=run, event="claim", worker=worker, by=client.user
            )

    happen(3)
    queries(client, page(run))
    few = queries(client, page(run))
    happen(27)

    assert queries(client, page(run)) == few


def test_the_page_of_a_connection_costs_the_same_with_3_pipelines_and_with_30(db):
    client, shop = person(), ConnectionFactory()
    PipelineFactory.create_batch(3, source_connection=shop)
    queries(client, page(shop))
    few = queries(client, page(shop))
    PipelineFactory.create_batch(27, source_connection=shop)

    assert queries(client, page(shop)) == few


def test_asking_to_delete_does_not_read_the_runs(db):
    client, pipeline = person(), PipelineFactory()
    RunFactory.create_batch(3, pipeline=pipeline)
    queries(client, page(pipeline, "delete"))
    few = queries(client, page(pipeline, "delete"))
    RunFactory.create_batch(27, pipeline=pipeline)

    assert queries(client, page(pipeline, "delete")) == few
