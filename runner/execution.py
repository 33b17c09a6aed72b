"""One run, from claim to settled: the page to read first. How rows move is in `moving`."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection as metadata

from pipelines import lifecycle
from pipelines.definition import position_hash
from pipelines.lifecycle import Claim, Failure, Result, Superseded
from pipelines.models import Installation
from pipelines.names import BadName
from pipelines.secrets import Unreadable
from pipelines.states import RUNNING
from runner.addresses import definition_from
from runner.connections import Session, reading, writing
from runner.control import CancelSeen, Control, Fenced, PauseSeen, StopSeen, clock
from runner.errors import UNKNOWN_OUTCOME, RunError, UnknownOutcome, classify, side_of
from runner.fence import Fence, TargetAhead
from runner.moving import Moving
from runner.plan import Checkpoint, Definition, Identity, Mode
from runner.preflight.examine import examine
from runner.preflight.values import Rejected
from runner.repairing import repair

logger = logging.getLogger(__name__)

#: A pipeline that loses this many workers in a row without a batch is not given another.
MOST_TAKEOVERS = 5


def execute(held: Claim, control: Control) -> bool:
    """Run one claim to its end and settle it; True unless the run failed.

    Raises nothing that a pipeline, a server or a person can cause.
    """
    if held.is_unclaimed_pause:
        lifecycle.pause_unclaimed(held)
        return True
    return Execution(held, control).run()


class Execution:
    """One claim on its way to being settled."""

    def __init__(self, held: Claim, control: Control) -> None:
        self.held = held
        self.control = control
        self.control.generation = held.generation
        self.control.rescuing = held.is_rescue
        self.settled = False
        self.resumed = False
        self.publish = ""
        self.promise = ""
        self.notes: list[str] = []

    def run(self) -> bool:
        """Every way a run can end, each settled by one verb of the lifecycle."""
        try:
            self._work()
            if not self.settled:
                self._settle(lambda: lifecycle.finish(self.held, self._result()))
        except (Fenced, Superseded):
            logger.warning("%s: superseded, another worker holds it", self._label())
        except CancelSeen:
            self._interrupted(lifecycle.cancelled)
        except PauseSeen:
            self._interrupted(lifecycle.paused)
        except StopSeen:
            self._interrupted(lifecycle.hand_back)
        except RunError as error:
            return self._failed(error)
        except Rejected as error:
            return self._failed(_rejection(error))
        except UnknownOutcome:
            return self._failed(UNKNOWN_OUTCOME)
        except (Unreadable, BadName) as error:
            return self._failed(RunError(str(error), error_class=type(error).__name__))
        except psycopg.Error as error:
            # Its text may hold a row's values.
            logger.debug("%s", self._label(), exc_info=True)
            return self._failed(classify(error, side_of(error)))
        return True

    def _work(self) -> None:
        """Fence, preflight, move, publish."""
        definition = self._definition()
        tick, patience = self.control.tick, self.control.lease
        with writing(definition.target, tick=tick, patience=patience) as target:
            self._say(f"Connected to the target “{definition.target.name}” ({target.version}).")
            fence, found = self._fence(target)
            self._say(f"The target takes batches of generation {self.held.generation} only.")
            self.control.rescuing = False
            self._rescue()
            if self.settled:
                return
            fence.drop_abandoned(lifecycle.ended)
            self.control.progress.phase = "preflight"
            with reading(definition.source, tick=tick, patience=patience) as source:
                self._say(f"Connected to the source “{definition.source.name}” ({source.version}).")
                moving = Moving(
                    definition=definition,
                    examined=examine(definition, source, target),
                    source=source,
                    target=target,
                    fence=fence,
                    control=self.control,
                    notes=self.notes,
                )
                self._start(moving, found)

    def _start(self, moving: Moving, found: Checkpoint) -> None:
        findings = moving.examined.findings
        self.promise = findings.promise
        if found.cleared:
            self.notes.append(_CLEARED)
        form = "binary" if moving.examined.binary else "text"
        self._say(f"Checked: {len(findings.columns)} columns, which pass as {form}.")
        full = moving.definition.mode is Mode.FULL
        limit = lifecycle.left_to_repair(self.held)
        begins = "" if full else moving.show(found)
        if limit is not None:
            self._say("A repair: rows that do not differ stay as they are.")
        elif full:
            self.publish = str(findings.method)
            self._say(f"The load will be published by {self.publish}.")
        else:
            self.resumed = found.phase == "loading" and found.position is not None
            self._say(begins)
            self._say(self.promise)
        lifecycle.started(self.held, self._result(), cleared=found.cleared)
        # From here on no batch is open unless `moving` says so: a wish is obeyed at once.
        self.control.interruptible = True
        if limit is not None:
            repair(
                moving,
                identity=self._identity(),
                limit=limit,
                tolerances=lifecycle.tolerances_of(self.held),
                seconds=settings.RECONCILE_WORKER_SECONDS,
            )
        elif full:
            moving.full()
        else:
            moving.incremental(found)

    # The fence, and what a lost worker left

    def _fence(self, target: Session) -> tuple[Fence, Checkpoint]:
        """Raise the generation in the target, then read where the load stands."""
        self.control.progress.phase = "fence"
        fence = Fence(target, self._identity())
        fence.prepare()
        try:
            return fence, fence.take()
        except TargetAhead as ahead:
            # Metadata from a backup: only who still holds the claim may go past the target.
            logger.warning("%s: the target is at %s", self._label(), ahead.generation)
            self.held = lifecycle.adopt_generation(self.held, ahead.generation + 1)
            self.control.generation = self.held.generation
            fence = Fence(target, self._identity())
            return fence, fence.take()

    def _rescue(self) -> None:
        """Nobody of an older generation can write any more: settle what the lost worker left."""
        held = self.held
        if not held.is_rescue:
            return
        if held.pipeline.cancel_requested_at is not None:
            self._settle(lambda: lifecycle.rescue_cancelled(held))
            self.settled = True
        elif held.was != RUNNING:
            self._settle(lambda: lifecycle.rescue_paused(held))
            self.settled = True
        else:
            self.held = replace(held, run=lifecycle.replace_lost_run(held))
            if held.pipeline.attempt > MOST_TAKEOVERS:
                raise RunError(
                    f"{held.pipeline.attempt - 1} workers in a row were lost while they ran this "
                    "and none finished a batch. Look for what ends them (memory?) in their logs.",
                    error_class="WorkerLost",
                )

    def _identity(self) -> Identity:
        return Identity(
            pipeline=self.held.pipeline.pk,
            installation=Installation.identity(),
            generation=self.held.generation,
            epoch=self.held.pipeline.checkpoint_epoch,
            definition_hash=position_hash(self.held.frozen),
            state_schema=settings.STATE_SCHEMA,
        )

    def _definition(self) -> Definition:
        pipeline = self.held.pipeline
        definition = definition_from(
            self.held.frozen,
            source=pipeline.source_connection,
            target=pipeline.target_connection,
        )
        before = pipeline.runs.filter(generation__lt=self.held.generation)
        if before.order_by("-generation").values_list("sqlstate", flat=True).first() == _TOO_LONG:
            return replace(definition, batch_size=max(1, definition.batch_size // 2))
        return definition

    # Settling

    def _interrupted(self, verb: Callable[[Claim, Result], None]) -> None:
        """A wish ended the run; before the fence of a rescue only its next claimer may obey it."""
        if self.held.run is None:
            self._settle(lambda: lifecycle.postpone_rescue(self.held, seconds=0))
        else:
            self._settle(lambda: verb(self.held, self._result()))

    def _failed(self, error: RunError) -> bool:
        """Try again later where that can help, else FAILED; False unless people wanted an end."""
        if self.held.run is None and not self._open_run_of_rescue(error):
            return False
        # A full load starts again, so its batches are no progress that forgives a failure.
        progressed = self.control.progress.batches > 0 and self.held.frozen["mode"] != Mode.FULL
        delay = error.delay(1 if progressed else self.held.pipeline.attempt)
        logger.warning("%s: %s", self._label(), error.sentence, exc_info=error.__cause__)
        self.control.journal.say(error.sentence, level="ERROR")
        if delay is None:
            self._settle(lambda: lifecycle.fail(self.held, self._result(), _failure(error)))
            return False
        self._settle(
            lambda: lifecycle.retry_or_pause(
                self.held, self._result(), _failure(error), seconds=delay
            )
        )
        return False

    def _open_run_of_rescue(self, error: RunError) -> bool:
        """The fence of a rescue failed. A pause or cancel waits for it; a run is recorded."""
        held = self.held
        if held.was == RUNNING and held.pipeline.cancel_requested_at is None:
            self.held = replace(held, run=lifecycle.replace_lost_run(held))
            return True
        seconds = error.delay(1) or self.control.lease
        self._settle(lambda: lifecycle.postpone_rescue(held, seconds=seconds))
        return False

    def _settle(self, verb: Callable[[], None]) -> None:
        """Write the end; while metadata is away, try as long as the lease is surely ours."""
        while True:
            try:
                return verb()
            except Superseded:
                logger.warning("%s: superseded before it was settled", self._label())
                return None
            except DatabaseError:
                metadata.close()
                if clock() > self.control.trusted_until:
                    logger.exception("%s: cannot be settled, the lease decides", self._label())
                    return None
                time.sleep(0.5)

    def _result(self) -> Result:
        progress = self.control.progress
        return Result(
            rows_read=progress.rows_read,
            rows_written=progress.rows_written,
            batches=progress.batches,
            phase=progress.phase,
            publish=self.publish,
            promise=self.promise,
            resumed=self.resumed,
            value=progress.value,
            key=progress.key,
            seq=progress.seq,
            checkpoint_rows=progress.checkpoint_rows,
            notes=tuple(self.notes),
        )

    def _say(self, sentence: str) -> None:
        self.control.journal.say(sentence)

    def _label(self) -> str:
        run = self.held.run.pk if self.held.run else "none yet"
        return f"Pipeline {self.held.pipeline.name}, run {run}"


def _rejection(error: Rejected) -> RunError:
    return RunError(" ".join(map(" ".join, error.errors.values())), error_class="Preflight")


def _failure(error: RunError) -> Failure:
    return Failure(sentence=error.sentence, error_class=error.error_class, sqlstate=error.sqlstate)


#: A time limit: what took too long may pass in smaller steps.
_TOO_LONG = "57014"
_CLEARED = "The checkpoint was cleared (reset, or the definition changed): this load starts anew."
