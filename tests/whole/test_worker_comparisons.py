"""Comparisons that workers make: taken, told how far they are, cancelled, handed on, given up."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.db.models.functions import Now

from pipelines import lifecycle
from pipelines.busy import alone
from pipelines.choices import ReconciliationLevel
from pipelines.models import Connection, Pipeline, PipelineRun, Reconciliation
from runner import reconcile
from tests.control.asking import Asker
from tests.factories import PipelineFactory, RunFactory
from tests.waiting import until
from tests.whole.gates import ask

Step = Callable[[], bool | None]
#: Each row takes a moment in the source, so that a comparison can be caught at work.
SLOW = "SELECT n AS id, pg_sleep(0.002)::text AS word FROM generate_series(1, 5000) AS n"


def wanted(pipeline: Pipeline, level: ReconciliationLevel = ReconciliationLevel.ROWS) -> Any:
    return lifecycle.ask(pipeline, level=level, sample=5, tolerances={}, by=None)


@pytest.fixture
def films(transactional_db: None, target: Any) -> Pipeline:
    target.execute("CREATE SCHEMA analytics")
    target.execute("CREATE TABLE analytics.film (id int PRIMARY KEY, word text)")
    target.execute("INSERT INTO analytics.film VALUES (1, 'one'), (2, 'two')")
    return PipelineFactory(
        source_query="SELECT n AS id, 'one' AS word FROM generate_series(1, 3) AS n",
        target_table="analytics.film",
        key_columns=["id"],
    )


@pytest.fixture
def slow(films: Pipeline) -> Pipeline:
    Pipeline.objects.update(source_query=SLOW)
    films.refresh_from_db()
    return films


def test_a_step_makes_one_that_waits(work_once: Step, films: Pipeline) -> None:
    row = wanted(films)

    assert work_once() is True
    assert work_once() is None

    row.refresh_from_db()
    assert (row.status, row.missing, row.extra, row.different) == ("WARNING", 1, 0, 1)
    assert row.worker is not None
    assert row.lease_until is None
    assert row.seconds is not None


def test_runs_come_first_but_not_before_one_that_has_waited_long(
    work_once: Step, films: Pipeline
) -> None:
    row = wanted(films)
    ask(films)
    assert work_once() is True
    row.refresh_from_db()
    assert (row.status, PipelineRun.objects.count()) == ("REQUESTED", 1)

    ask(films)
    due = Now() - timedelta(minutes=2)
    Reconciliation.objects.filter(pk=row.pk).update(next_attempt_at=due)
    assert work_once() is True
    row.refresh_from_db()
    assert (row.status, PipelineRun.objects.count()) == ("OK", 1)


def test_a_failed_one_says_why_and_is_no_failed_run(work_once: Step, films: Pipeline) -> None:
    Pipeline.objects.update(source_query="SELECT id FROM dropped_since")
    films.refresh_from_db()
    row = wanted(films)

    assert work_once() is True

    row.refresh_from_db()
    assert (row.status, row.error_code) == ("FAILED", "query_failed")
    assert "does not exist" in row.error_message


def test_a_busy_connection_is_left_for_a_while(work_once: Step, films: Pipeline) -> None:
    row = wanted(films)

    with alone(Connection.objects.get(name="default")):
        assert work_once() is True
        assert work_once() is None

    row.refresh_from_db()
    assert (row.status, row.attempt, row.lease_until) == ("REQUESTED", 0, None)


class Comparing(threading.Thread):
    """A worker in a thread that makes one comparison."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()

    def run(self) -> None:
        try:
            reconcile.work(uuid4(), self.stop)
        finally:
            connections.close_all()


def begun(row: Reconciliation) -> Comparing:
    thread = Comparing()
    # Its worker is nobody's row: the foreign key of a comparison would refuse it.
    thread.start()
    until(lambda: Reconciliation.objects.filter(pk=row.pk, status="RUNNING").exists())
    return thread


@pytest.fixture(autouse=True)
def _any_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = lifecycle.claim_reconciliation

    def known(*, worker: Any, **values: Any) -> Any:
        from pipelines.models import Worker

        Worker.objects.get_or_create(pk=worker, defaults={"label": "test", "pid": 1})
        return claim(worker=worker, **values)

    monkeypatch.setattr(lifecycle, "claim_reconciliation", known)


def test_its_progress_is_told_while_it_is_made(slow: Pipeline) -> None:
    row = wanted(slow)
    thread = begun(row)
    leases = Reconciliation.objects.filter(pk=row.pk)
    before = leases.values_list("lease_until", flat=True).get()

    until(lambda: leases.get().lease_until != before or not thread.is_alive())
    assert thread.is_alive()
    assert leases.get().phase

    thread.stop.set()
    thread.join(15)
    assert not thread.is_alive()


def test_a_worker_that_is_asked_to_stop_hands_it_on(slow: Pipeline) -> None:
    row = wanted(slow)
    thread = begun(row)

    thread.stop.set()
    thread.join(15)

    row.refresh_from_db()
    assert (row.status, row.attempt, row.lease_until) == ("REQUESTED", 0, None)


def test_a_cancelled_one_ends_within_seconds(slow: Pipeline) -> None:
    row = wanted(slow)
    thread = begun(row)

    Asker("operator").post(f"/reconciliations/{row.pk}/cancel")
    thread.join(15)

    row.refresh_from_db()
    assert (row.status, row.source_count, row.lease_until) == ("CANCELLED", None, None)
    assert _nobody_reads()


def test_one_whose_pipeline_was_deleted_ends(slow: Pipeline) -> None:
    thread = begun(wanted(slow))

    slow.delete()
    thread.join(15)

    assert not thread.is_alive()
    assert not Reconciliation.objects.exists()


def test_a_comparison_changes_nothing_and_holds_nobody_up(films: Pipeline, target: Any) -> None:
    RunFactory(pipeline=films)
    before = target.execute("SELECT xmin::text, * FROM analytics.film ORDER BY id").fetchall()
    for level in ReconciliationLevel:
        Asker("editor").post(f"/pipelines/{films.pk}/reconcile", {"level": level.value})

    after = target.execute("SELECT xmin::text, * FROM analytics.film ORDER BY id").fetchall()
    assert after == before
    assert _nobody_reads()


def _nobody_reads() -> bool:
    """No session of ours is left on the servers."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'etl_admin:%' AND state <> 'idle'"
        )
        return bool(cursor.fetchone()[0] == 0)
