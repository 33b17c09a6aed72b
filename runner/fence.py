"""Our row in the target's `checkpoint` table: the fence, positions, and staging names."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from pipelines.names import TableName
from runner.connections import Session
from runner.control import Fenced, Interruption
from runner.errors import RunError, UnknownOutcome, is_lost_connection
from runner.plan import Checkpoint, Identity, Position
from runner.statements import checkpoint, load

#: How long a batch that is committing may take until its backend, if a lost worker's, is ended.
LOCK_SECONDS = 5
DROP_LOCK_SECONDS = 2


#: Of loads, given as pipeline and generation, those whose claim has ended.
IsOver = Callable[[list[tuple[UUID, int]]], list[tuple[UUID, int]]]


def _never(_loads: list[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    return []


class TargetAhead(Exception):
    """The target knows a higher generation than the claim's: metadata from an older backup."""

    def __init__(self, generation: int) -> None:
        super().__init__(generation)
        self.generation = generation


class Fence:
    """What only the newest generation may do, over one session with the target."""

    def __init__(self, session: Session, identity: Identity) -> None:
        self.session = session
        self.identity = identity
        self._state = identity.state_schema
        self.seq = 0
        self.rows = 0
        self._predecessor: list[object] = [None, None]

    def prepare(self) -> None:
        """Make our tables where they are missing. Raises RunError with the GRANT to ask for."""
        info = self.session.info
        with self._naming(checkpoint.grants_to_use(self._state, info.user)):
            found = self.session.execute(checkpoint.exists(self._state)).fetchone()
        if found and found[0]:
            return
        with (
            self._naming(checkpoint.grants(self._state, info.user, info.dbname)),
            self.session.transaction(),
        ):
            self.session.execute(checkpoint.lock_setup(self._state))
            ensure_schema(self.session, self._state)
            for statement in checkpoint.setup(self._state):
                self.session.execute(statement)

    @contextmanager
    def _naming(self, grants: str) -> Iterator[None]:
        """A missing right becomes a RunError that says what to ask for."""
        try:
            yield
        except psycopg.errors.InsufficientPrivilege as error:
            raise RunError(
                f"The target's role may not make or use the tables in the schema “{self._state}”, "
                f"where positions are kept. Ask for: {grants}",
                error_class=type(error).__name__,
                sqlstate="42501",
            ) from None

    def take(self) -> Checkpoint:
        """Make every older generation unable to commit, then read where the last one stood.

        Raises TargetAhead, and RunError when the row belongs to another installation.
        """
        with self._naming(checkpoint.grants_to_use(self._state, self.session.info.user)):
            try:
                with self.session.transaction():
                    found = self._take()
            except psycopg.errors.LockNotAvailable:
                self._end_holder()
                with self.session.transaction():
                    found = self._take()
        self._end_predecessor()
        self.seq, self.rows = found.seq, found.rows
        return found

    def _take(self) -> Checkpoint:
        me = self.identity
        self.session.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
        self.session.execute(
            checkpoint.first(self._state),
            [me.pipeline, me.installation, me.epoch, me.definition_hash],
        )
        row = self.session.execute(checkpoint.locked(self._state), [me.pipeline]).fetchone()
        if row is None:
            raise Fenced
        installation, generation, epoch, definition_hash, *rest = row
        if installation != me.installation:
            raise RunError(
                "Another installation writes this pipeline's table (a copy of this one?). "
                "Point one of the two at another target.",
                error_class="ForeignCheckpoint",
            )
        if generation >= me.generation:
            raise TargetAhead(generation)
        clear = epoch != me.epoch or definition_hash != me.definition_hash
        self.session.execute(
            checkpoint.fence(self._state, clear=clear),
            [me.generation, me.epoch, me.definition_hash, me.pipeline, me.generation],
        )
        return self._read(rest, clear=clear)

    def _read(self, row: Sequence[object], *, clear: bool) -> Checkpoint:
        seq, rows, phase, cursor, cursor_type, key, basis, staging, *self._predecessor = row
        # The types below are those of our own table's columns, which psycopg cannot tell.
        had_position = cursor is not None
        position = None
        if had_position and not clear:
            position = Position(
                cursor=str(cursor),
                cursor_type=str(cursor_type),
                key=tuple(key),  # type: ignore[arg-type]
                basis=str(basis or ""),
            )
        return Checkpoint(
            seq=0 if clear else seq,  # type: ignore[arg-type]
            rows=0 if clear else rows,  # type: ignore[arg-type]
            phase="new" if clear else str(phase),
            position=position,
            staging=None if staging is None else str(staging),
            cleared=clear and had_position,
        )

    def _end_holder(self) -> None:
        """A frozen worker holds the row: end the backend that it recorded at its own fence."""
        row = self.session.execute(
            sql.SQL("SELECT backend_pid, backend_start FROM {} WHERE pipeline_uid = %s").format(
                sql.Identifier(self._state, "checkpoint")
            ),
            [self.identity.pipeline],
        ).fetchone()
        if row and row[0]:
            self.session.execute(checkpoint.terminate(), row)

    def _end_predecessor(self) -> None:
        """Whoever wrote before us can commit nothing any more; but frozen, it would keep the locks
        of its open batch or publish until a time-out."""
        if self._predecessor[0] is not None:
            self.session.execute(checkpoint.terminate(), self._predecessor)

    def advance(self, rows: int, phase: str, position: Position | None) -> None:
        """Last in the batch, so that a takeover need not wait for all of it. Raises Fenced."""
        me = self.identity
        key = list(position.key) if position else None
        done = self.session.execute(
            checkpoint.advance(self._state),
            [
                rows,
                phase,
                position.cursor if position else None,
                position.cursor_type if position else None,
                key,
                position.basis if position else None,
                me.pipeline,
                me.generation,
                self.seq,
            ],
        )
        if done.rowcount != 1:
            self.rollback()
            raise Fenced

    def counted(self, rows: int) -> None:
        """A batch of `rows` rows is committed."""
        self.seq += 1
        self.rows += rows

    def rollback(self) -> None:
        """Leave the open transaction, if there is one."""
        if self.session.info.transaction_status != TransactionStatus.IDLE:
            self.session.rollback()

    def mark(self, phase: str) -> None:
        """Write the phase under the fence, in a transaction of its own. Raises Fenced."""
        me = self.identity
        done = self.session.execute(
            checkpoint.phase(self._state), [phase, me.pipeline, me.generation]
        )
        if done.rowcount != 1:
            raise Fenced

    # Staging

    def stage(self, name: str | None, phase: str) -> None:
        """Name the staging table (or None) under the fence; counters start from zero."""
        me = self.identity
        done = self.session.execute(
            checkpoint.stage(self._state), [name, phase, me.pipeline, me.generation]
        )
        if done.rowcount != 1:
            self.rollback()
            raise Fenced
        self.seq = self.rows = 0

    def discard(self) -> None:
        """The load failed: drop its staging table, or leave it to a later claim. Raises nothing."""
        if self.session.closed:
            return
        with suppress(psycopg.Error, Interruption):
            self._end_copy()
            self.rollback()
            self.session.execute(
                checkpoint.unstage(self._state), [self.identity.pipeline, self.identity.generation]
            )
            self._drop(self.staging_name())

    def _end_copy(self) -> None:
        """A source that failed in the middle of a batch leaves the target waiting for rows."""
        if self.session.info.transaction_status == TransactionStatus.ACTIVE:
            with suppress(psycopg.errors.QueryCanceled):
                self.session.end_copy(b"the load failed")

    def staging_name(self) -> TableName:
        """One per generation, so that a worker taken for dead cannot touch ours."""
        me = self.identity
        name = f"{self._staging_prefix()}{me.pipeline.hex[:16]}_{me.generation}"
        return TableName(schema=self._state, name=name)

    def _staging_prefix(self) -> str:
        return f"stg_{self.identity.installation.hex[:8]}_"

    def drop_abandoned(self, is_over: IsOver = _never) -> None:
        """Drop staging tables of this installation that nobody will finish.

        No checkpoint names them any more, or `is_over` says that the load that was named ended
        without its worker being able to say so here.
        """
        named = self.session.execute(checkpoint.staged(self._state), [self.identity.installation])
        for load_of in is_over([(uid, generation) for uid, generation in named.fetchall()]):
            # Under the generation: a load that began since then is left alone.
            self.session.execute(checkpoint.unstage(self._state), load_of)
        statement = checkpoint.abandoned_staging(self._state)
        rows = self.session.execute(statement, [self._staging_prefix()]).fetchall()
        for (name,) in rows:
            # Its zombie still writes, or another role made it: a later claim drops it.
            with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
                self._drop(TableName(schema=self._state, name=name))

    def _drop(self, staging: TableName) -> None:
        with self.session.transaction():
            limit = [f"{DROP_LOCK_SECONDS}s"]
            self.session.execute("SELECT set_config('lock_timeout', %s, true)", limit)
            self.session.execute(load.drop_staging(staging))


def commit(session: Session) -> None:
    """COMMIT; a lost answer is UnknownOutcome, because the server may have committed."""
    try:
        session.run("COMMIT")
    except psycopg.Error as error:
        if is_lost_connection(error):
            raise UnknownOutcome from None
        raise


def with_shown(position: Position, session: Session) -> Position:
    """The position as people read it, for one that was read from the checkpoint's row."""
    shown = position.cursor
    if position.cursor_type.startswith(("timestamp", "date")):
        statement = sql.SQL("SELECT replace(to_json(%s::{}) #>> '{{}}', '+00:00', 'Z')").format(
            sql.SQL(position.cursor_type)
        )
        row = session.execute(statement, [position.cursor]).fetchone()
        shown = row[0] if row else shown
    keys = position.key or (position.cursor,)
    shown_key = keys[0] if len(keys) == 1 else json.dumps(keys, ensure_ascii=False)
    return replace(position, shown_value=shown, shown_key=shown_key)


def ensure_schema(session: Session, schema: str) -> None:
    """Make the schema where it is missing; to be called in a transaction."""
    row = session.execute(load.schema_exists(), [schema]).fetchone()
    if row is None or not row[0]:
        # IF NOT EXISTS does not keep two at once from colliding in the catalog.
        session.execute(load.lock_schema(schema))
        session.execute(load.create_schema(schema))
