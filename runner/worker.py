"""The loop of one worker process: claim, execute, wait; how a run moves rows is in `execution`."""

import logging
import os
import random
import socket
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Case, DurationField, ExpressionWrapper, Min, When
from django.db.models.functions import Now

from pipelines import installation, lifecycle
from pipelines.lifecycle import Claim, Failure, Result, Superseded
from pipelines.models import Pipeline, Worker
from pipelines.states import BUSY, RUN_REQUESTED
from runner import reconcile
from runner.control import Control, clock
from runner.doorbell import Doorbell
from runner.execution import execute
from runner.heartbeat import Heartbeat, trust
from runner.housekeeping import Housekeeping
from runner.signals import Signals

log = logging.getLogger(__name__)

#: The metadata database is away, or its session was lost: not a bug, and it passes.
AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)

# The rows of workers that ended stay a while, so that "what ran this" can be answered.
_KEPT = timedelta(days=30)
# Something is due but another session holds its row: look again soon, but do not spin.
_SHORTEST_REST = 0.05
_FIRST_PAUSE = 0.1
#: Seconds after which a comparison is made though runs wait.
_LONG_ENOUGH = 60.0
_BUG = "The worker met an error of its own, which its log describes. Please report it."


def work(signals: Signals, *, once: bool) -> bool:
    """Run what waits until told to stop, or (`once`) until nothing is claimable now.

    False when `once` and a run failed. Only with `once` does an error of the loop end it.
    Raises installation.Moved: whoever has been restored or copied writes to nobody's targets.
    """
    worker, went_well, checked, errors = uuid4(), True, False, 0
    housekeeping = Housekeeping()
    with Doorbell(signals) as doorbell:
        while not signals.stop.is_set():
            try:
                if errors or not checked:
                    installation.check()  # what came back may be an older copy
                    checked = True
                found = step(worker, signals)
                went_well = went_well and found is not False
                if found is None and once:
                    break
                if found is None:
                    housekeeping.tidy()
                    doorbell.wait(rest())
                errors = 0
            except installation.Moved:
                raise
            except Exception as error:
                if once:
                    raise
                errors += 1
                doorbell.close()
                recover(error, signals, errors)
    return went_well or not once


def step(worker: UUID, signals: Signals) -> bool | None:
    """Claim one pipeline and run it, or make a comparison that waits.

    Runs come first, but not before a comparison that has waited long. None: nothing waited;
    False: the run failed.
    """
    lease = settings.RUNNER_LEASE_SECONDS
    sign_in(worker)
    if reconcile.work(worker, signals.stop, waited=_LONG_ENOUGH):
        return True
    asked_at = clock()
    held = lifecycle.claim(worker=worker, lease=lease)
    if held is None:
        return reconcile.work(worker, signals.stop)
    control = Control(
        generation=held.generation,
        lease=lease,
        trusted_until=trust(lease, asked_at),
        stop=signals.stop,
        leave=signals.leave,
    )
    log.info("%s starts.", _called(held))
    went_well = _run(held, control, worker)
    progress = control.progress
    log.info(
        "%s %s: rows read %s, written %s, batches %s.",
        _called(held),
        "ends" if went_well else "ends, failed",
        progress.rows_read,
        progress.rows_written,
        progress.batches,
    )
    return went_well


def sign_in(worker: UUID) -> None:
    """Register this process, or say that it lives."""
    # One UPDATE before each claim, so a row that was deleted meanwhile is never referred to.
    if not Worker.objects.filter(pk=worker).update(last_seen_at=Now()):
        Worker.objects.filter(last_seen_at__lt=Now() - _KEPT, pipelines=None).delete()
        Worker.objects.create(pk=worker, label=socket.gethostname()[:255], pid=os.getpid())


def rest() -> float:
    """How many seconds this worker may wait when nobody rings.

    A retry that comes due and a lease that runs out ring no bell.
    """
    wakes_at = Min(Case(When(status=RUN_REQUESTED, then="next_attempt_at"), default="lease_until"))
    left = ExpressionWrapper(wakes_at - Now(), output_field=DurationField())
    due: timedelta | None = Pipeline.objects.filter(status__in=BUSY).aggregate(due=left)["due"]
    poll: float = settings.RUNNER_POLL_SECONDS
    return poll if due is None else min(poll, max(due.total_seconds(), _SHORTEST_REST))


def recover(error: Exception, signals: Signals, errors: int) -> None:
    """After the loop's `errors`-th error in a row: say so, start clean, and wait a little."""
    if isinstance(error, AWAY):
        log.warning("The metadata database cannot be used: %s", str(error).strip())
    else:
        log.error("The worker goes on after an error of its own.", exc_info=error)
    connection.close()
    longest = min(settings.RUNNER_POLL_SECONDS, _FIRST_PAUSE * 2.0 ** min(errors, 20))
    signals.wait(random.uniform(longest / 2, longest))  # noqa: S311 (spreads load)


def _run(held: Claim, control: Control, worker: UUID) -> bool:
    try:
        with Heartbeat(control, held, worker):
            return execute(held, control)
    except AWAY as error:
        log.warning(
            "%s is left to its lease, the metadata database cannot be used: %s",
            _called(held),
            str(error).strip(),
        )
        connection.close()
    except Exception as error:
        log.exception("%s met an error of the worker's own.", _called(held))
        _settle(held, control, error)
    return False


def _settle(held: Claim, control: Control, error: Exception) -> None:
    """Fail the run that met a bug; what has no run yet is left to its lease."""
    if held.run is None:
        return
    progress = control.progress
    result = Result(
        rows_read=progress.rows_read,
        rows_written=progress.rows_written,
        batches=progress.batches,
        phase=progress.phase,
    )
    failure = Failure(sentence=_BUG, error_class=type(error).__name__)
    try:
        lifecycle.fail(replace(held, generation=control.generation), result, failure)
    except Superseded:
        log.warning("%s was superseded before it could be failed.", _called(held))
    except DatabaseError:
        log.exception("%s could not be failed; it is left to its lease.", _called(held))
        connection.close()


def _called(held: Claim) -> str:
    run = f"Run {held.run.pk}" if held.run else "The claim"
    return f"{run} of “{held.pipeline.name}” (generation {held.generation})"
