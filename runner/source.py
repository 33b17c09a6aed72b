"""Rows out of a source: the raw stream of one COPY, and the upper bound of what may be read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from psycopg import sql
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus

from runner.connections import Session

# Pieces are large enough that Python's part is small beside the copying, small enough that the
# target works while the source produces the next one.
PIECE_BYTES = 256 * 1024
BATCH_BYTES = 64 * 1024 * 1024
BATCH_SECONDS = 5.0
# Signature (11 bytes), flags and length of the extension: a binary COPY's first message has
# these before its first row. https://www.postgresql.org/docs/current/sql-copy.html
BINARY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
BINARY_TRAILER = b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole rows as the wire has them; `last` is the last of them, alone."""

    data: bytearray
    rows: int
    last: bytes


class RowStream(Protocol):
    """What the loading of batches needs from a source, whatever kind of database it is."""

    binary: bool

    def wait_first(self) -> bool:
        """Wait for the first row, ticking; False when there is none."""

    def pieces(self, rows: int) -> Iterator[Piece]:
        """The next batch: at most `rows` rows, cut by size and time too; none at the end."""


class CopyStream:
    """One `COPY … TO STDOUT`, read message by message: the server sends one per row."""

    def __init__(self, session: Session, *, binary: bool) -> None:
        self.binary = binary
        self._session = session
        self._pending: bytes | None = None
        self._started = False
        self.ended = False

    def wait_first(self) -> bool:
        """Wait for the first row, ticking; False when there is none."""
        if self._pending is None and not self.ended:
            self._pending = self._next(None)
        return self._pending is not None

    def pieces(self, rows: int) -> Iterator[Piece]:
        """The next batch, piece by piece; ends at `rows` rows, 64 MiB or 5 s."""
        deadline = time.monotonic() + BATCH_SECONDS
        room = BATCH_BYTES
        while rows > 0 and room > 0 and time.monotonic() < deadline:
            piece = self._piece(rows, deadline)
            if piece is None:
                return
            rows -= piece.rows
            room -= len(piece.data)
            yield piece

    def _piece(self, rows: int, deadline: float) -> Piece | None:
        """Rows that are there now, up to one piece; waits only while there is none at all."""
        data = bytearray()
        row: bytes | memoryview | None = self._pending
        self._pending = None
        count = 0
        get = self._session.pgconn.get_copy_data
        if row is None:
            row = self._next(deadline)
        last = row
        while row is not None:
            data += row
            last = row
            count += 1
            if count >= rows or len(data) >= PIECE_BYTES:
                break
            size, row = get(1)
            if size <= 0:
                row = self._more(size)
            elif size == 2 and row == BINARY_TRAILER:
                row = None
        return Piece(data, count, bytes(last)) if last is not None else None

    def _more(self, size: int) -> bytes | None:
        """libpq's buffer is empty: take what has arrived since, without waiting."""
        if size < 0:
            self._end()
            return None
        self._session.consume()
        return self._take()

    def _next(self, deadline: float | None) -> bytes | None:
        """The next row, waiting for it; None at the end or at the deadline."""
        while True:
            row = self._take()
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if row is not None or self.ended or left <= 0:
                return row
            if self._session.wait_for(read=True, seconds=left):
                self._session.consume()

    def _take(self) -> bytes | None:
        """A row from libpq's buffer, None when it holds no whole one."""
        if self.ended:
            return None
        size, row = self._session.pgconn.get_copy_data(1)
        if size < 0:
            self._end()
            return None
        if size == 0:
            return None
        if self.binary and not self._started:
            row = memoryview(row)[len(BINARY_HEADER) :]
            size -= len(BINARY_HEADER)
        self._started = True
        if size == 0:
            return self._take()
        if self.binary and size == 2 and row == BINARY_TRAILER:
            return self._take()
        return bytes(row)

    def _end(self) -> None:
        """The COPY is over: its result tells whether it came to its end or failed."""
        self.ended = True
        result = self._session.wait(fetch_many(self._session.pgconn))[-1]
        if result.status != ExecStatus.COMMAND_OK:
            raise self._session.failed(result)


@contextmanager
def streaming(session: Session, statement: sql.Composable, *, binary: bool) -> Iterator[CopyStream]:
    """Start `statement` (a COPY TO STDOUT) in one READ ONLY snapshot."""
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    session.run(statement)
    stream = CopyStream(session, binary=binary)
    yield stream
    if stream.ended:
        session.run("COMMIT")
