"""What people may ask of a pipeline in each status: the table of states, cell by cell."""

from collections.abc import Callable
from typing import Any

import pytest

from pipelines import lifecycle
from pipelines.choices import Mode, Trigger
from pipelines.lifecycle import TransitionRefused
from pipelines.models import Pipeline, PipelineState
from pipelines.states import (
    FAILED,
    IDLE,
    MOVES,
    PAUSE_REQUESTED,
    PAUSED,
    REFUSED,
    RUN_REQUESTED,
    RUNNING,
    By,
    PipelineStatus,
)
from tests.control.standing import events, row, standing, status, unclaimed_pause
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

Verb = Callable[[Pipeline], Any]


def run(pipeline: Pipeline, by: Any = None) -> PipelineStatus:
    return lifecycle.request_run(pipeline.pk, by=by, trigger=Trigger.API)


def pause(pipeline: Pipeline, by: Any = None) -> PipelineStatus:
    return lifecycle.request_pause(pipeline.pk, by=by)


def cancel(pipeline: Pipeline, by: Any = None) -> PipelineStatus:
    return lifecycle.request_cancel(pipeline.pk, by=by)


def disable(pipeline: Pipeline) -> None:
    pipeline.enabled = False
    lifecycle.edit(pipeline, {"enabled"}, by=None)


def change_query(pipeline: Pipeline) -> None:
    pipeline.source_query = "SELECT 2 AS id"
    lifecycle.edit(pipeline, {"source_query"}, by=None)


def reset(pipeline: Pipeline) -> None:
    lifecycle.reset_checkpoint(pipeline.pk, by=None)


def delete(pipeline: Pipeline) -> None:
    lifecycle.delete(pipeline.pk)


#: status: where the verb leads; a status of its own means "no change, same answer".
LEADS: dict[Verb, dict[PipelineStatus, PipelineStatus]] = {
    run: {
        IDLE: RUN_REQUESTED,
        RUN_REQUESTED: RUN_REQUESTED,
        PAUSED: RUN_REQUESTED,
        FAILED: RUN_REQUESTED,
    },
    pause: {
        RUN_REQUESTED: PAUSE_REQUESTED,
        RUNNING: PAUSE_REQUESTED,
        PAUSE_REQUESTED: PAUSE_REQUESTED,
        PAUSED: PAUSED,
    },
    cancel: {
        RUN_REQUESTED: IDLE,
        RUNNING: RUNNING,
        PAUSE_REQUESTED: PAUSE_REQUESTED,
        PAUSED: IDLE,
    },
    disable: {
        IDLE: IDLE,
        RUN_REQUESTED: IDLE,
        RUNNING: RUNNING,
        PAUSE_REQUESTED: PAUSE_REQUESTED,
        PAUSED: PAUSED,
        FAILED: FAILED,
    },
    change_query: {IDLE: IDLE, PAUSED: PAUSED, FAILED: FAILED},
    reset: {IDLE: IDLE, RUN_REQUESTED: RUN_REQUESTED, PAUSED: PAUSED, FAILED: FAILED},
}
ALLOWED = [(verb, start, end) for verb, row_ in LEADS.items() for start, end in row_.items()]
FORBIDDEN = [
    (verb, start) for verb, row_ in LEADS.items() for start in PipelineStatus if start not in row_
]


def named(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value)


@pytest.mark.parametrize(("verb", "start", "end"), ALLOWED, ids=named)
def test_a_verb_leads_where_the_table_says(
    verb: Verb, start: PipelineStatus, end: PipelineStatus
) -> None:
    pipeline = standing(start)

    answer = verb(pipeline)

    assert status(pipeline) == end
    assert answer in (None, end)


@pytest.mark.parametrize(("verb", "start"), FORBIDDEN, ids=named)
def test_a_verb_that_the_table_refuses_says_why_and_leaves_the_row_alone(
    verb: Verb, start: PipelineStatus
) -> None:
    pipeline = standing(start)
    before = row(pipeline)

    with pytest.raises(TransitionRefused) as refused:
        verb(pipeline)

    assert refused.value.status == start
    assert refused.value.sentence.endswith(".")
    assert row(pipeline) == before
    assert events(pipeline) == []


@pytest.mark.parametrize(("verb", "start", "end"), ALLOWED, ids=named)
def test_every_change_of_status_is_an_event(
    verb: Verb, start: PipelineStatus, end: PipelineStatus
) -> None:
    pipeline = standing(start)

    verb(pipeline)

    moved = list(pipeline.events.exclude(to_status="").values_list("to_status", flat=True))
    if start != end:
        assert moved == [end]
    else:
        assert moved in ([], [end])


def test_the_moves_of_people_are_those_of_this_table() -> None:
    expected = {
        (start, end) for verb, start, end in ALLOWED if verb in (run, pause, cancel, disable)
    } - {(status_, status_) for status_ in PipelineStatus if status_ != RUN_REQUESTED}
    declared = {
        (start, move.target) for move in MOVES if move.by is By.PERSON for start in move.sources
    }

    assert declared == expected
    assert set(REFUSED["run"]) == {start for verb, start in FORBIDDEN if verb is run}
    assert set(REFUSED["pause"]) == {start for verb, start in FORBIDDEN if verb is pause}
    assert set(REFUSED["cancel"]) == {start for verb, start in FORBIDDEN if verb is cancel}


def test_a_request_to_run_says_who_when_and_how_and_forgives_failed_attempts() -> None:
    pipeline = standing(FAILED, attempt=4)
    user = UserFactory()

    lifecycle.request_run(pipeline.pk, by=user, trigger=Trigger.ADMIN)

    pipeline.refresh_from_db()
    assert pipeline.requested_by == user
    assert pipeline.trigger == Trigger.ADMIN
    assert pipeline.attempt == 0
    assert pipeline.next_attempt_at == pipeline.requested_at
    assert pipeline.events.get().by == user


def test_running_again_makes_a_waiting_retry_due_now() -> None:
    pipeline = standing(RUN_REQUESTED, attempt=2, next_attempt_at="2999-01-01T00:00:00Z")

    run(pipeline)

    pipeline.refresh_from_db()
    assert pipeline.next_attempt_at.year < 2999
    assert pipeline.attempt == 2
    assert events(pipeline) == ["run again"]


@pytest.mark.parametrize("start", PipelineStatus)
def test_a_disabled_pipeline_is_never_run(start: PipelineStatus) -> None:
    pipeline = standing(start, enabled=False)
    before = row(pipeline)

    with pytest.raises(TransitionRefused, match="disabled"):
        run(pipeline)

    assert row(pipeline) == before


def test_pausing_again_writes_no_second_event() -> None:
    pipeline = standing(RUNNING)

    pause(pipeline)
    pause(pipeline)

    assert events(pipeline) == ["pause"]


def test_cancelling_a_running_pipeline_leaves_a_wish_for_its_worker() -> None:
    pipeline = standing(RUNNING)

    cancel(pipeline)
    asked = Pipeline.objects.get(pk=pipeline.pk).cancel_requested_at
    cancel(pipeline)

    assert asked is not None
    assert Pipeline.objects.get(pk=pipeline.pk).cancel_requested_at == asked
    assert events(pipeline) == ["cancel asked"]


def test_a_pause_that_no_worker_claimed_is_cancelled_at_once() -> None:
    pipeline = unclaimed_pause()

    assert cancel(pipeline) == IDLE
    assert status(pipeline) == IDLE
    assert events(pipeline) == ["cancel"]


def test_a_new_request_forgets_an_old_wish_to_cancel() -> None:
    pipeline = standing(IDLE, cancel_requested_at="2020-01-01T00:00:00Z")

    run(pipeline)

    assert Pipeline.objects.get(pk=pipeline.pk).cancel_requested_at is None


def test_an_edit_that_was_loaded_before_a_run_ended_leaves_the_lifecycle_alone() -> None:
    pipeline = standing(RUNNING)
    stale = Pipeline.objects.get(pk=pipeline.pk)
    Pipeline.objects.filter(pk=pipeline.pk).update(status=IDLE, lease_until=None, worker=None)

    stale.description = "changed"
    lifecycle.edit(stale, {"description"}, by=None)

    pipeline.refresh_from_db()
    assert (pipeline.status, pipeline.lease_until, pipeline.description) == (IDLE, None, "changed")


def test_an_edit_stores_only_the_fields_that_it_names() -> None:
    pipeline = standing(IDLE)
    first, second = (Pipeline.objects.get(pk=pipeline.pk) for _ in range(2))

    first.description = "by the first"
    lifecycle.edit(first, {"description"}, by=None)
    second.mode, second.incremental_key = Mode.INCREMENTAL, "modified"
    lifecycle.edit(second, {"mode", "incremental_key"}, by=None)

    pipeline.refresh_from_db()
    assert (pipeline.description, pipeline.mode) == ("by the first", Mode.INCREMENTAL)


def test_what_does_not_define_the_data_may_change_at_any_time() -> None:
    pipeline = standing(RUNNING)

    pipeline.batch_size = 7
    lifecycle.edit(pipeline, {"batch_size"}, by=None)

    assert Pipeline.objects.get(pk=pipeline.pk).batch_size == 7


def test_a_refused_edit_stores_nothing_of_it() -> None:
    pipeline = standing(RUNNING)
    before = row(pipeline)

    pipeline.batch_size, pipeline.source_query = 7, "SELECT 3 AS id"
    with pytest.raises(TransitionRefused):
        lifecycle.edit(pipeline, {"batch_size", "source_query"}, by=None)

    assert row(pipeline) == before


def test_a_reset_starts_a_new_epoch_and_clears_what_people_see() -> None:
    pipeline = standing(PAUSED)
    PipelineState.objects.create(pipeline=pipeline, last_processed_value="7", seq=3)

    reset(pipeline)

    assert Pipeline.objects.get(pk=pipeline.pk).checkpoint_epoch == 1
    assert not PipelineState.objects.filter(pipeline=pipeline).exists()
    assert events(pipeline) == ["checkpoint reset"]


@pytest.mark.parametrize("start", [IDLE, RUN_REQUESTED, PAUSED, FAILED])
def test_a_pipeline_at_rest_or_waiting_can_be_deleted(start: PipelineStatus) -> None:
    pipeline = standing(start)

    delete(pipeline)

    assert not Pipeline.objects.filter(pk=pipeline.pk).exists()


@pytest.mark.parametrize("start", [RUNNING, PAUSE_REQUESTED])
def test_a_pipeline_that_a_worker_may_hold_is_not_deleted(start: PipelineStatus) -> None:
    pipeline = standing(start)
    before = row(pipeline)

    with pytest.raises(TransitionRefused):
        delete(pipeline)

    assert row(pipeline) == before
