"""Rows into a target: one transaction per batch, its checkpoint in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from pipelines.names import TableName
from runner.connections import Session
from runner.fence import Fence, commit
from runner.plan import Column, Position
from runner.source import BINARY_HEADER, BINARY_TRAILER, Piece, RowStream
from runner.statements import load

#: A batch whose worker froze lets its locks go after this long.
BATCH_LIMIT_SECONDS = 120
#: libpq keeps a buffer as large as the most it was ever given at once.
SLICE_BYTES = 512 * 1024
_ANY_NUMBER = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Written:
    """One committed batch: rows received, rows that really changed the table, the position."""

    received: int
    changed: int
    position: Position | None


@dataclass(frozen=True, kw_only=True)
class Upsert:
    """How a batch reaches an incremental target: the statement, and the key of the order
    (the incremental key, then the key columns) in the source's types.

    `floor` is the position below which rows are read again: it never moves back to them. `basis`
    is written beside each position.
    """

    statement: sql.Composed
    key: tuple[Column, ...]
    floor: Position | None = None
    basis: str = ""


class PostgresTarget:
    """The writing side of one run, over one session."""

    def __init__(self, session: Session, fence: Fence) -> None:
        self.session = session
        self._fence = fence

    def write_batch(
        self,
        pieces: Iterable[Piece],
        into: TableName,
        columns: Sequence[Column],
        *,
        binary: bool,
        upsert: Upsert | None = None,
        advance: bool = True,
    ) -> Written | None:
        """Rows, then the checkpoint, in one transaction. None when there were no rows.

        With `upsert` the rows go through the batch's temporary table, and `advance` moves the
        position to the last row sent. Raises Fenced, UnknownOutcome, psycopg.Error.
        """
        begun = False
        last = memoryview(b"")
        for piece in pieces:
            if not begun:
                self._begin_batch(into, columns, binary=binary, durable=upsert is not None)
                begun = True
            self._put(piece.data)
            if upsert is not None:
                last = piece.last
            # A row may have 64 MB, and the next is on its way.
            del piece
        if not begun:
            return None
        received = changed = self._end_copy(binary=binary)
        position = None
        if upsert is not None:
            changed = self.session.run(upsert.statement).command_tuples or 0
            if advance:
                position = self._read_position(upsert, columns, last, binary=binary)
                if upsert.floor is not None and not self.is_later(position, upsert.floor):
                    position = None
        self._fence.advance(received, "loading", position)
        commit(self.session)
        self._fence.counted(received)
        return Written(received=received, changed=changed, position=position)

    def put_all(
        self, stream: RowStream, into: TableName, columns: Sequence[Column], *, binary: bool
    ) -> int:
        """All rows of a stream into a table, within the transaction that is open; how many."""
        self.session.run(load.copy_in(into, columns, binary=binary))
        if binary:
            self._put(BINARY_HEADER)
        while stream.wait_first():
            for piece in stream.pieces(_ANY_NUMBER):
                self._put(piece.data)
        return self._end_copy(binary=binary)

    def _begin_batch(
        self, into: TableName, columns: Sequence[Column], *, binary: bool, durable: bool
    ) -> None:
        limits = load.batch_limits(seconds=BATCH_LIMIT_SECONDS, idle=BATCH_LIMIT_SECONDS)
        if not durable:
            limits.append(load.relaxed_durability())
        self.session.run_all(["BEGIN", *limits])
        self.session.run(load.copy_in(into, columns, binary=binary))
        if binary:
            self._put(BINARY_HEADER)

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        """Hand bytes to the server and wait until it has taken them, ticking."""
        view = memoryview(data)
        for start in range(0, len(view), SLICE_BYTES):
            self.session.tick()
            self._put_slice(view[start : start + SLICE_BYTES])

    def _put_slice(self, data: memoryview) -> None:
        pgconn = self.session.pgconn
        while pgconn.put_copy_data(data) == 0:
            self.session.wait_for(read=False, seconds=1.0)
        while pgconn.flush() == 1:
            self.session.wait_for(read=False, seconds=1.0)

    def _end_copy(self, *, binary: bool) -> int:
        if binary:
            self._put(BINARY_TRAILER)
        result = self.session.end_copy()
        self.session.wait_for(read=True, seconds=0)
        return result.command_tuples or 0

    def _read_position(
        self, upsert: Upsert, columns: Sequence[Column], last: memoryview, *, binary: bool
    ) -> Position:
        """The last row sent, once more, alone, into a table of the source's own types."""
        self.session.run(load.copy_in(load.POSITION, columns, binary=binary))
        if binary:
            self._put(BINARY_HEADER)
        self._put(last)
        self._end_copy(binary=binary)
        row = self.session.execute(load.read_position(upsert.key)).fetchone()
        if row is None:
            raise AssertionError("the row that was just copied is there")
        cursor, key, shown_value, shown_key = row
        return Position(
            cursor=cursor,
            cursor_type=upsert.key[0].type_name,
            key=tuple(key),
            shown_value=shown_value,
            shown_key=shown_key,
            basis=upsert.basis,
        )

    def is_later(self, position: Position, than: Position) -> bool:
        """Compare two positions' cursors as values of their type."""
        statement = load.later_of(position.cursor_type)
        row = self.session.execute(statement, [position.cursor, than.cursor]).fetchone()
        return bool(row and row[0])
