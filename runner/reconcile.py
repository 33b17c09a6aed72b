"""Comparing a pipeline's source and target on request: held like a run, kept, cancellable.

How two tables are compared is in `comparing`; moving rows is elsewhere.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection as metadata

from pipelines import lifecycle
from pipelines.busy import Busy, alone
from pipelines.choices import ReconciliationLevel
from pipelines.definition import position_hash
from pipelines.lifecycle import Superseded
from pipelines.models import Installation, Reconciliation
from pipelines.names import BadName
from pipelines.secrets import Unreadable
from runner.addresses import definition_from, definition_of
from runner.comparing.compare import compare
from runner.comparing.values import Done, Level, Report, Request
from runner.control import Interruption
from runner.errors import RunError, classify, side_of
from runner.plan import Identity
from runner.preflight.values import NO_TEXT, Rejected

log = logging.getLogger(__name__)

#: Who compares renews it each second; another takes over what was not renewed for so long.
LEASE_SECONDS = 20.0
_BUSY_SECONDS = 5.0
_BEAT_SECONDS = 1.0
_BUG = "The comparison met an error of its own, which the log describes. Please report it."


class ReconcileFailed(Exception):
    """No answer: `code` is reconcile_timeout, source_unavailable, target_unavailable,
    secret_unreadable or query_failed, `sentence` is for a person."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class CancelSeen(Interruption):
    """Somebody wants the comparison stopped."""


class StopSeen(Interruption):
    """The process that compares is asked to end, or lost its hold."""


def ask(
    pipeline: Any, *, level: Level, sample: int, tolerances: Mapping[str, float], by: Any
) -> Reconciliation:
    """Compare now where that takes a moment, else leave it to a worker; kept either way.

    Raises ReconcileFailed, Rejected and Busy of a comparison that was made now.
    """
    values: dict[str, Any] = {"level": level, "sample": sample, "tolerances": tolerances, "by": by}
    if not is_short(pipeline, level):
        return lifecycle.ask(pipeline, **values)
    with alone(pipeline.source_connection, pipeline.target_connection):
        held = lifecycle.ask(pipeline, **values, lease=LEASE_SECONDS)
        return _made(held, threading.Event(), seconds=settings.RECONCILE_SECONDS, raises=True)


def is_short(pipeline: Any, level: Level) -> bool:
    """Whether people can wait for the answer: counts always, else by what is known of the tables,
    and of how long it took last."""
    if level is Level.COUNT:
        return True
    closer = pipeline.reconciliations.exclude(level=ReconciliationLevel.COUNT)
    before = closer.exclude(finished_at=None).order_by("-requested_at").first()
    if before is not None and (
        before.error_code == "reconcile_timeout"
        or (before.seconds or 0) > settings.RECONCILE_SECONDS / 2
    ):
        return False
    last = pipeline.reconciliations.exclude(source_count=None).order_by("-requested_at").first()
    rows = max((last.source_count, last.target_count)) if last else None
    if rows is None:
        run = pipeline.runs.order_by("-generation").first()
        state = getattr(pipeline, "state", None)
        rows = max(run.rows_read if run else 0, state.rows if state else 0)
    return bool(rows <= settings.RECONCILE_ROWS_AT_ONCE)


def work(worker: UUID, stop: threading.Event, *, waited: float = 0) -> Literal[True] | None:
    """Make one comparison that has waited for so many seconds. None: there was none."""
    held = lifecycle.claim_reconciliation(worker=worker, lease=LEASE_SECONDS, waited=waited)
    if held is None:
        return None
    pipeline = held.pipeline
    try:
        with alone(pipeline.source_connection, pipeline.target_connection):
            done = _made(held, stop, seconds=settings.RECONCILE_WORKER_SECONDS, raises=False)
    except Busy:
        lifecycle.hand_back_reconciliation(held, seconds=_BUSY_SECONDS)
        return True
    except Reconciliation.DoesNotExist:
        log.info("Comparison %s was deleted while it was made.", held.pk)
        return True
    log.info("Comparison %s of “%s”: %s.", done.pk, pipeline.name, done.status)
    return True


def _made(
    held: Reconciliation, stop: threading.Event, *, seconds: float, raises: bool
) -> Reconciliation:
    """Compare, and keep the answer or why there is none.

    Raises Reconciliation.DoesNotExist when it was deleted meanwhile.
    """
    failure: ReconcileFailed | Rejected | None = None
    with suppress(Superseded), _Hold(held, stop) as hold:
        try:
            report = guarded(_request(held, seconds), hold.tick, hold.watch)
            lifecycle.answer_reconciliation(held, equal=report.equal, values=_columns(report))
        except ReconcileFailed as error:
            failure = error
            lifecycle.fail_reconciliation(held, sentence=error.sentence, code=error.code)
        except Rejected as error:
            failure = error
            lifecycle.fail_reconciliation(held, sentence=str(error), code=error.code)
        except CancelSeen:
            lifecycle.cancelled_reconciliation(held)
        except StopSeen:
            lifecycle.hand_back_reconciliation(held)
        except DatabaseError:
            raise
        except Exception:
            log.exception("The comparison %s met an error of its own.", held.pk)
            lifecycle.fail_reconciliation(held, sentence=_BUG, code="internal")
    if failure is not None and raises:
        raise failure
    return Reconciliation.objects.get(pk=held.pk)


def guarded(
    request: Callable[[], Request], tick: Callable[[], None], watch: Callable[[Done], None]
) -> Report:
    """Compare; what speaks against it becomes ReconcileFailed, or Rejected of the question."""
    try:
        asked = request()
        return compare(asked, tick=tick, progress=watch)
    except psycopg.errors.QueryCanceled as error:
        side = side_of(error)
        raise ReconcileFailed(
            "reconcile_timeout",
            f"Comparing took longer than {asked.seconds:g} seconds and was stopped (the "
            f"{side} was still at work). Ask again when the server has less to do, or "
            "raise the limit.",
        ) from None
    except Rejected as error:
        if set(error.errors) <= _ASKED:
            raise
        code = error.code if error.code.endswith("unavailable") else "query_failed"
        raise ReconcileFailed(code, str(error)) from None
    except UnicodeDecodeError:
        raise ReconcileFailed("query_failed", NO_TEXT) from None
    except RunError as error:
        raise ReconcileFailed(f"{side_of(error)}_unavailable", error.sentence) from None
    except Unreadable as error:
        raise ReconcileFailed("secret_unreadable", str(error)) from None
    except BadName as error:
        raise ReconcileFailed("query_failed", str(error)) from None
    except psycopg.Error as error:
        side = side_of(error)
        known = classify(error, side)
        code = "query_failed" if known.sqlstate[:2] in _ABOUT_THE_QUERY else f"{side}_unavailable"
        raise ReconcileFailed(code, known.sentence) from None


def _request(held: Reconciliation, seconds: float) -> Callable[[], Request]:
    pipeline = held.pipeline

    def made() -> Request:
        definition = definition_from(
            held.definition,
            source=pipeline.source_connection,
            target=pipeline.target_connection,
        )
        return Request(
            definition=definition,
            identity=Identity(
                pipeline=pipeline.pk,
                installation=Installation.identity(),
                generation=0,
                epoch=pipeline.checkpoint_epoch,
                definition_hash=position_hash(held.definition),
                state_schema=settings.STATE_SCHEMA,
            ),
            level=Level(held.level),
            sample=held.sample_size,
            tolerances=held.tolerances,
            deleted=definition.mark,
            seconds=seconds,
        )

    return made


def _columns(report: Report) -> dict[str, Any]:
    return {
        "source_count": report.source_count,
        "target_count": report.target_count,
        "missing": report.missing,
        "extra": report.extra,
        "different": report.different,
        "waiting": report.waiting,
        "key": list(report.key),
        "ranges": [asdict(part) for part in report.ranges],
        "rows": [asdict(row) for row in report.sample],
        "notes": list(report.notes),
    }


class _Hold:
    """Keeps the lease of a comparison while it is made, in a thread of its own."""

    def __init__(self, held: Reconciliation, stop: threading.Event) -> None:
        self._held = held
        self._stop = stop
        self._done = Done(phase="")
        self._cancel = self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="comparison", daemon=True)

    def __enter__(self) -> "_Hold":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join(2 * _BEAT_SECONDS)

    def tick(self) -> None:
        """Raises what must end the comparison now."""
        if self._cancel:
            raise CancelSeen
        if self._lost or self._stop.is_set():
            raise StopSeen

    def watch(self, done: Done) -> None:
        """How far it is, told with the next beat."""
        self._done = done

    def _beat(self) -> None:
        try:
            while not self._ended.wait(_BEAT_SECONDS):
                self._renew()
        finally:
            metadata.close()

    def _renew(self) -> None:
        done = self._done
        try:
            self._cancel = lifecycle.renew_reconciliation(
                self._held, lease=LEASE_SECONDS, phase=done.phase, done=done.rows, of=done.of
            )
        except Superseded:
            self._lost = True
        except DatabaseError:
            metadata.close()


#: What the question itself may have wrong, beside the definition.
_ASKED = {"tolerances"}
_ABOUT_THE_QUERY = {"42", "22", "21", "0A", "54"}
__all__ = ["Level", "ReconcileFailed", "ask", "definition_of", "is_short", "work"]
