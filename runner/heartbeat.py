"""The lease of a claim, renewed in a thread of its own; what the run does is in `execution`.

The thread has its own session with the metadata database, so neither a slow source nor a slow
target keeps it from renewing. It trusts the main loop only as long as that ticks.
"""

import logging
import threading
from types import TracebackType
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from pipelines.choices import Mode
from pipelines.lifecycle import Claim
from pipelines.querysets import Renewal, Wanted, renew, thin_samples, write_lines
from runner.control import Control, clock
from runner.sampling import Sampler

log = logging.getLogger(__name__)

# A wish (pause, cancel) is seen at least this often, however long the lease is.
_LONGEST_INTERVAL = 1.0
# The end of a run does not wait longer for a renewal that is under way; its guard makes it vain.
_JOIN_SECONDS = 1.0


def trust(lease: float, asked_at: float) -> float:
    """Until when (on `clock`) a lease given to a request sent at `asked_at` may be trusted.

    Counted from before the request, less a margin in which the last statement ends.
    """
    return asked_at + lease - min(lease / 10, 2.0)


class Heartbeat:
    """Renews the lease of `held` while the context lasts, and reports to `control`.

    `control.fenced` becomes true when another worker holds the pipeline. While the metadata
    database is away nothing is renewed, and `control.trusted_until` runs out by itself.
    """

    def __init__(self, control: Control, held: Claim, worker: UUID) -> None:
        self.control = control
        self.held = held
        self._worker = worker
        self._interval = min(control.lease / 3, _LONGEST_INTERVAL)
        self._session: psycopg.Connection[Any] | None = None
        self._sampler = Sampler()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(_JOIN_SECONDS)

    def _beat(self) -> None:
        try:
            while not self._ended.is_set() and not self.control.fenced:
                if self._main_loop_lives():
                    self._renew_or_reconnect()
                self._ended.wait(self._interval)
            self._tell_the_rest()
        finally:
            self._close()

    def _main_loop_lives(self) -> bool:
        """A hung run must lose its lease: alive is who ticks, not who has a thread left."""
        return clock() - self.control.last_tick <= 2 * self.control.lease

    def _renew_or_reconnect(self) -> None:
        asked_at, generation = clock(), self.control.generation
        try:
            wanted = renew(self._connected(), self._renewal(generation))
        except psycopg.Error as error:
            log.warning("The lease could not be renewed, trying again: %s", str(error).strip())
            self._close()
        else:
            self._keep_history(generation)
            # The run may have taken a higher generation meanwhile; that is renewed next.
            if generation == self.control.generation:
                self._tell(wanted, asked_at)

    def _keep_history(self, generation: int) -> None:
        """The chart's points and the log's lines, which the lease does not depend on."""
        session, pipeline = self._connected(), self.held.pipeline.pk
        lines = self.control.journal.take()
        try:
            if self._sampler.thin():
                thin_samples(session, pipeline, generation, self._sampler.step)
            if lines:
                write_lines(session, pipeline, generation, lines)
        except psycopg.Error as error:
            self.control.journal.put_back(lines)
            log.warning("The run's history could not be written: %s", str(error).strip())
            self._close()

    def _tell_the_rest(self) -> None:
        """Lines since the last renewal; whoever was superseded has a run of its own still."""
        try:
            if lines := self.control.journal.take():
                write_lines(
                    self._connected(), self.held.pipeline.pk, self.control.generation, lines
                )
        except psycopg.Error as error:
            log.warning("The end of the run's log could not be written: %s", str(error).strip())

    def _tell(self, wanted: Wanted | None, asked_at: float) -> None:
        control = self.control
        if wanted is None:
            control.fenced = True
            return
        control.trusted_until = trust(control.lease, asked_at)
        control.pause = wanted.pause
        control.cancel = wanted.cancel

    def _renewal(self, generation: int) -> Renewal:
        progress = self.control.progress
        return Renewal(
            pipeline=self.held.pipeline.pk,
            generation=generation,
            worker=self._worker,
            lease=self.control.lease,
            progressed=self._is_kept(progress.batches),
            rows_read=progress.rows_read,
            rows_written=progress.rows_written,
            batches=progress.batches,
            phase=progress.phase,
            value=progress.value,
            key=progress.key,
            seq=progress.seq,
            checkpoint_rows=progress.checkpoint_rows,
            sample=self._sampler.next(),
        )

    def _is_kept(self, batches: int) -> bool:
        """Only what a next run need not do again is progress that forgives failed attempts.

        A full load starts again, so one that kills its worker at each third batch must run out
        of attempts.
        """
        return batches > 0 and self.held.frozen["mode"] == Mode.INCREMENTAL

    def _connected(self) -> psycopg.Connection[Any]:
        if self._session is None:
            self._session = _connect(self.control.lease)
        return self._session

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None


def _connect(lease: float) -> psycopg.Connection[Any]:
    """A session whose every wait is shorter than the lease, as far as libpq can count."""
    parameters = connection.get_connection_params()
    seconds = max(2, int(lease / 3))  # libpq's least
    session: psycopg.Connection[Any] = psycopg.connect(
        **{
            **parameters,
            "autocommit": True,
            "application_name": "etl_admin:heartbeat",
            "connect_timeout": seconds,
            "keepalives": 1,
            "keepalives_idle": seconds,
            "keepalives_interval": seconds,
            "keepalives_count": 2,
            "tcp_user_timeout": seconds * 1000,
        }
    )
    try:
        limit = f"{max(500, int(lease * 500))}ms"
        session.execute(
            "SELECT set_config('statement_timeout', %s, false),"
            " set_config('lock_timeout', %s, false)",
            [limit, limit],
        )
    except psycopg.Error:
        session.close()
        raise
    return session
