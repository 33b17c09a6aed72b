"""Rows that are gone from the source: found by key after an incremental load, counted, then
deleted or marked in batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from runner.comparing.asking import Pair, copied
from runner.comparing.compare import opened
from runner.comparing.search import Segments, find_rows, in_ranges, keys_of, parts_of, sum_up
from runner.comparing.sides import Sides
from runner.comparing.values import Done, Kind, Level, Request
from runner.connections import Session
from runner.control import Control
from runner.errors import RunError
from runner.fence import Fence, commit
from runner.plan import Definition, Mode
from runner.preflight.table import Table, find_table
from runner.statements import catalog, load, repairing

Key = tuple[str | None, ...]
SECONDS = 120
#: Nobody waits for it but the worker, which people can cancel.
_LIMIT_SECONDS = 86_400.0
_ROWS_AT_ONCE = 50_000


class Deleting:
    """One look for gone rows, behind the last batch of a load."""

    def __init__(
        self,
        definition: Definition,
        *,
        source: Session,
        target: Session,
        fence: Fence,
        control: Control,
        notes: list[str],
    ) -> None:
        self._definition = definition
        # The one that was read from: another copy of the source may lack what was just loaded.
        self._source = source
        self._target = target
        self._fence = fence
        self._control = control
        self._notes = notes

    def run(self) -> None:
        """Raises RunError, Interruption, psycopg.Error."""
        table = find_table(self._target, self._definition.target_table)
        if table is None:
            return
        check_mark(self._definition, table)
        self._control.progress.phase = "deletes"
        with opened(self._request(), self._control.tick, source=self._source) as (pair, sides):
            if reasons := [*sides.notes, *_unsure(sides, table)]:
                self._notes.extend([*reasons, _NOT_LOOKED])
                return
            segments = sum_up(in_ranges(_keys_only(sides), pair), pair, self._watch)
            found = find_rows(segments, pair, sample=0, progress=self._watch)
            if found.total(Kind.MISSING) and self._definition.mark:
                self._bring_back(segments, pair)
            if gone := found.total(Kind.EXTRA):
                of = sum(part.rows for part in segments.target.values())
                if self._is_too_many(gone, of):
                    # Some of them the source may have, where no load reads them.
                    gone = sum(map(len, self._gone(segments, pair)))
                self._check(gone, of, table)
                self._remove(segments, pair)

    def _request(self) -> Request:
        return Request(
            definition=self._definition,
            identity=self._fence.identity,
            level=Level.ROWS,
            deleted=self._definition.mark,
            seconds=_LIMIT_SECONDS,
        )

    def _watch(self, _done: Done) -> None:
        self._control.tick()

    def _check(self, gone: int, of: int, table: Table) -> None:
        """The dry run: how many rows it would be, before the first of them goes."""
        if self._is_too_many(gone, of):
            limit = self._definition.max_delete_percent
            raise RunError(
                f"{gone:,} of {of:,} rows of {self._definition.target_table} are gone from the "
                f"source ({gone * 100 / of:.1f} %), more than the {limit} % this pipeline allows. "
                "The load is complete, and none of them was deleted. Check the query, or raise "
                "max_delete_percent.",
                error_class="DeletesRefused",
            )
        if gone:
            check_deletes(self._target, self._definition, table)

    def _is_too_many(self, gone: int, of: int) -> bool:
        limit = self._definition.max_delete_percent
        return limit is not None and gone * 100 > of * limit

    def _keys(self, segments: Segments, pair: Pair, kind: Kind) -> Iterator[list[Key]]:
        """Of the rows with which this is wrong, a part of the table at a time."""
        for wanted in parts_of(segments, rows=_ROWS_AT_ONCE):
            yield [key for what, key in keys_of(segments, pair, wanted) if what is kind]

    def _gone(self, segments: Segments, pair: Pair) -> Iterator[list[Key]]:
        for keys in self._keys(segments, pair, Kind.EXTRA):
            yield gone_from(segments.sides, pair, keys)

    def _bring_back(self, segments: Segments, pair: Pair) -> None:
        """Rows that are in the source again are marked no more."""
        for keys in self._keys(segments, pair, Kind.MISSING):
            for part in cut(keys, self._definition.batch_size):
                self._write(segments.sides, [], part)

    def _remove(self, segments: Segments, pair: Pair) -> None:
        done = 0
        for keys in self._gone(segments, pair):
            for part in cut(keys, self._definition.batch_size):
                done += self._write(segments.sides, part, [])
        if done:
            is_deleted = self._definition.mark is None
            self._notes.append(
                f"Rows gone from the source and deleted: {done:,}."
                if is_deleted
                else f"Rows gone from the source and marked as deleted: {done:,}."
            )

    def _write(self, sides: Sides, gone: Sequence[Key], back: Sequence[Key]) -> int:
        """One batch, under the fence; the position stays where it is."""
        self._control.tick()
        with self._control.uninterrupted():
            begin(self._target)
            changed = remove(self._target, self._definition, sides, gone)
            changed += restore_marks(self._target, self._definition, sides, back)
            self._fence.advance(0, "deleting", None)
            commit(self._target)
            self._fence.counted(0)
        progress = self._control.progress
        progress.rows_written += changed
        progress.batches += 1
        progress.seq = self._fence.seq
        return changed


def begin(target: Session, *, idle: int = SECONDS) -> None:
    """A transaction that a frozen worker does not keep open for ever."""
    target.run_all(["BEGIN", *load.batch_limits(seconds=SECONDS, idle=idle)])


def cut(keys: Sequence[Key], most: int) -> list[Sequence[Key]]:
    """The keys, at most so many at a time."""
    return [keys[start : start + most] for start in range(0, len(keys), most)]


def gone_from(sides: Sides, pair: Pair, keys: Sequence[Key]) -> list[Key]:
    """Of these keys those that no row of the query has, be it one that no load would read."""
    if not keys:
        return []
    rows = copied(pair.source, repairing.keys_there(sides.source, keys))
    there = {tuple(fields) for fields in rows}
    return [key for key in keys if key not in there]


def remove(target: Session, definition: Definition, sides: Sides, keys: Sequence[Key]) -> int:
    """Delete these rows, or mark them, as the pipeline says; how many there were."""
    if not keys:
        return 0
    name = definition.target_table
    statement = repairing.delete_rows(sides.target, name, keys)
    if definition.mark is not None:
        value = _marks(target, definition)
        statement = repairing.mark_rows(sides.target, name, keys, definition.mark, value=value)
    return target.run(statement).command_tuples or 0


def restore_marks(
    target: Session, definition: Definition, sides: Sides, keys: Sequence[Key]
) -> int:
    """Take the mark from these rows, which are there again; how many had one."""
    if not keys or definition.mark is None:
        return 0
    statement = repairing.unmark_rows(definition.target_table, sides.key, keys, definition.mark)
    return target.run(statement).command_tuples or 0


def check_mark(definition: Definition, table: Table) -> None:
    """The column that marks deleted rows must be there. Raises RunError."""
    mark, name = definition.mark, definition.target_table
    if mark is None:
        return
    column = table.column(mark)
    if column is None:
        raise RunError(
            f"The table {name} has no column “{mark}” to mark deleted rows in. Add it "
            "(timestamptz or boolean), or choose another way to treat them.",
            error_class="NoMark",
        )
    if (column.base_oid or column.oid) not in _VALUES or column.not_null:
        raise RunError(
            f"The column “{mark}” of {name} cannot mark deleted rows: it must be a "
            "timestamp, a date or a boolean, and take NULL.",
            error_class="NoMark",
        )


def check_deletes(target: Session, definition: Definition, table: Table) -> None:
    """Rows of other tables must not change with these. Raises RunError."""
    if table.facts["has_heirs"]:
        raise RunError(
            f"Tables inherit from {definition.target_table}, so rows cannot be deleted from it.",
            error_class="HeirsHaveRows",
        )
    if definition.allow_cascade or definition.mark is not None:
        return
    rows = target.execute(catalog.CASCADES, [table.oid]).fetchall()
    if rows:
        name, schema, child, *_columns = rows[0]
        raise RunError(
            f"Rows would be deleted that {schema}.{child} may refer to (foreign key “{name}”), and "
            "that table would change with them: none was deleted. Allow cascading for this "
            "pipeline, or bring the rows back in the source.",
            error_class="CascadeRefused",
        )


def check_left(definition: Definition, extra: int, segments: Segments) -> None:
    """A repair deletes no more than a load would: the source may be empty for a moment.

    Raises RunError.
    """
    of = sum(part.rows for part in segments.target.values())
    is_empty = not any(part.rows for part in segments.source.values())
    name, limit = definition.target_table, definition.max_shrink_percent
    if definition.mode is Mode.INCREMENTAL:
        limit = definition.max_delete_percent
    if extra and is_empty and not definition.allow_empty:
        raise RunError(
            f"The query returned no rows, so the repair would empty {name}: nothing was changed. "
            "Look at the source, or set allow_empty if it is empty on purpose.",
            error_class="DeletesRefused",
        )
    if limit is not None and extra * 100 > of * limit:
        raise RunError(
            f"The repair would delete {extra:,} of {of:,} rows of {name}, more than the {limit} % "
            "this pipeline allows: nothing was changed. Look at the source, or raise the limit.",
            error_class="DeletesRefused",
        )


def _unsure(sides: Sides, table: Table) -> list[str]:
    """Keys of which one can be written in several ways, so that one may be there though its text
    is not."""
    names = [form.name for form in sides.key]
    found = [column for name in names if (column := table.column(name)) is not None]
    return [
        f"Values of the key “{column.name}” ({column.type_name}) can be equal and written "
        "differently."
        for column in found
        if (column.base_oid or column.oid) in _SEVERAL_TEXTS
        or column.type_name.rpartition(".")[2] == "citext"
    ]


def _keys_only(sides: Sides) -> Sides:
    """What the rows hold besides does not matter."""
    return replace(
        sides,
        source=replace(sides.source, columns=sides.key),
        target=replace(sides.target, columns=sides.key),
    )


def _marks(target: Session, definition: Definition) -> str:
    table = find_table(target, definition.target_table)
    column = table.column(definition.mark or "") if table else None
    return _VALUES[(column.base_oid or column.oid) if column else 0]


#: By the type of the column (boolean, date, timestamp, timestamptz): what marks a row.
_VALUES: Mapping[int, str] = {
    16: "true",
    1082: "current_date",
    1114: "localtimestamp",
    1184: "now()",
}
#: interval, interval[] and numeric[].
_SEVERAL_TEXTS = {1186, 1187, 1231}
_NOT_LOOKED = "Rows that are gone from the source were not looked for."
