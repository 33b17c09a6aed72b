"""How the rows of one run move, full or incremental; who runs it and how it ends is elsewhere."""

from dataclasses import dataclass, field, replace

import psycopg

from pipelines.names import TableName
from runner.connections import Session
from runner.contained import ask
from runner.control import Control, clock
from runner.deleting import Deleting
from runner.errors import RunError
from runner.fence import Fence, ensure_schema, with_shown
from runner.guards import check_same_order
from runner.plan import TIMESTAMPTZ, Checkpoint, Column, Definition, Deletes, Nulls, Position
from runner.preflight.examine import Examined
from runner.preflight.promise import bounds_for
from runner.publish import publish_staged
from runner.source import RowStream, streaming
from runner.staging import Staged, create_staging
from runner.statements import load
from runner.statements import source as queries
from runner.target import PostgresTarget, Upsert, Written
from runner.watchdog import limited

#: Looking for rows that wait is worth no more than this, in seconds and in rows.
_LOOK_SECONDS = 2.0
_MOST_WAITING = 10_000
#: A long run says so often where it is.
_SAYING_SECONDS = 10.0


@dataclass(kw_only=True)
class Moving:
    """One run between its preflight and its last row."""

    definition: Definition
    examined: Examined
    source: Session
    target: Session
    fence: Fence
    control: Control
    notes: list[str] = field(default_factory=list)
    _said_at: float = float("-inf")

    @property
    def columns(self) -> tuple[Column, ...]:
        """The query's columns."""
        return self.examined.findings.columns

    def full(self) -> None:
        """Stage the whole result, then publish it. Raises what its steps raise."""
        try:
            self._full()
        except (RunError, psycopg.Error):
            self.fence.discard()
            raise

    def _full(self) -> None:
        staged = self._stage()
        statement = queries.copy_all(self.examined.query, self.columns, binary=self.examined.binary)
        self.control.progress.phase = "load"
        with streaming(self.source, statement, binary=self.examined.binary) as stream:
            self._move(stream, staged.staging)
        self.control.progress.phase = "publish"
        staged = replace(staged, rows=self.fence.rows)
        journal = self.control.journal
        journal.say(f"Staged {staged.rows:,} rows; publishing them.")
        with self.control.uninterrupted():
            written = publish_staged(self.target, self.fence, staged)
        journal.say(f"Published: {written:,} rows of the table were written.")
        self.control.progress.rows_written = written

    def incremental(self, found: Checkpoint) -> None:
        """Everything after the position, in order, batch by batch."""
        promise = self.examined.promise
        if promise is None:
            raise ValueError("preflight makes a promise for every incremental definition")
        order = self.examined.order
        self._check_not_vanished(found)
        self._check_not_emptied(found)
        check_same_order(found.position, order[0], self.examined.basis)
        self._check_nulls(order[0])
        bounds = bounds_for(self.source, promise, order[0], found.position)
        if bounds.position is not None and not bounds.reads_again:
            self._check_keys_at(order, bounds.position)
        upsert = self._upsert(order, floor=found.position if bounds.reads_again else None)
        self.control.progress.phase = "load"
        statement = queries.copy_after(
            self.examined.query, self.columns, order, bounds=bounds, binary=self.examined.binary
        )
        with streaming(self.source, statement, binary=self.examined.binary) as stream:
            self._move(stream, load.BATCH, upsert)
        self._notice_restored_source(order[0], found.position)
        self._notice_waiting(order[0], bounds.upper)
        if self.definition.null_policy is Nulls.INCLUDE:
            self._move_placeless(order[0], upsert)
        if self.definition.delete_missing is not Deletes.OFF:
            Deleting(
                self.definition,
                source=self.source,
                target=self.target,
                fence=self.fence,
                control=self.control,
                notes=self.notes,
            ).run()
        with self.control.uninterrupted():
            self.fence.mark("done")

    def show(self, found: Checkpoint) -> str:
        """Mirror the position that this run starts from; says where that is."""
        progress = self.control.progress
        progress.seq, progress.checkpoint_rows = found.seq, found.rows
        if found.position is not None:
            position = with_shown(found.position, self.target)
            progress.value, progress.key = position.shown_value, position.shown_key
        value = progress.value
        return "Reading from the beginning." if value is None else f"Reading after {value}."

    # Full

    def _stage(self) -> Staged:
        staged = Staged(
            definition=self.definition,
            examined=self.examined,
            staging=self.fence.staging_name(),
            rows=0,
        )
        with self.target.transaction():
            self.fence.stage(staged.staging.name, "loading")
            create_staging(self.target, staged)
        return staged

    # Incremental

    def _upsert(self, order: tuple[Column, ...], *, floor: Position | None) -> Upsert:
        """Make what the batches go through; the target table too where it is missing."""
        key = self.examined.findings.key
        table = self.examined.table
        name = self.definition.target_table
        if table is None:
            with self.target.transaction():
                ensure_schema(self.target, name.schema)
                columns = (*self.columns, *self._marks())
                self.target.execute(load.create_table(name, columns, key))
        for statement in load.batch_table(name, self.columns, key):
            self.target.execute(statement)
        self.target.execute(load.position_table(self.columns))
        return Upsert(
            statement=load.upsert(
                name, self.columns, key, identity=bool(table and table.has_identity)
            ),
            key=order,
            floor=floor,
            basis=self.examined.basis,
        )

    def _marks(self) -> tuple[Column, ...]:
        """The column of a new table that marks deleted rows, unless the query returns it."""
        mark = self.definition.mark
        if mark is None or any(column.name == mark for column in self.columns):
            return ()
        return (Column(name=mark, oid=TIMESTAMPTZ, type_name="timestamp with time zone"),)

    def _check_not_vanished(self, found: Checkpoint) -> None:
        """A new, empty table must not be filled from the middle."""
        if self.examined.table is None and found.position is not None:
            raise RunError(
                f"The table {self.definition.target_table} is gone, and {found.rows} rows had been "
                "loaded into it. Bring it back, or reset the checkpoint to load everything again.",
                error_class="TargetVanished",
            )

    def _check_not_emptied(self, found: Checkpoint) -> None:
        """As after a table that was dropped and made anew, but without its rows."""
        if self.examined.table is None or not found.rows or self.definition.allow_empty:
            return
        row = self.target.execute(load.any_row(self.definition.target_table)).fetchone()
        if row and not row[0]:
            raise RunError(
                f"The table {self.definition.target_table} is empty, and {found.rows} rows had "
                "been loaded into it. Reset the checkpoint to load everything again, or set "
                "allow_empty if the table is emptied on purpose.",
                error_class="TargetEmptied",
            )

    def _check_nulls(self, column: Column) -> None:
        """The policy `fail`: any row without a place in the order stops the run."""
        if self.definition.null_policy is not Nulls.FAIL:
            return
        row = ask(self.source, queries.any_placeless(self.examined.query, column))
        if row.get_value(0, 0) != b"t":
            return
        counted = ask(self.source, queries.count_placeless(self.examined.query, column))
        number = int(counted.get_value(0, 0) or b"0")
        raise RunError(
            f"In {number} rows the incremental key “{column.name}” is NULL or infinite, so they "
            "have no place in the order. Fill it, or set the NULL policy to include or exclude.",
            error_class="NullKey",
        )

    def _check_keys_at(self, order: tuple[Column, ...], position: Position) -> None:
        """A NULL in the key, beside rows that are read already, has no place after them."""
        if len(order) == 1:
            return
        found = ask(self.source, queries.count_keyless(self.examined.query, order, position))
        if number := int(found.get_value(0, 0) or b"0"):
            names = ", ".join(f"“{column.name}”" for column in order[1:])
            raise RunError(
                f"In {number} rows a key column ({names}) is NULL, so they cannot be told apart "
                f"and have no place in the order. Fill it, and give those rows a new "
                f"“{order[0].name}”.",
                error_class="NullKey",
            )

    def _notice_restored_source(self, column: Column, position: Position | None) -> None:
        """Nothing new, and nothing as new as what was read: the source may be an older copy."""
        if position is None or self.control.progress.rows_read:
            return
        row = ask(self.source, queries.any_from(self.examined.query, column, position.cursor))
        if row.get_value(0, 0) != b"t":
            self.notes.append(
                f"No row of the source is as new as the checkpoint ({position.cursor}). If the "
                "source was restored from a backup, reset the checkpoint to load it again."
            )

    def _notice_waiting(self, column: Column, upper: str | None) -> None:
        """Rows that are too new to be read safely, or whose time lies in the future."""
        if upper is None:
            return
        statement = queries.count_from(self.examined.query, column, upper, most=_MOST_WAITING)
        try:
            with limited(self.source, _LOOK_SECONDS):
                number = int(ask(self.source, statement).get_value(0, 0) or b"0")
        except psycopg.errors.QueryCanceled:
            return  # without an index it would take long, and people can do without it
        if number:
            many = f"{number:,} or more" if number == _MOST_WAITING else f"{number:,}"
            self.notes.append(
                f"Rows that wait for a later run: {many} (“{column.name}” is {upper} or later)."
            )

    def _move_placeless(self, column: Column, upsert: Upsert) -> None:
        """The policy `include`: such rows arrive again in every run, the position stays."""
        statement = queries.copy_unordered(
            self.examined.query, self.columns, column, binary=self.examined.binary
        )
        with streaming(self.source, statement, binary=self.examined.binary) as stream:
            self._move(stream, load.BATCH, upsert, advance=False)

    # Both

    def _move(
        self,
        stream: RowStream,
        into: TableName,
        upsert: Upsert | None = None,
        *,
        advance: bool = True,
    ) -> None:
        """Batch by batch to the end of the stream; between two, a pause or a stop is obeyed."""
        writer = PostgresTarget(self.target, self.fence)
        self.target.meanwhile = stream.read_ahead
        while stream.wait_first():
            # Asked after the wait, so that finishing wins over pausing.
            self.control.tick()
            with self.control.uninterrupted():
                written = writer.write_batch(
                    stream.pieces(self.definition.batch_size),
                    into,
                    self.columns,
                    binary=self.examined.binary,
                    upsert=upsert,
                    advance=advance,
                )
            if written is not None:
                self._count(written, counts=upsert is not None)

    def _count(self, written: Written, *, counts: bool) -> None:
        progress = self.control.progress
        now = clock()
        if now - self._said_at >= _SAYING_SECONDS:
            self._said_at = now
            self.control.journal.say(
                f"Batch {progress.batches + 1:,}: {written.received:,} rows received."
            )
        progress.rows_read += written.received
        progress.rows_written += written.changed if counts else 0
        progress.batches += 1
        progress.seq, progress.checkpoint_rows = self.fence.seq, self.fence.rows
        if written.position is not None:
            progress.value = written.position.shown_value
            progress.key = written.position.shown_key
