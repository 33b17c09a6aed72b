"""Rows out of a source: the raw stream of one COPY, cut into batches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus

from runner.connections import Session
from runner.contained import contained, parsed_first
from runner.errors import blame

# Pieces are large enough that Python's part is small beside the copying, small enough that the
# target works while the source produces the next one.
PIECE_BYTES = 256 * 1024
BATCH_BYTES = 64 * 1024 * 1024
BATCH_SECONDS = 5.0
# As much of the next batch is read while the target is busy with the end of the last.
AHEAD_BYTES = 1024 * 1024
# So many rows are taken between two looks at sizes, sockets and clocks, which would cost more than
# the rows themselves; a row as large as this ends a burst.
_BURST_ROWS = 256
_LARGE_ROW = 4096
# Signature (11 bytes), flags and length of the extension: a binary COPY's first message has
# these before its first row. https://www.postgresql.org/docs/current/sql-copy.html
BINARY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
BINARY_TRAILER = b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole rows as the wire has them; the last of them is the last `tail` bytes."""

    data: bytearray
    rows: int
    tail: int

    @property
    def last(self) -> memoryview:
        """The last row, alone, without copying it."""
        return memoryview(self.data)[-self.tail :]


class RowStream(Protocol):
    """What the loading of batches needs from a source, whatever kind of database it is."""

    binary: bool

    def wait_first(self) -> bool:
        """Wait for the first row, ticking; False when there is none."""

    def pieces(self, rows: int) -> Iterator[Piece]:
        """The next batch: at most `rows` rows, cut by size and time too; none at the end."""

    def read_ahead(self) -> bool:
        """Take rows that are there now: as many as this batch still has room for, or the next one.

        Never waits and never raises. False when there are none, or enough.
        """


class CopyStream:
    """One `COPY … TO STDOUT`, read message by message: the server sends one per row."""

    def __init__(self, session: Session, *, binary: bool) -> None:
        self.binary = binary
        self.ended = False
        self._session = session
        self._get = session.pgconn.get_copy_data
        self._started = self._drained = False
        # The trailer is as long as this; every row is longer.
        self._no_row = len(BINARY_TRAILER) if binary else 0
        self._ahead_rows = 0
        # Rows that are in no piece yet: their bytes, their number, the bytes of the last one.
        self._data = bytearray()
        self._rows = 0
        self._tail = 0

    def wait_first(self) -> bool:
        """Wait for the first row, ticking; False when there is none."""
        return self._wait(None)

    def pieces(self, rows: int) -> Iterator[Piece]:
        """The next batch, piece by piece; ends at `rows` rows, 64 MiB or 5 s."""
        deadline = time.monotonic() + BATCH_SECONDS
        left, room = rows, BATCH_BYTES
        while left > 0 and room > 0 and time.monotonic() < deadline and self._wait(deadline):
            while self._rows < left and len(self._data) < PIECE_BYTES:
                if not self._take(left - self._rows):
                    break
            left -= self._rows
            room -= len(self._data)
            # What is read ahead now belongs to this batch, or begins the next one.
            self._ahead_rows = left or rows
            yield self._hand_over()

    def read_ahead(self) -> bool:
        """Take rows of the next batch that are there now; see RowStream."""
        enough = self._rows >= self._ahead_rows or len(self._data) >= AHEAD_BYTES
        if enough or self._tail >= PIECE_BYTES:  # such rows are taken one at a time
            return False
        try:
            return self._take(self._ahead_rows - self._rows)
        except psycopg.Error:
            return False  # the batch that is open has all its rows; the next one fails

    def _wait(self, deadline: float | None) -> bool:
        """Wait until a row is taken; False at the end of the COPY or at the deadline."""
        while not self._rows and not self._take(1):
            if self._drained:
                self._end()
                return False
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            if self._session.wait_for(read=True, seconds=left):
                self._session.consume()
        return True

    def _hand_over(self) -> Piece:
        piece = Piece(self._data, self._rows, self._tail)
        self._data, self._rows = bytearray(), 0
        return piece

    def _take(self, most: int) -> bool:
        """Take a burst of rows that have arrived, `most` at most; False when there are none."""
        most = min(most, _BURST_ROWS)
        try:
            took = not self._drained and self._drain(most)
            if took or self._drained:
                return took
            self._session.consume()
            return self._drain(most)
        except psycopg.Error as error:
            blame(error, self._session.side)
            raise

    def _drain(self, most: int) -> bool:
        """Move rows from libpq's buffer to ours; False when it holds no whole one."""
        if not self._started:
            return self._drain_first()
        get, data, no_row, tail = self._get, self._data, self._no_row, self._tail
        for taken in range(most):  # noqa: B007 (read behind the loop)
            size, row = get(1)
            if not no_row < size < _LARGE_ROW:
                break
            data += row
            tail = size
        else:
            taken = most
        self._rows += taken
        self._tail = tail
        if taken < most and self._drain_special(size, row):
            return True
        return taken > 0

    def _drain_special(self, size: int, row: memoryview) -> bool:
        """What ended a burst: nothing, a large row, the trailer, or (-1) the end."""
        if size > self._no_row:
            self._data += row
            self._rows += 1
            self._tail = size
            return True
        if size > 0:
            size, _ = self._get(1)
        self._drained = size < 0
        return False

    def _drain_first(self) -> bool:
        """The first message: the header stands before its row (or before the trailer)."""
        size, row = self._get(1)
        self._started = size > 0
        if self._started and self.binary:
            size -= len(BINARY_HEADER)
            row = memoryview(row)[len(BINARY_HEADER) :]
        return self._drain_special(size, row)

    def _end(self) -> None:
        """The COPY is over: its result tells whether it came to its end or failed."""
        if self.ended:
            return
        for result in self._session.wait(fetch_many(self._session.pgconn)):
            if result.status != ExecStatus.COMMAND_OK:
                raise self._session.failed(result)
        self.ended = True


@contextmanager
def streaming(session: Session, statement: sql.Composable, *, binary: bool) -> Iterator[CopyStream]:
    """Start `statement` (a COPY TO STDOUT) in one READ ONLY snapshot."""
    with contained(session, isolation="REPEATABLE READ"):
        parsed_first(session, statement)
        yield CopyStream(session, binary=binary)
