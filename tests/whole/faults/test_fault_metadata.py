"""The metadata database goes away (F4), comes back older, or is a copy (F5)."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from pipelines.models import Installation, Pipeline
from pipelines.states import RunStatus
from tests.control.standing import status
from tests.factories import PASSWORD, UserFactory
from tests.waiting import until
from tests.whole.faults import points
from tests.whole.faults.ground import LEASE, TABLE, Ground
from tests.whole.faults.proxy import AtCommit
from tests.whole.gates import Gate


@pytest.fixture
def held(ground: Ground) -> tuple[Pipeline, Gate]:
    """A pipeline whose second batch waits at a gate."""
    ground.fill()
    points.at_insert(ground.target, TABLE, "new.id = 8")
    gate = ground.gate("target")
    return ground.pipeline("incremental"), gate


def lose_metadata(ground: Ground) -> None:
    """An immediate shutdown; our own connection notices at its next use."""
    connection.close()
    ground.servers.metadata.crash()


def test_no_batch_is_committed_once_the_lease_cannot_be_trusted(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    worker = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()

    lose_metadata(ground)
    until(lambda: "superseded" in worker.output, what=lambda: worker.output)
    gate.open()

    assert ground.committed(pipeline) == 1
    ground.servers.metadata.start()
    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.FAILED, RunStatus.SUCCESS], ground.story(pipeline)
    assert ground.errors(pipeline) == ["WorkerLost"]
    assert "Traceback" not in worker.output
    assert worker.process.poll() is None
    ground.settle(pipeline)
    assert worker.stop() == 0


def test_a_metadata_restart_within_the_lease_is_no_more_than_a_pause(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    pipeline, gate = held
    worker = ground.start(RUNNER_LEASE_SECONDS=30)
    ground.ask(pipeline)
    gate.until_waited_at()

    lose_metadata(ground)
    until(lambda: "could not be renewed" in worker.output, what=lambda: worker.output)
    ground.servers.metadata.start()
    gate.open()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.SUCCESS], ground.story(pipeline)
    ground.settle(pipeline)


def test_a_metadata_server_without_a_free_slot_does_not_disturb_a_run(
    ground: Ground, held: tuple[Pipeline, Gate]
) -> None:
    """All that a run needs there was opened before (F12)."""
    pipeline, gate = held
    worker = ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()

    ground.metadata.execute("ALTER ROLE metadata CONNECTION LIMIT 0")
    given = lease_of(pipeline)
    until(lambda: lease_of(pipeline) > given + timedelta(seconds=2 * LEASE), what="not renewed")
    gate.open()

    ground.until(pipeline, "IDLE", "FAILED")
    ground.metadata.execute("ALTER ROLE metadata CONNECTION LIMIT -1")
    assert ground.runs(pipeline) == [RunStatus.SUCCESS], ground.story(pipeline)
    assert "could not be renewed" not in worker.output
    ground.settle(pipeline)


def lease_of(pipeline: Pipeline) -> datetime:
    """Until when its worker has it."""
    given: datetime = Pipeline.objects.values_list("lease_until", flat=True).get(pk=pipeline.pk)
    return given


def test_a_run_that_ends_while_the_metadata_is_away_is_settled_when_it_returns(
    ground: Ground,
) -> None:
    ground.fill()
    points.at_checkpoint(ground.target, "new.phase = 'done'")
    gate = ground.gate("target")
    pipeline = ground.pipeline("merge")
    ground.start(RUNNER_LEASE_SECONDS=30)
    ground.ask(pipeline)
    gate.until_waited_at()

    lose_metadata(ground)
    gate.open()
    done = "SELECT phase FROM etl.checkpoint"
    until(lambda: ground.target.execute(done).fetchone() == ("done",), what="not published")
    ground.servers.metadata.start()

    ground.until(pipeline, "IDLE", "FAILED")
    assert ground.runs(pipeline) == [RunStatus.SUCCESS], ground.story(pipeline)
    ground.settle(pipeline)


@pytest.mark.parametrize("cut", [AtCommit.BEFORE, AtCommit.AFTER, AtCommit.HOLD])
@pytest.mark.parametrize("verb", ["claim", "settle"])
def test_a_lost_answer_of_the_metadata_leaves_no_pipeline_stuck(
    ground: Ground, verb: str, cut: AtCommit
) -> None:
    ground.fill()
    if verb == "claim":
        points.at_insert(ground.metadata, "pipelines_pipelinerun", "true")
    else:
        points.at_update(ground.metadata, "pipelines_pipeline", "new.status = 'IDLE'")
    gate = ground.gate("metadata")
    pipeline = ground.pipeline("incremental")
    ground.start()
    ground.ask(pipeline)
    gate.until_waited_at()
    proxy = ground.servers.metadata.proxy

    proxy.arm(cut)
    gate.open()
    assert proxy.met.wait(20)
    proxy.let_through()

    ground.until(pipeline, "IDLE", "FAILED")
    assert status(pipeline) == "IDLE", ground.story(pipeline)
    ground.settle(pipeline)


def test_the_api_answers_503_while_the_metadata_is_away(ground: Ground) -> None:
    user = UserFactory(username="watcher", is_superuser=True)
    word = base64.b64encode(f"watcher:{PASSWORD}".encode()).decode()
    client = Client(headers={"Authorization": f"Basic {word}"})
    assert client.get("/api/v1/pipelines").status_code == 200

    lose_metadata(ground)
    answer = client.get("/api/v1/pipelines")

    assert answer.status_code == 503
    assert set(answer.json()) == {"detail", "code"}
    assert "Traceback" not in answer.text
    connection.close()
    ground.servers.metadata.start()
    assert client.get("/api/v1/pipelines").status_code == 200
    user.delete()


# Restored, or copied


def test_metadata_from_an_older_backup_goes_on_from_the_targets_checkpoint(ground: Ground) -> None:
    """A backup of the whole server: nothing shows that it is older but the target."""
    ground.fill()
    pipeline = ground.pipeline("incremental")
    server = ground.servers.metadata
    connection.close()
    server.back_up()
    worker = ground.start()
    for first_row, last_row in ((41, 60), (61, 70)):
        ground.ask(pipeline)
        ground.until(pipeline, "IDLE", "FAILED")
        ground.fill(first_row, last_row)
    assert worker.stop() == 0
    connection.close()
    server.restore()

    ground.start()
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")

    pipeline.refresh_from_db()
    run = pipeline.runs.get()
    assert (run.status, run.rows_read, run.resumed) == (RunStatus.SUCCESS, 10, False)
    assert (pipeline.generation, run.generation) == (3, 3)
    ground.settle(pipeline)


def copy_metadata(ground: Ground) -> None:
    """The database is replaced by a copy of it, as a logical restore does."""
    connection.close()
    with ground.servers.metadata.cluster.connect() as session:
        session.execute("DROP DATABASE IF EXISTS copied")
        session.execute("ALTER DATABASE metadata ALLOW_CONNECTIONS false")
        session.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = 'metadata'"
        )
        session.execute("CREATE DATABASE copied TEMPLATE metadata OWNER metadata")
        session.execute("DROP DATABASE metadata")
        session.execute("ALTER DATABASE copied RENAME TO metadata")


@pytest.fixture
def copied(ground: Ground) -> Pipeline:
    """A pipeline that ran once, and then the metadata was replaced under its worker."""
    ground.fill()
    pipeline = ground.pipeline("incremental")
    worker = ground.start()
    ground.ask(pipeline)
    ground.until(pipeline, "IDLE", "FAILED")
    copy_metadata(ground)
    assert worker.wait() == 1
    assert "This metadata database is not the one it was" in worker.output
    assert "Traceback" not in worker.output
    return pipeline


@pytest.mark.parametrize("processes", [1, 2])
def test_workers_refuse_to_start_on_copied_metadata(
    ground: Ground, copied: Pipeline, processes: int
) -> None:
    ground.ask(copied)

    worker = ground.start(f"--processes={processes}")

    assert worker.wait() == 1
    assert "installation --adopt" in worker.output
    assert status(copied) == "RUN_REQUESTED"
    call_command("installation", adopt=True, verbosity=0)


def test_adopted_metadata_goes_on_where_it_was(ground: Ground, copied: Pipeline) -> None:
    call_command("installation", adopt=True, verbosity=0)
    ground.fill(41, 50)

    ground.start()
    ground.ask(copied)
    ground.until(copied, "IDLE", "FAILED")

    last = copied.runs.order_by("generation").last()
    assert (last.status, last.rows_read) == (RunStatus.SUCCESS, 10)
    ground.settle(copied)


def test_a_clone_cannot_write_where_the_original_does(ground: Ground, copied: Pipeline) -> None:
    before: Any = ground.target.execute("SELECT * FROM etl.checkpoint").fetchall()
    call_command("installation", new=True, verbosity=0)
    ground.fill(41, 50)

    ground.start()
    ground.ask(copied)
    ground.until(copied, "IDLE", "FAILED")

    assert status(copied) == "FAILED"
    assert ground.errors(copied) == ["ForeignCheckpoint"]
    assert ground.target.execute("SELECT * FROM etl.checkpoint").fetchall() == before
    rows = ground.target.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
    assert rows == (40,)
    assert Installation.objects.count() == 1
