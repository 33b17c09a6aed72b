"""What workers do with a pipeline in each status: the table of states, cell by cell."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.lifecycle import Claim, Failure, Result, Superseded
from pipelines.models import Pipeline, PipelineRun, PipelineState
from pipelines.states import (
    FAILED,
    IDLE,
    MOVES,
    PAUSE_REQUESTED,
    PAUSED,
    RUN_REQUESTED,
    RUNNING,
    By,
    PipelineStatus,
    RunStatus,
)
from tests.control.standing import (
    GENERATION,
    events,
    holding,
    row,
    standing,
    status,
    unclaimed_pause,
)
from tests.factories import WorkerFactory

pytestmark = pytest.mark.django_db

Verb = Callable[[Claim], Any]
BROKEN = Failure(sentence="It broke.", error_class="Broken", sqlstate="08006")
DONE = Result(rows_read=5, rows_written=4, batches=2, phase="load", value="7", key="1", seq=9)


def finish(held: Claim) -> None:
    lifecycle.finish(held, DONE)


def paused(held: Claim) -> None:
    lifecycle.paused(held, DONE)


def cancelled(held: Claim) -> None:
    lifecycle.cancelled(held, DONE)


def fail(held: Claim) -> None:
    lifecycle.fail(held, DONE, BROKEN)


def retry(held: Claim) -> None:
    lifecycle.retry_or_pause(held, DONE, BROKEN, seconds=60)


def hand_back(held: Claim) -> None:
    lifecycle.hand_back(held, DONE)


#: verb: from RUNNING and from PAUSE_REQUESTED to (pipeline, run); None: not a move from there.
ENDS: dict[Verb, dict[PipelineStatus, tuple[PipelineStatus, RunStatus]]] = {
    finish: {
        RUNNING: (IDLE, RunStatus.SUCCESS),
        PAUSE_REQUESTED: (IDLE, RunStatus.SUCCESS),
    },
    cancelled: {
        RUNNING: (IDLE, RunStatus.CANCELLED),
        PAUSE_REQUESTED: (IDLE, RunStatus.CANCELLED),
    },
    paused: {PAUSE_REQUESTED: (PAUSED, RunStatus.PAUSED)},
    fail: {
        RUNNING: (FAILED, RunStatus.FAILED),
        PAUSE_REQUESTED: (FAILED, RunStatus.FAILED),
    },
    retry: {
        RUNNING: (RUN_REQUESTED, RunStatus.FAILED),
        PAUSE_REQUESTED: (PAUSED, RunStatus.FAILED),
    },
    hand_back: {
        RUNNING: (RUN_REQUESTED, RunStatus.INTERRUPTED),
        PAUSE_REQUESTED: (PAUSED, RunStatus.PAUSED),
    },
}
ALLOWED = [(verb, start, *end) for verb, cells in ENDS.items() for start, end in cells.items()]
FORBIDDEN = [
    (verb, start) for verb, cells in ENDS.items() for start in PipelineStatus if start not in cells
]


def named(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value)


@pytest.mark.parametrize(("verb", "start", "end", "run_end"), ALLOWED, ids=named)
def test_a_worker_ends_its_claim_as_the_table_says(
    verb: Verb, start: PipelineStatus, end: PipelineStatus, run_end: RunStatus
) -> None:
    pipeline = standing(start)

    verb(holding(pipeline))

    pipeline.refresh_from_db()
    run = pipeline.runs.get()
    assert (pipeline.status, run.status) == (end, run_end)
    assert (pipeline.worker, pipeline.lease_until) == (None, None)
    assert run.finished_at is not None
    assert (run.rows_read, run.rows_written, run.batches) == (5, 4, 2)
    event = pipeline.events.get()
    assert (event.to_status, event.run) == (end, run)


@pytest.mark.parametrize(("verb", "start"), FORBIDDEN, ids=named)
def test_a_worker_that_holds_nothing_changes_nothing(verb: Verb, start: PipelineStatus) -> None:
    pipeline = standing(start)
    before = row(pipeline)

    with pytest.raises(Superseded):
        verb(holding(pipeline))

    assert row(pipeline) == before
    assert events(pipeline) == []


@pytest.mark.parametrize("start", [RUNNING, PAUSE_REQUESTED])
@pytest.mark.parametrize("verb", ENDS, ids=named)
def test_a_worker_of_an_older_generation_changes_nothing(verb: Verb, start: PipelineStatus) -> None:
    pipeline = standing(start)
    before = row(pipeline)
    stale = replace(holding(pipeline), generation=GENERATION - 1)

    with pytest.raises(Superseded):
        verb(stale)

    assert row(pipeline) == before


@pytest.mark.parametrize("verb", ENDS, ids=named)
def test_a_claim_is_ended_only_once(verb: Verb) -> None:
    pipeline = standing(PAUSE_REQUESTED)
    held = holding(pipeline)
    verb(held)
    before = row(pipeline)

    for other in ENDS:
        with pytest.raises(Superseded):
            other(held)

    assert row(pipeline) == before
    assert len(events(pipeline)) == 1


def test_the_moves_of_workers_are_those_of_these_tables() -> None:
    claims = {
        (RUN_REQUESTED, RUNNING, None),
        (PAUSE_REQUESTED, PAUSED, None),
        (RUNNING, RUNNING, RunStatus.FAILED),
        (PAUSE_REQUESTED, PAUSED, RunStatus.FAILED),
    }
    ends = {(start, end, run_end) for _verb, start, end, run_end in ALLOWED}
    declared = {
        (start, move.target, move.run)
        for move in MOVES
        if move.by is By.WORKER
        for start in move.sources
    }

    assert declared == claims | ends


# What was wished for while the worker was busy


@pytest.mark.parametrize("start", [RUNNING, PAUSE_REQUESTED])
@pytest.mark.parametrize("verb", [retry, hand_back])
def test_a_cancel_that_came_meanwhile_wins_over_going_on(verb: Verb, start: PipelineStatus) -> None:
    pipeline = standing(start, cancel_requested_at=timezone.now())

    verb(holding(pipeline))

    pipeline.refresh_from_db()
    run = pipeline.runs.get()
    assert (pipeline.status, run.status) == (IDLE, RunStatus.CANCELLED)
    assert (pipeline.cancel_requested_at, run.error_message) == (None, None)


def test_a_cancel_that_came_meanwhile_wins_over_the_pause() -> None:
    pipeline = standing(PAUSE_REQUESTED, cancel_requested_at=timezone.now())

    paused(holding(pipeline))

    assert (status(pipeline), pipeline.runs.get().status) == (IDLE, RunStatus.CANCELLED)


def test_finishing_wins_over_a_cancel() -> None:
    pipeline = standing(RUNNING, cancel_requested_at=timezone.now())

    finish(holding(pipeline))

    pipeline.refresh_from_db()
    assert (pipeline.status, pipeline.cancel_requested_at) == (IDLE, None)
    assert pipeline.runs.get().status == RunStatus.SUCCESS


def test_a_transient_error_of_a_disabled_pipeline_is_final() -> None:
    pipeline = standing(RUNNING, enabled=False)

    retry(holding(pipeline))

    assert (status(pipeline), pipeline.runs.get().status) == (FAILED, RunStatus.FAILED)


def test_a_transient_error_says_when_the_next_try_is() -> None:
    pipeline = standing(RUNNING)

    retry(holding(pipeline))

    pipeline.refresh_from_db()
    due = pipeline.next_attempt_at
    said = f"It broke. Next try at {due:%Y-%m-%d %H:%M:%S} UTC."
    assert pipeline.runs.get().error_message == said
    assert pipeline.events.latest("id").message == said


@pytest.mark.parametrize(
    ("start", "facts"),
    [
        (PAUSE_REQUESTED, {}),
        (RUNNING, {"enabled": False}),
    ],
)
def test_no_next_try_is_promised_where_none_follows(
    start: PipelineStatus, facts: dict[str, Any]
) -> None:
    pipeline = standing(start, **facts)

    retry(holding(pipeline))

    assert pipeline.runs.get().error_message == "It broke."


def test_a_disabled_pipeline_is_not_handed_to_another_worker() -> None:
    pipeline = standing(RUNNING, enabled=False)

    hand_back(holding(pipeline))

    assert (status(pipeline), pipeline.runs.get().status) == (IDLE, RunStatus.CANCELLED)


# What is written beside the status


def test_a_failed_run_says_why() -> None:
    pipeline = standing(RUNNING)

    fail(holding(pipeline))

    run = pipeline.runs.get()
    assert (run.error_message, run.error_class, run.sqlstate) == ("It broke.", "Broken", "08006")
    assert pipeline.events.get().message == "It broke."


def test_a_retry_waits_for_its_time_and_keeps_the_count_of_attempts() -> None:
    pipeline = standing(RUNNING, attempt=2)
    before = timezone.now()

    retry(holding(pipeline))

    pipeline.refresh_from_db()
    assert timedelta(seconds=50) < pipeline.next_attempt_at - before < timedelta(seconds=70)
    assert (pipeline.attempt, pipeline.trigger) == (2, Trigger.RETRY)


@pytest.mark.parametrize(("attempt", "left"), [(1, 0), (3, 2), (0, 0)])
def test_a_worker_that_stops_costs_the_pipeline_no_attempt(attempt: int, left: int) -> None:
    pipeline = standing(RUNNING, attempt=attempt)

    hand_back(holding(pipeline))

    pipeline.refresh_from_db()
    assert (pipeline.attempt, pipeline.trigger) == (left, Trigger.HANDOVER)
    assert pipeline.next_attempt_at <= timezone.now()


def test_the_checkpoint_that_people_see_is_written_with_the_end_of_the_run() -> None:
    pipeline = standing(RUNNING, checkpoint_epoch=2)

    finish(holding(pipeline))

    state = PipelineState.objects.get(pipeline=pipeline)
    assert (state.last_processed_value, state.last_processed_id) == ("7", "1")
    assert (state.seq, state.epoch) == (9, 2)


def test_a_run_without_a_position_leaves_the_checkpoint_that_people_see() -> None:
    pipeline = standing(RUNNING)
    PipelineState.objects.create(pipeline=pipeline, last_processed_value="6")

    lifecycle.finish(holding(pipeline), Result())

    assert PipelineState.objects.get(pipeline=pipeline).last_processed_value == "6"


# The claim


def claim(worker: UUID | None = None) -> Claim | None:
    return lifecycle.claim(worker=worker or WorkerFactory().pk, lease=30)


def test_a_requested_pipeline_is_claimed_with_a_new_generation_and_a_run() -> None:
    pipeline = standing(RUN_REQUESTED, attempt=1, trigger=Trigger.API, requested_at=timezone.now())
    worker = WorkerFactory()

    held = claim(worker.pk)

    pipeline.refresh_from_db()
    run = pipeline.runs.get()
    assert held is not None
    assert (held.run, held.was, held.is_rescue) == (run, RUN_REQUESTED, False)
    assert (pipeline.status, pipeline.worker, pipeline.attempt) == (RUNNING, worker, 2)
    assert pipeline.generation == held.generation == run.generation == GENERATION + 1
    assert (run.trigger, run.requested_at, run.attempt) == (Trigger.API, pipeline.requested_at, 2)
    assert run.definition["source_query"] == pipeline.source_query
    assert run.definition["source_connection"] == "default"
    assert events(pipeline) == ["claim"]


@pytest.mark.parametrize("start", PipelineStatus)
def test_what_nobody_asked_for_or_somebody_holds_is_not_claimed(start: PipelineStatus) -> None:
    pipeline = standing(start, next_attempt_at="2999-01-01T00:00:00Z")
    before = row(pipeline)

    assert claim() is None
    assert row(pipeline) == before


def test_a_disabled_pipeline_is_not_claimed() -> None:
    standing(RUN_REQUESTED, enabled=False)

    assert claim() is None


def test_the_longest_due_is_claimed_first() -> None:
    ages = {3: standing(RUN_REQUESTED), 9: standing(RUN_REQUESTED), 6: standing(RUN_REQUESTED)}
    for age, pipeline in ages.items():
        due = Now() - timedelta(seconds=age)
        Pipeline.objects.filter(pk=pipeline.pk).update(next_attempt_at=due)

    claimed = [claim() for _ in ages]

    assert [held.pipeline for held in claimed if held] == [ages[9], ages[6], ages[3]]


def test_a_pause_that_no_worker_had_claimed_ends_without_a_run() -> None:
    pipeline = unclaimed_pause()

    held = claim()
    assert held is not None
    assert held.is_unclaimed_pause
    lifecycle.pause_unclaimed(held)

    assert status(pipeline) == PAUSED
    assert not pipeline.runs.exists()
    assert events(pipeline) == ["pause unclaimed"]


def test_a_cancel_wins_over_the_pause_that_a_worker_is_about_to_make() -> None:
    pipeline = unclaimed_pause()
    held = claim()
    assert held is not None

    assert lifecycle.request_cancel(pipeline.pk, by=None) == PAUSE_REQUESTED
    lifecycle.pause_unclaimed(held)

    assert status(pipeline) == IDLE


def test_a_claimed_pause_whose_worker_was_lost_is_still_an_unclaimed_pause() -> None:
    pipeline = unclaimed_pause()
    claim()
    Pipeline.objects.filter(pk=pipeline.pk).update(lease_until=Now() - timedelta(seconds=1))

    held = claim()

    assert held is not None
    assert held.is_unclaimed_pause


def test_a_pipeline_whose_claim_fails_does_not_starve_the_others() -> None:
    poisoned, healthy = standing(RUN_REQUESTED), standing(RUN_REQUESTED)
    due = Now() - timedelta(hours=1)
    Pipeline.objects.filter(pk=poisoned.pk).update(next_attempt_at=due, trigger="nonsense")

    with pytest.raises(ValueError, match="nonsense"):
        claim()
    held = claim()

    assert held is not None
    assert held.pipeline == healthy
    assert status(poisoned) == RUN_REQUESTED


# The rescue


def lost(start: PipelineStatus, **columns: Any) -> Pipeline:
    return standing(start, lease=-1, **columns)


def test_a_lost_workers_run_is_failed_and_replaced_by_ours() -> None:
    pipeline = lost(RUNNING)

    held = claim()
    assert held is not None
    assert (held.was, held.is_rescue, held.run) == (RUNNING, True, None)
    run = lifecycle.replace_lost_run(held)

    old, new = pipeline.runs.order_by("generation")
    assert (old.status, old.error_class) == (RunStatus.FAILED, "WorkerLost")
    assert "lost" in old.error_message
    assert (new, new.status, new.trigger) == (run, RunStatus.RUNNING, Trigger.RESCUE)
    assert new.generation == GENERATION + 1
    assert status(pipeline) == RUNNING
    assert events(pipeline) == ["rescue"]


def test_a_lost_workers_pause_is_kept_only_after_the_fence() -> None:
    pipeline = lost(PAUSE_REQUESTED)

    held = claim()
    assert held is not None
    assert (held.was, held.is_rescue) == (PAUSE_REQUESTED, True)
    assert status(pipeline) == PAUSE_REQUESTED
    lifecycle.rescue_paused(held)

    assert (status(pipeline), pipeline.runs.get().status) == (PAUSED, RunStatus.FAILED)
    assert events(pipeline) == ["rescue paused"]


@pytest.mark.parametrize("start", [RUNNING, PAUSE_REQUESTED])
def test_a_lost_workers_cancel_is_kept(start: PipelineStatus) -> None:
    pipeline = lost(start, cancel_requested_at=timezone.now())

    held = claim()
    assert held is not None
    lifecycle.rescue_cancelled(held)

    pipeline.refresh_from_db()
    assert (pipeline.status, pipeline.cancel_requested_at) == (IDLE, None)
    assert pipeline.runs.get().status == RunStatus.CANCELLED
    assert events(pipeline) == ["cancelled"]


def test_a_cancel_that_comes_during_the_rescue_of_a_pause_wins() -> None:
    pipeline = lost(PAUSE_REQUESTED)
    held = claim()
    assert held is not None

    lifecycle.request_cancel(pipeline.pk, by=None)
    lifecycle.rescue_paused(held)

    assert (status(pipeline), pipeline.runs.get().status) == (IDLE, RunStatus.CANCELLED)


@pytest.mark.parametrize(
    "verb",
    [
        lifecycle.replace_lost_run,
        lifecycle.rescue_paused,
        lifecycle.rescue_cancelled,
        lifecycle.pause_unclaimed,
    ],
    ids=named,
)
@pytest.mark.parametrize("start", PipelineStatus)
def test_a_rescuer_that_was_rescued_itself_changes_nothing(
    verb: Verb, start: PipelineStatus
) -> None:
    pipeline = standing(start)
    before = row(pipeline)
    stale = replace(holding(pipeline), generation=GENERATION - 1, run=None, is_rescue=True)

    with pytest.raises(Superseded):
        verb(stale)

    assert row(pipeline) == before
    assert events(pipeline) == []


def test_the_heir_of_a_rescuer_finds_the_first_lost_run() -> None:
    pipeline = lost(RUNNING)
    claim()
    Pipeline.objects.filter(pk=pipeline.pk).update(lease_until=Now() - timedelta(seconds=1))

    held = claim()
    assert held is not None
    lifecycle.replace_lost_run(held)

    old, new = pipeline.runs.order_by("generation")
    assert (old.status, new.generation) == (RunStatus.FAILED, GENERATION + 2)


def test_a_rescue_that_cannot_fence_keeps_others_away_for_a_while() -> None:
    pipeline = lost(RUNNING)
    held = claim()
    assert held is not None

    lifecycle.postpone_rescue(held, seconds=600)

    pipeline.refresh_from_db()
    assert pipeline.lease_until > timezone.now() + timedelta(seconds=500)
    assert claim() is None


def test_a_worker_takes_a_higher_generation_for_itself_and_its_run() -> None:
    pipeline = standing(RUNNING)

    held = lifecycle.adopt_generation(holding(pipeline), 40)

    pipeline.refresh_from_db()
    assert (held.generation, pipeline.generation, pipeline.runs.get().generation) == (40, 40, 40)
    finish(held)


def test_a_rescuer_that_took_a_higher_generation_opens_its_run_under_that() -> None:
    pipeline = lost(RUNNING)
    held = claim()
    assert held is not None

    held = lifecycle.adopt_generation(held, 40)
    run = lifecycle.replace_lost_run(held)

    assert PipelineRun.objects.get(pk=run.pk).generation == 40
    assert pipeline.runs.count() == 2


def test_a_superseded_worker_takes_no_higher_generation() -> None:
    pipeline = standing(RUNNING)
    stale = replace(holding(pipeline), generation=GENERATION - 1)

    with pytest.raises(Superseded):
        lifecycle.adopt_generation(stale, 40)

    assert Pipeline.objects.get(pk=pipeline.pk).generation == GENERATION


# What a worker that could not say goodbye has left behind


@pytest.mark.parametrize("start", list(PipelineStatus))
def test_a_claim_has_ended_when_it_is_settled(start: PipelineStatus) -> None:
    pipeline = standing(start)
    load = (pipeline.pk, GENERATION)

    assert lifecycle.ended([load]) == ([] if start in (RUNNING, PAUSE_REQUESTED) else [load])


def test_a_claim_of_a_deleted_pipeline_has_ended() -> None:
    load = (uuid4(), 1)
    assert lifecycle.ended([load]) == [load]


def test_a_later_claim_tells_nothing_of_an_earlier_one() -> None:
    pipeline = standing(FAILED)
    assert lifecycle.ended([(pipeline.pk, GENERATION - 1)]) == []
