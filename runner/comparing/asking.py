"""Both sessions of a comparison: one snapshot each, and both servers computing at once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from runner.comparing.together import Copying, finish
from runner.connections import Session
from runner.contained import contained

Fields = list[str | None]


class Pair:
    """The sessions with source and target, each in one READ ONLY snapshot."""

    def __init__(self, source: Session, target: Session) -> None:
        self.source = source
        self.target = target

    def side(self, *, source: bool) -> Session:
        """The session of one side."""
        return self.source if source else self.target

    def both(
        self, on_source: sql.Composable, on_target: sql.Composable
    ) -> tuple[list[Fields], list[Fields]]:
        """All that two COPYs give; both servers work at the same time."""
        mine, theirs = self.begun(on_source, on_target)
        return [fields_of(line) for line in mine], [fields_of(line) for line in theirs]

    def begun(
        self, on_source: sql.Composable, on_target: sql.Composable
    ) -> tuple[Iterator[str], Iterator[str]]:
        """The lines of two COPYs, once both servers have something to send.

        What fails on one side is raised while the other still computes. Both sessions are of no
        more use then.
        """
        asked = ((self.source, on_source), (self.target, on_target))
        for session, statement in asked:
            session.describe(statement)
        copies = [Copying(session, statement) for session, statement in asked]
        finish(copies)
        mine, theirs = (copy.lines() for copy in copies)
        return mine, theirs


@contextmanager
def snapshot(session: Session) -> Iterator[None]:
    """Everything in here sees the same rows, and nothing in here can write."""
    with contained(session, isolation="REPEATABLE READ"):
        yield


def copied(session: Session, statement: sql.Composable) -> Iterator[Fields]:
    """The rows of a COPY … TO STDOUT in text format, field by field; None is NULL."""
    return map(fields_of, lines(session, statement))


def lines(session: Session, statement: sql.Composable) -> Iterator[str]:
    """The rows of a COPY … TO STDOUT in text format as they come: equal rows are equal lines."""
    session.describe(statement)
    yield from Copying(session, statement).lines()


def one_row(session: Session, statement: sql.Composable) -> Fields:
    """The only row of a SELECT of our own, as text."""
    result = session.run(statement)
    values = (result.get_value(0, column) for column in range(result.nfields))
    return [None if value is None else value.decode() for value in values]


def fields_of(line: str) -> Fields:
    """The fields of a line; None is NULL."""
    if "\\" not in line:
        return [*line.split("\t")]
    return [_unescaped(field) for field in line.split("\t")]


def _unescaped(field: str) -> str | None:
    if "\\" not in field:
        return field
    if field == "\\N":
        return None
    return _ESCAPE.sub(lambda match: _CHARACTERS.get(match[1], match[1]), field)


# https://www.postgresql.org/docs/current/sql-copy.html, text format: what COPY TO writes.
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CHARACTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
