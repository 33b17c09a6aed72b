"""One step of the loop in this process: what it answers, and what it does with errors."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from pipelines.models import Pipeline, Worker
from pipelines.states import FAILED, IDLE, RUN_REQUESTED, RUNNING, RunStatus
from runner import worker
from runner.signals import Signals
from tests.control.standing import standing, status
from tests.factories import PipelineFactory, WorkerFactory
from tests.whole.gates import ask

Step = Callable[[], bool | None]


def load_of(rows: int) -> Pipeline:
    return PipelineFactory(source_query=f"SELECT g AS id FROM generate_series(1, {rows}) AS g")


def test_a_step_without_work_says_so(work_once: Step) -> None:
    assert work_once() is None


def test_a_step_runs_what_waits(work_once: Step, target_url: str) -> None:
    pipeline = load_of(10)
    ask(pipeline)

    assert work_once() is True
    assert status(pipeline) == IDLE


def test_a_step_says_that_its_run_failed(work_once: Step, target_url: str) -> None:
    pipeline = PipelineFactory(source_query="SELECT * FROM missing.table_")
    ask(pipeline)

    assert work_once() is False
    assert status(pipeline) == FAILED


def broken(*_arguments: Any) -> bool:
    raise RuntimeError("secret 4711")


def test_a_bug_fails_its_run_without_telling_what_it_saw(
    work_once: Step, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "execute", broken)
    pipeline = load_of(10)
    ask(pipeline)

    assert work_once() is False

    run = pipeline.runs.get()
    assert (status(pipeline), run.status, run.error_class) == (
        FAILED,
        RunStatus.FAILED,
        "RuntimeError",
    )
    assert "4711" not in run.error_message
    assert "RuntimeError: secret 4711" in caplog.text


def test_a_bug_in_a_rescue_leaves_the_pipeline_to_its_lease(
    work_once: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "execute", broken)
    pipeline = standing(RUNNING, lease=-1)

    assert work_once() is False

    pipeline.refresh_from_db()
    assert pipeline.status == RUNNING
    assert pipeline.lease_until > timezone.now()


def test_a_metadata_database_that_went_away_leaves_the_run_to_its_lease(
    work_once: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: Any) -> bool:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(worker, "execute", away)
    pipeline = load_of(10)
    ask(pipeline)

    assert work_once() is False
    assert status(pipeline) == RUNNING


@pytest.mark.parametrize("error", [OperationalError("away"), ValueError("a bug")])
def test_the_loop_goes_on_after_an_error(
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    signals = Signals()
    steps: list[int] = []

    def step(*_arguments: Any) -> None:
        steps.append(1)
        if len(steps) == 2:
            signals.ask_to_stop()
        raise error

    monkeypatch.setattr(worker, "step", step)

    with caplog.at_level(logging.WARNING):
        assert worker.work(signals, once=False)

    assert len(steps) == 2
    signals.close()


def test_once_does_not_hide_an_error(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_arguments: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(worker, "step", step)

    with pytest.raises(OperationalError):
        worker.work(Signals(), once=True)


# How long an idle worker rests


@pytest.mark.django_db
def test_an_idle_worker_rests_until_the_next_poll(settings: Any) -> None:
    settings.RUNNER_POLL_SECONDS = 7

    assert worker.rest() == 7


@pytest.mark.django_db
def test_a_worker_rests_no_longer_than_until_the_next_retry(settings: Any) -> None:
    settings.RUNNER_POLL_SECONDS = 60
    due = Now() + timedelta(seconds=20)
    standing(RUN_REQUESTED, next_attempt_at=due)

    assert 15 < worker.rest() <= 20


@pytest.mark.django_db
def test_a_worker_rests_no_longer_than_until_a_lease_runs_out(settings: Any) -> None:
    settings.RUNNER_POLL_SECONDS = 60
    standing(RUNNING, lease=10)

    assert 5 < worker.rest() <= 10


@pytest.mark.django_db
def test_what_is_due_but_held_by_another_session_is_not_asked_for_without_a_rest() -> None:
    standing(RUN_REQUESTED)

    assert 0 < worker.rest() < 1


# Workers as people see them


@pytest.mark.django_db
def test_a_worker_registers_once_and_is_seen_again() -> None:
    me = uuid4()
    worker.sign_in(me)
    first = Worker.objects.get(pk=me).last_seen_at

    worker.sign_in(me)

    row = Worker.objects.get(pk=me)
    assert row.label
    assert row.pid > 0
    assert row.last_seen_at > first


@pytest.mark.django_db
def test_workers_that_ended_long_ago_are_forgotten() -> None:
    old, recent = WorkerFactory(), WorkerFactory()
    long_ago = Now() - timedelta(days=31)
    Worker.objects.filter(pk=old.pk).update(last_seen_at=long_ago)

    worker.sign_in(uuid4())

    assert not Worker.objects.filter(pk=old.pk).exists()
    assert Worker.objects.filter(pk=recent.pk).exists()
