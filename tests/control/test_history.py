"""What is kept of runs: samples for charts, lines of the log, and how long all of it stays."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.utils import timezone

from pipelines import retention
from pipelines.models import PipelineRun, RunEvent, RunLine, RunSample
from pipelines.states import RunStatus
from runner.journal import MOST_CHARACTERS, MOST_LINES, Journal
from runner.sampling import MOST_SAMPLES, Sampler
from tests.factories import PipelineFactory, RunFactory

OLD = timedelta(days=91)


def old_run(pipeline: Any, generation: int, **fields: Any) -> PipelineRun:
    """A run that ended before history is kept."""
    run = RunFactory(pipeline=pipeline, generation=generation, status=RunStatus.SUCCESS, **fields)
    PipelineRun.objects.filter(pk=run.pk).update(started_at=Now() - OLD, finished_at=Now() - OLD)
    return run


# Pruning


@pytest.mark.django_db
def test_old_runs_go_except_the_last_fifty_of_each_pipeline() -> None:
    busy, quiet = PipelineFactory(), PipelineFactory()
    for generation in range(1, 54):
        old_run(busy, generation)
    for generation in range(1, 4):
        old_run(quiet, generation)

    assert retention.prune() == 3

    kept = busy.runs.order_by("generation").values_list("generation", flat=True)
    assert list(kept) == list(range(4, 54))
    assert quiet.runs.count() == 3
    assert retention.prune() == 0


@pytest.mark.django_db
def test_what_belongs_to_a_run_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEPT_RUNS", 1)
    pipeline = PipelineFactory()
    run, kept = old_run(pipeline, 1), old_run(pipeline, 2)
    for of in (run, kept):
        RunEvent.objects.create(pipeline=pipeline, run=of, event="claim")
        RunSample.objects.create(run=of, number=0, rows_read=0, rows_written=0, batches=0)
        RunLine.objects.create(run=of, number=0, at=timezone.now(), level="INFO", text="Hello.")

    assert retention.prune() == 1

    for model in (RunEvent, RunSample, RunLine):
        assert [row.run_id for row in model.objects.all()] == [kept.pk]


@pytest.mark.django_db
def test_events_without_a_run_go_by_their_age() -> None:
    pipeline = PipelineFactory()
    for at in (timezone.now() - OLD, timezone.now()):
        RunEvent.objects.create(pipeline=pipeline, event="run", at=at)
    assert retention.prune() == 1
    assert RunEvent.objects.count() == 1


@pytest.mark.django_db
def test_pruning_takes_no_more_than_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEPT_RUNS", 1)
    pipeline = PipelineFactory()
    for generation in range(1, 8):
        old_run(pipeline, generation)
    assert [retention.prune(limit=4) for _ in range(3)] == [4, 2, 0]


@pytest.mark.django_db
def test_a_run_that_goes_on_for_months_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEPT_RUNS", 1)
    pipeline = PipelineFactory()
    RunFactory(pipeline=pipeline, generation=1, status=RunStatus.RUNNING)
    PipelineRun.objects.update(started_at=Now() - OLD)
    old_run(pipeline, 2)
    assert retention.prune() == 0


@pytest.mark.django_db
def test_the_command_goes_on_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEPT_RUNS", 1)
    monkeypatch.setattr(retention, "BATCH", 2)
    pipeline = PipelineFactory()
    for generation in range(1, 8):
        old_run(pipeline, generation)
    said = StringIO()
    call_command("prune", stdout=said)
    assert pipeline.runs.count() == 1
    assert "Deleted 6 runs and events older than 90 days." in said.getvalue()


# Samples


@pytest.mark.parametrize("renewals", [1, 499, 500, 501, 5_000, 100_000])
def test_a_run_of_any_length_has_a_bounded_number_of_samples(renewals: int) -> None:
    sampler, kept = Sampler(), set()
    for _ in range(renewals):
        if (number := sampler.next()) is not None:
            kept.add(number)
        if sampler.thin():
            kept = {number for number in kept if number % sampler.step == 0}
        assert len(kept) <= MOST_SAMPLES
    assert 0 in kept
    assert len(kept) >= min(renewals, MOST_SAMPLES // 2 - 1)
    assert max(kept) > renewals - 1 - sampler.step


# Lines


def test_a_journal_is_bounded_and_says_so() -> None:
    journal = Journal()
    for number in range(MOST_LINES + 10):
        journal.say(f"{number} " + "x" * 3000)
    lines = journal.take()
    assert [line.number for line in lines] == list(range(MOST_LINES))
    assert max(len(line.text) for line in lines) == MOST_CHARACTERS
    assert lines[-1].text.startswith("The log is full")
    assert journal.take() == []


def test_lines_that_could_not_be_written_come_again_in_their_order() -> None:
    journal = Journal()
    journal.say("one")
    taken = journal.take()
    journal.say("two")
    journal.put_back(taken)
    assert [line.text for line in journal.take()] == ["one", "two"]
