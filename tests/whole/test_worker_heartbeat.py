"""The heartbeat of a run, in this process, on real rows: lease, wishes, progress, fencing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings

from pipelines import lifecycle
from pipelines.choices import Mode
from pipelines.lifecycle import Claim
from pipelines.models import Pipeline, PipelineState, Worker
from pipelines.states import RUN_REQUESTED
from runner import sampling
from runner.control import Control, clock
from runner.heartbeat import Heartbeat, trust
from tests import cluster
from tests.control.standing import standing
from tests.factories import WorkerFactory
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = 1.0


@pytest.fixture
def held() -> Claim:
    standing(RUN_REQUESTED, mode=Mode.INCREMENTAL, incremental_key="modified")
    claim = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
    assert claim is not None
    return claim


@contextmanager
def beating(held: Claim) -> Iterator[Control]:
    """A heartbeat, and a main loop that ticks whenever the test looks."""
    control = Control(generation=held.generation, lease=LEASE, trusted_until=trust(LEASE, clock()))
    with Heartbeat(control, held, held.pipeline.worker_id):
        yield control


def lease_of(held: Claim) -> Any:
    return Pipeline.objects.get(pk=held.pipeline.pk).lease_until


def ticking(control: Control, question: Any) -> Any:
    """Ask until the answer is true, as a main loop that lives."""

    def tick_and_ask() -> Any:
        control.last_tick = clock()
        return question()

    return until(tick_and_ask)


def test_the_lease_is_renewed_and_trusted_anew(held: Claim) -> None:
    given = lease_of(held)

    with beating(held) as control:
        trusted = control.trusted_until
        ticking(control, lambda: lease_of(held) > given)
        ticking(control, lambda: control.trusted_until > trusted)

    assert not control.fenced


def test_a_lease_is_trusted_for_less_than_it_lasts() -> None:
    assert trust(30, 100.0) == 128.0
    assert trust(1, 100.0) == 100.9


def test_pause_and_cancel_are_seen(held: Claim) -> None:
    with beating(held) as control:
        lifecycle.request_pause(held.pipeline.pk, by=None)
        ticking(control, lambda: control.pause)
        assert not control.cancel

        lifecycle.request_cancel(held.pipeline.pk, by=None)
        ticking(control, lambda: control.cancel)


def test_progress_is_reported_for_people(held: Claim) -> None:
    with beating(held) as control:
        control.progress.rows_read = 50
        control.progress.batches = 2
        control.progress.phase = "load"
        control.progress.value, control.progress.key = "2026-01-01", "7"
        control.progress.seq, control.progress.checkpoint_rows = 12, 500
        ticking(control, lambda: held.pipeline.runs.get().rows_read == 50)

    run = held.pipeline.runs.get()
    state = PipelineState.objects.get(pipeline=held.pipeline)
    assert (run.batches, run.phase) == (2, "load")
    assert run.progress_at is not None
    assert (state.last_processed_value, state.seq, state.rows) == ("2026-01-01", 12, 500)


def test_samples_are_kept_and_thinned(held: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_SAMPLES", 4)
    with beating(held) as control:
        for rows in range(1, 10):
            control.progress.rows_read = rows
            # Asked within this round of the loop only.
            ticking(control, lambda: held.pipeline.runs.get().rows_read == rows)  # noqa: B023

    samples = list(held.pipeline.runs.get().samples.values_list("number", "rows_read"))
    assert len(samples) <= 4
    assert samples == sorted(samples)
    step = samples[1][0] - samples[0][0]
    assert step > 1
    assert all(number % step == 0 for number, _rows in samples)


def test_lines_are_kept_while_the_run_goes_on_and_at_its_end(held: Claim) -> None:
    with beating(held) as control:
        control.journal.say("Connected.")
        ticking(control, held.pipeline.runs.get().lines.exists)
        control.journal.say("It broke.", level="ERROR")

    run = held.pipeline.runs.get()
    until(lambda: run.lines.count() == 2)
    assert list(run.lines.values_list("number", "level", "text")) == [
        (0, "INFO", "Connected."),
        (1, "ERROR", "It broke."),
    ]


def test_the_worker_is_seen(held: Claim) -> None:
    worker = Worker.objects.get(pk=held.pipeline.worker_id)

    with beating(held) as control:
        ticking(
            control, lambda: Worker.objects.get(pk=worker.pk).last_seen_at > worker.last_seen_at
        )


def test_a_batch_that_is_kept_forgives_failed_attempts(held: Claim) -> None:
    assert held.pipeline.attempt == 1

    with beating(held) as control:
        control.progress.batches = 1
        ticking(control, lambda: Pipeline.objects.get(pk=held.pipeline.pk).attempt == 0)


def test_a_batch_of_a_full_load_is_not_kept_and_forgives_nothing() -> None:
    standing(RUN_REQUESTED, mode=Mode.FULL)
    held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
    assert held is not None

    with beating(held) as control:
        control.progress.batches = 1
        ticking(control, lambda: held.pipeline.runs.get().batches == 1)

    assert Pipeline.objects.get(pk=held.pipeline.pk).attempt == 1


def test_a_worker_that_was_superseded_is_told(held: Claim) -> None:
    with beating(held) as control:
        Pipeline.objects.filter(pk=held.pipeline.pk).update(generation=held.generation + 1)
        ticking(control, lambda: control.fenced)


def test_a_run_that_takes_a_higher_generation_keeps_its_lease(held: Claim) -> None:
    with beating(held) as control:
        held = lifecycle.adopt_generation(held, 40)
        control.generation = 40
        given = lease_of(held)
        ticking(control, lambda: lease_of(held) > given)

    assert not control.fenced


def test_a_run_that_does_not_tick_loses_its_lease(held: Claim) -> None:
    with beating(held) as control:
        control.last_tick = clock() - 2 * LEASE - 1
        # The lease that was given before must run out, although the thread lives on.
        until(lambda: Pipeline.objects.lost().filter(pk=held.pipeline.pk).exists())
        until(lambda: control.trusted_until < clock())

    assert lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE) is not None


def test_a_lost_session_is_opened_again(held: Claim, caplog: pytest.LogCaptureFixture) -> None:
    with beating(held) as control:
        ticking(control, lambda: sessions() == 1)
        with cluster.superuser() as session:
            session.execute(f"SELECT pg_terminate_backend(pid) {_SESSIONS}", [_database()])
        ticking(control, lambda: "could not be renewed" in caplog.text)
        given = lease_of(held)
        ticking(control, lambda: lease_of(held) > given)

    assert not control.fenced


def test_the_heartbeat_ends_with_the_run_and_gives_its_session_back(held: Claim) -> None:
    with beating(held) as control:
        ticking(control, lambda: sessions() == 1)

    until(lambda: sessions() == 0)


_SESSIONS = "FROM pg_stat_activity WHERE datname = %s AND application_name = 'etl_admin:heartbeat'"


def _database() -> str:
    return settings.DATABASES["default"]["NAME"]


def sessions() -> int:
    with cluster.superuser() as session:
        row = session.execute(f"SELECT count(*) {_SESSIONS}", [_database()]).fetchone()
        return row[0] if row else 0
