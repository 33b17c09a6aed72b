"""Rivals: several sessions ask or claim at the same moment, and exactly one of them wins."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from django.db import connection

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.lifecycle import Failure, Result, Superseded, TransitionRefused
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import IDLE, PAUSED, RUN_REQUESTED, RUNNING, RunStatus
from tests.control.standing import events, holding, standing, status
from tests.factories import WorkerFactory

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
ROUNDS = 10


def at_once(*deeds: Callable[[], T]) -> list[T | Exception]:
    """Do all at the same moment, each over a database session of its own."""
    gate = threading.Barrier(len(deeds))

    def do(deed: Callable[[], T]) -> T | Exception:
        try:
            connection.ensure_connection()
            gate.wait(timeout=20)
            return deed()
        except (Superseded, TransitionRefused) as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(do, deeds))


def test_of_eight_claimers_one_wins() -> None:
    pipeline = standing(RUN_REQUESTED)
    workers = [WorkerFactory().pk for _ in range(8)]

    claims = at_once(*[lambda w=w: lifecycle.claim(worker=w, lease=30) for w in workers])

    (held,) = [claim for claim in claims if claim is not None]
    run = PipelineRun.objects.get(pipeline=pipeline)
    assert held.run == run
    assert run.worker_id in workers
    assert events(pipeline) == ["claim"]


def test_eight_claimers_share_eight_pipelines() -> None:
    pipelines = [standing(RUN_REQUESTED) for _ in range(8)]
    workers = [WorkerFactory().pk for _ in range(8)]

    def claim_until_none(worker: Any) -> list[Pipeline]:
        taken = []
        while held := lifecycle.claim(worker=worker, lease=30):
            taken.append(held.pipeline)
        return taken

    claimed = at_once(*[lambda w=w: claim_until_none(w) for w in workers])

    assert sorted(str(pipeline.pk) for taken in claimed for pipeline in taken) == sorted(
        str(pipeline.pk) for pipeline in pipelines
    )


def test_run_clicked_twice_at_once_is_one_request() -> None:
    pipeline = standing(IDLE)

    answers = at_once(
        *[lambda: lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)] * 2
    )

    assert answers == [RUN_REQUESTED, RUN_REQUESTED]
    assert sorted(events(pipeline)) == ["run", "run again"]


def outcomes(*deeds: Callable[[Pipeline], Any]) -> Sequence[tuple[str, str, list[bool]]]:
    """Many rounds of rivals on a running pipeline: its status, its run's, and who was refused."""
    found = []
    for _ in range(ROUNDS):
        pipeline = standing(RUNNING)
        held = holding(pipeline)
        answers = at_once(*[lambda deed=deed, held=held: deed(held) for deed in deeds])
        refused = [isinstance(answer, Exception) for answer in answers]
        found.append((status(pipeline), pipeline.runs.get().status, refused))
    return found


def pause(held: Any) -> Any:
    return lifecycle.request_pause(held.pipeline.pk, by=None)


def cancel(held: Any) -> Any:
    return lifecycle.request_cancel(held.pipeline.pk, by=None)


def finish(held: Any) -> Any:
    return lifecycle.finish(held, Result())


def retry(held: Any) -> Any:
    failure = Failure(sentence="It broke.", error_class="Broken")
    return lifecycle.retry_or_pause(held, Result(), failure, seconds=1)


def test_a_pause_against_the_finish_never_leaves_a_pause_that_nobody_ends() -> None:
    for end, run_end, (_, finish_refused) in outcomes(pause, finish):
        assert (end, run_end) == (IDLE, RunStatus.SUCCESS)
        assert not finish_refused


def test_a_cancel_against_a_retry_is_kept_or_takes_the_retry_back() -> None:
    for end, run_end, refused in outcomes(cancel, retry):
        assert end == IDLE
        assert run_end in (RunStatus.CANCELLED, RunStatus.FAILED)
        assert refused == [False, False]


def test_a_pause_against_a_retry_always_ends_in_a_pause() -> None:
    for end, run_end, _refused in outcomes(pause, retry):
        # Asked after the retry was written: a pause that the next worker makes.
        assert end in (PAUSED, "PAUSE_REQUESTED")
        assert run_end == RunStatus.FAILED


def test_of_two_ends_of_one_claim_one_is_refused() -> None:
    for end, _run_end, refused in outcomes(finish, retry):
        assert end in (IDLE, RUN_REQUESTED)
        assert sorted(refused) == [False, True]


def test_a_deletion_against_a_claim_never_takes_the_pipeline_from_its_worker() -> None:
    for _ in range(ROUNDS):
        pipeline, worker = standing(RUN_REQUESTED), WorkerFactory().pk

        _, held = at_once(
            lambda pipeline=pipeline: lifecycle.delete(pipeline.pk),
            lambda worker=worker: lifecycle.claim(worker=worker, lease=30),
        )

        assert Pipeline.objects.filter(pk=pipeline.pk).exists() == (held is not None)
