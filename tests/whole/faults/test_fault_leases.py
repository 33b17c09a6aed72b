"""Claims and leases: who may have one, and how long a worker may believe in it (F4, F13, F19)."""

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from pipelines import lifecycle
from pipelines.choices import Mode
from pipelines.lifecycle import Claim, Failure, Result
from pipelines.models import Pipeline
from pipelines.states import RUN_REQUESTED
from runner import worker
from runner.control import Control, clock
from runner.heartbeat import Heartbeat, trust
from runner.signals import Signals
from tests import cluster
from tests.control.standing import row, standing
from tests.factories import WorkerFactory
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

#: Long enough that a renewal may wait for a moment, and is not given up.
LEASE = 8.0
_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'
    AND application_name = 'etl_admin:heartbeat'
"""


def test_a_renewal_that_took_its_time_is_trusted_from_before_it_was_asked_for() -> None:
    """The row's lock makes it wait; what it then gives may have been given at its beginning."""
    pipeline = standing(RUN_REQUESTED, mode=Mode.INCREMENTAL, incremental_key="modified")
    held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
    assert held is not None
    control = Control(generation=held.generation, lease=LEASE, trusted_until=0.0)
    metadata = settings.DATABASES["default"]["NAME"]
    with cluster.superuser(metadata) as holder, cluster.superuser() as watcher:
        holder.execute("BEGIN")
        holder.execute("SELECT FROM pipelines_pipeline WHERE id = %s FOR UPDATE", [pipeline.pk])
        with Heartbeat(control, held, held.pipeline.worker_id):
            until(
                lambda: watcher.execute(_WAITING, [metadata]).fetchone() == (1,),
                what="no renewal waits",
            )
            asked_before = clock()
            holder.execute("COMMIT")
            until(lambda: control.trusted_until, what="not renewed")
            trusted = control.trusted_until

    assert trusted <= trust(LEASE, asked_before)


def test_a_claim_is_trusted_from_before_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    standing(RUN_REQUESTED)
    real, moments, controls = lifecycle.claim, [], []

    def claim(**words: Any) -> Claim | None:
        moments.append(clock())
        return real(**words)

    def note(_held: Claim, control: Control, _worker: UUID) -> bool:
        controls.append(control)
        return True

    monkeypatch.setattr(worker.lifecycle, "claim", claim)
    monkeypatch.setattr(worker, "_run", note)
    signals = Signals()

    assert worker.step(WorkerFactory().pk, signals)

    signals.close()
    assert controls[0].trusted_until <= trust(settings.RUNNER_LEASE_SECONDS, moments[0])


def test_a_renewal_that_comes_after_the_end_of_the_run_changes_nothing() -> None:
    """A lease on what nobody holds would keep a pause from being made."""
    standing(RUN_REQUESTED)
    held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
    assert held is not None
    lifecycle.finish(held, Result())
    before = row(held.pipeline)
    control = Control(generation=held.generation, lease=LEASE, trusted_until=0.0)

    with Heartbeat(control, held, held.pipeline.worker_id):
        until(lambda: control.fenced, what="not told")

    assert row(held.pipeline) == before


def test_a_worker_that_hangs_in_its_claim_does_not_keep_others_from_theirs() -> None:
    first, second = standing(RUN_REQUESTED), standing(RUN_REQUESTED)
    metadata = settings.DATABASES["default"]["NAME"]
    with cluster.superuser(metadata) as hanging:
        hanging.execute("BEGIN")
        hanging.execute("SELECT FROM pipelines_pipeline WHERE id = %s FOR UPDATE", [first.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")

        held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
        assert held is not None
        assert held.pipeline.pk == second.pk
        assert lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE) is None


# Clocks of machines


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_a_workers_machine_has_no_effect(
    monkeypatch: pytest.MonkeyPatch, settings: Any, hours: int
) -> None:
    """It is not even read: whatever asks Python for the time of day gets it wrong here."""
    settings.RUNNER_POLL_SECONDS = 3600
    skew = timedelta(hours=hours)
    wrong = timezone.now() + skew
    monkeypatch.setattr(timezone, "now", lambda: wrong)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew.total_seconds())

    pipeline = standing(RUN_REQUESTED)
    held = lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE)
    assert held is not None
    assert lifecycle.claim(worker=WorkerFactory().pk, lease=LEASE) is None
    assert not Pipeline.objects.lost().exists()
    assert 0 < worker.rest() <= LEASE
    control = Control(generation=held.generation, lease=LEASE, trusted_until=trust(LEASE, clock()))
    given = lease_of(pipeline)
    with Heartbeat(control, held, held.pipeline.worker_id):
        until(lambda: lease_of(pipeline) > given, what="not renewed")
    control.tick()
    lifecycle.retry_or_pause(held, Result(), Failure(sentence="", error_class=""), seconds=5)
    assert 0 < worker.rest() <= 5


def lease_of(pipeline: Pipeline) -> datetime:
    """Until when its worker has it."""
    given: datetime = Pipeline.objects.values_list("lease_until", flat=True).get(pk=pipeline.pk)
    return given
