"""Moving only the rows that differ: compared anew under the fence, then written in batches.

What a repair may change at most was confirmed by a person; it is counted before a row is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runner.comparing.asking import Pair
from runner.comparing.compare import opened
from runner.comparing.search import (
    Segments,
    find_rows,
    in_ranges,
    keys_of,
    parts_of,
    sum_up,
)
from runner.comparing.sides import Sides
from runner.comparing.values import Done, Kind, Level, Request
from runner.connections import Session
from runner.contained import parsed_first
from runner.control import Control
from runner.deleting import (
    begin,
    check_deletes,
    check_left,
    check_mark,
    cut,
    gone_from,
    remove,
    restore_marks,
)
from runner.errors import RunError
from runner.fence import Fence, commit
from runner.moving import Moving
from runner.plan import Definition, Identity, Mode
from runner.preflight.examine import Examined
from runner.source import CopyStream
from runner.statements import load, repairing
from runner.target import PostgresTarget

#: So many rows of each side are looked at for one batch.
_ROWS_AT_ONCE = 20_000
#: While the source looks for the rows of one part, the transaction that waits for them is idle.
_SEARCHING_SECONDS = 900
Key = tuple[str | None, ...]


@dataclass(kw_only=True)
class Batch:
    """Keys of rows of one transaction: to be written as the source has them, and to be deleted."""

    write: list[Key] = field(default_factory=list)
    delete: list[Key] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.write or self.delete)


@dataclass(kw_only=True)
class Repairing:
    """One repair between its preflight and its last row; `limit` is how many rows may change."""

    definition: Definition
    examined: Examined
    target: Session
    fence: Fence
    control: Control
    request: Request
    limit: int
    notes: list[str] = field(default_factory=list)
    kept: int = 0
    placeless: int = 0

    def run(self) -> None:
        """Compare, count, then write. Raises RunError, Interruption, psycopg.Error."""
        self._check_table()
        self._phase("compare")
        if self.examined.table is not None:
            check_mark(self.definition, self.examined.table)
        with opened(self.request, self.control.tick) as (pair, sides):
            self._check_sides(sides)
            segments = sum_up(in_ranges(sides, pair), pair, self._watch)
            found = find_rows(segments, pair, sample=0, progress=self._watch)
            counts = {kind: found.total(kind) for kind in Kind}
            self._check_counts(counts)
            check_left(self.definition, counts[Kind.EXTRA], segments)
            self._say(counts)
            if sum(counts.values()):
                self._write(segments, pair)
        if self.kept:
            self.notes.append(
                f"Extra rows that stay: {self.kept:,}. "
                "The source has them, where no load reads them."
            )
        if self.placeless:
            self.notes.append(
                f"Rows that differ and stay, since their key has a NULL: {self.placeless:,}. "
                "No unique index tells them apart."
            )
        with self.control.uninterrupted():
            self.fence.mark("done")

    def _write(self, segments: Segments, pair: Pair) -> None:
        """Batch by batch; of a full load all in one transaction, which readers see whole."""
        for statement in load.batch_table(
            self.definition.target_table, self.examined.findings.columns, self._key_names
        ):
            self.target.execute(statement)
        self._phase("repair")
        if self.definition.mode is Mode.FULL:
            with self.control.uninterrupted():
                self._write_whole(segments, pair)
        else:
            self._write_parts(segments, pair)

    def _write_parts(self, segments: Segments, pair: Pair) -> None:
        for batch in self._batches(segments, pair):
            self.control.tick()
            with self.control.uninterrupted():
                self._begin()
                received, changed = self._apply(segments.sides, pair, batch)
                self._commit(received)
            self._count(received, changed)

    def _write_whole(self, segments: Segments, pair: Pair) -> None:
        begin(self.target, idle=_SEARCHING_SECONDS)
        total = written = 0
        for batch in self._batches(segments, pair):
            received, changed = self._apply(segments.sides, pair, batch)
            self.target.run(repairing.empty_batch(load.BATCH))
            total, written = total + received, written + changed
        self._commit(total)
        self._count(total, written)

    def _batches(self, segments: Segments, pair: Pair) -> Iterator[Batch]:
        for wanted in parts_of(segments, rows=_ROWS_AT_ONCE):
            batch = Batch()
            for kind, key in keys_of(segments, pair, wanted):
                if None in key:
                    self.placeless += 1
                else:
                    (batch.delete if kind is Kind.EXTRA else batch.write).append(key)
            # In an order, so that another try begins where this one did.
            batch.write.sort(key=_order)
            batch.delete.sort(key=_order)
            most = self.definition.batch_size
            # A row that goes may hold what another unique column of one that comes has.
            yield from (Batch(delete=list(keys)) for keys in cut(batch.delete, most))
            yield from (Batch(write=list(keys)) for keys in cut(batch.write, most))

    def _apply(self, sides: Sides, pair: Pair, batch: Batch) -> tuple[int, int]:
        """Rows that came from the source, and rows of the table that changed."""
        received = changed = 0
        if batch.write:
            received, changed = self._copy(sides, pair, batch.write)
        gone = gone_from(sides, pair, batch.delete)
        self.kept += len(batch.delete) - len(gone)
        changed += remove(self.target, self.definition, sides, gone)
        return received, changed

    def _copy(self, sides: Sides, pair: Pair, keys: Sequence[Key]) -> tuple[int, int]:
        found = self.examined.findings
        statement = repairing.copy_rows(
            sides.source,
            self.examined.query,
            found.columns,
            keys,
            order=self.examined.order,
            binary=self.examined.binary,
        )
        parsed_first(pair.source, statement)
        stream = CopyStream(pair.source, binary=self.examined.binary)
        writer = PostgresTarget(self.target, self.fence)
        received = writer.put_all(stream, load.BATCH, found.columns, binary=self.examined.binary)
        table = self.examined.table
        upsert = load.upsert(
            self.definition.target_table,
            found.columns,
            self._key_names,
            identity=bool(table and table.has_identity),
        )
        changed = self.target.run(upsert).command_tuples or 0
        return received, changed + restore_marks(self.target, self.definition, sides, keys)

    @property
    def _key_names(self) -> tuple[str, ...]:
        return self.examined.findings.key

    # One transaction

    def _begin(self) -> None:
        begin(self.target)

    def _commit(self, received: int) -> None:
        """The fence is last in the batch, as in a load; the position stays where it is."""
        self.fence.advance(received, "repairing", None)
        commit(self.target)
        self.fence.counted(received)

    def _count(self, received: int, changed: int) -> None:
        progress = self.control.progress
        progress.rows_read += received
        progress.rows_written += changed
        progress.batches += 1
        progress.seq, progress.checkpoint_rows = self.fence.seq, self.fence.rows

    # What refuses a repair

    def _check_table(self) -> None:
        table, key = self.examined.table, self._key_names
        name = self.definition.target_table
        if table is None:
            raise _refused(f"The table {name} does not exist: run the pipeline instead.")
        if not key:
            raise _refused("Rows are repaired by their key, and there is none. Name key columns.")
        if frozenset(key) not in table.unique_keys:
            listed = ", ".join(f"“{column}”" for column in key)
            raise _refused(
                f"The table {name} has no unique index on exactly {listed}, by which rows could "
                "be repaired. Create one (not partial, not deferrable), or run the pipeline."
            )

    def _check_sides(self, sides: Sides) -> None:
        if sides.notes:
            raise _refused(" ".join(sides.notes))

    def _check_counts(self, counts: dict[Kind, int]) -> None:
        total = sum(counts.values())
        if total > self.limit:
            raise _refused(
                f"The repair would change {total:,} rows by now, and {self.limit:,} were "
                "confirmed: nothing was changed. Compare again, and confirm what it finds."
            )
        table = self.examined.table
        if counts[Kind.EXTRA] and table is not None:
            check_deletes(self.target, self.definition, table)

    # What people see

    def _phase(self, name: str) -> None:
        self.control.progress.phase = name

    def _watch(self, _done: Done) -> None:
        self.control.tick()

    def _say(self, counts: dict[Kind, int]) -> None:
        if not sum(counts.values()):
            self.notes.append(_NOTHING)
        self.control.journal.say(
            f"Missing rows: {counts[Kind.MISSING]:,}, different: {counts[Kind.DIFFERENT]:,}, "
            f"extra: {counts[Kind.EXTRA]:,}."
        )


def repair(
    moving: Moving,
    *,
    identity: Identity,
    limit: int,
    tolerances: Mapping[str, float],
    seconds: float,
) -> None:
    """Make the rows of the target those of the source, changing at most `limit`.

    Raises RunError, Interruption, psycopg.Error.
    """
    request = Request(
        definition=moving.definition,
        identity=identity,
        level=Level.ROWS,
        tolerances=tolerances,
        deleted=moving.definition.mark,
        seconds=seconds,
    )
    Repairing(
        definition=moving.definition,
        examined=moving.examined,
        target=moving.target,
        fence=moving.fence,
        control=moving.control,
        request=request,
        limit=limit,
        notes=moving.notes,
    ).run()


def _order(key: Key) -> tuple[str, ...]:
    return tuple(part or "" for part in key)


def _refused(sentence: str) -> RunError:
    return RunError(sentence, error_class="RepairRefused")


_NOTHING = "Nothing differs any more, so nothing was changed."
