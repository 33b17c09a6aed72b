"""What an error means: try again, fail, or leave; and the sentence people get, never its values.

The classes are those of the SQLSTATE appendix of the PostgreSQL manual; messages of a server are
quoted only where they hold names and no data (class 42 and its like).
"""

import random
import re
from dataclasses import dataclass
from enum import StrEnum

import psycopg

from runner.words import plain


class Side(StrEnum):
    """Whose server raised an error."""

    SOURCE = "source"
    TARGET = "target"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how patiently a transient error is tried again."""

    tries: int
    base: float


USUAL = Patience(tries=5, base=2.0)
ONCE = Patience(tries=2, base=5.0)
# Space and connections come back slowly, and every failed COPY leaves dead space behind.
SLOW = Patience(tries=4, base=60.0)
LONGEST_DELAY = 600.0


class RunError(Exception):
    """A run cannot go on: `sentence` is for people, `patience` None when trying again is vain."""

    def __init__(
        self,
        sentence: str,
        *,
        error_class: str,
        sqlstate: str = "",
        patience: Patience | None = None,
    ) -> None:
        self.sentence = plain(sentence)
        super().__init__(self.sentence)
        self.error_class = error_class
        self.sqlstate = sqlstate
        self.patience = patience

    def delay(self, attempt: int) -> float | None:
        """Seconds until the next try after the `attempt`-th (from 1), None when there is none."""
        if self.patience is None or attempt >= self.patience.tries:
            return None
        most = min(LONGEST_DELAY, self.patience.base * 2.0**attempt)
        return random.uniform(0, most)  # noqa: S311 (spreads load, guards nothing)


class UnknownOutcome(Exception):
    """A COMMIT got no answer: whether it happened is settled by fencing and then reading."""


_TRANSIENT = {
    "57P01",
    "57P02",
    "57P03",
    "57P05",
    "25P03",
    "25P04",
    "40001",
    "40P01",
    "55P03",
    "55006",
    "53000",
    "53200",
    "53300",
    "58030",
}
_SLOW = {"53100", "53400", "53300"}
# Class 57014 is our own time limit here: a cancel that we asked for never gets this far.
_ONCE = {"57014"}
_PERMANENT_CONNECT = re.compile(
    r"password authentication failed|does not exist|no pg_hba\.conf entry"
    r"|is not permitted to log in|certificate verify failed|does not support SSL"
    r"|no password supplied|does not match host name"
)
# Where RAISE, plpy.error and the like are, in the sources of PostgreSQL's languages.
_RAISING = {"pl_exec.c", "plpy_elog.c", "plpy_plpymodule.c", "plperl.c", "pltcl.c"}
_NO_SLOT = re.compile(r"too many (clients|connections)|remaining connection slots")
# Messages of these classes name objects, never values.
_QUOTABLE = ("21", "42", "3D", "3F", "0A", "53", "54", "55", "57", "25")


def blame(error: psycopg.Error | RunError, side: Side) -> None:
    """Remember whose server raised `error`; both are at work in the same lines of code."""
    error.etl_side = side  # type: ignore[union-attr]  # ours alone, read by side_of


def side_of(error: psycopg.Error | RunError) -> Side:
    """Whose server raised `error`."""
    side: Side = getattr(error, "etl_side", Side.TARGET)
    return side


def is_lost_connection(error: psycopg.Error) -> bool:
    """True when the error says that the session is gone, so a COMMIT's outcome is unknown."""
    state = error.sqlstate
    return state is None or state.startswith(("08", "57P0")) or state == "40003"


def classify(error: psycopg.Error, side: Side) -> RunError:
    """The meaning of a server's error while rows move."""
    state = error.sqlstate or ""
    return RunError(
        f"{_what(error, side)} {_next_step(state, side)}".strip(),
        error_class=type(error).__name__,
        sqlstate=state,
        patience=_patience(error, side),
    )


def classify_connect(error: psycopg.Error, side: Side, name: str) -> RunError:
    """The meaning of a failed sign-in; libpq gives no SQLSTATE there, so its text decides."""
    said = str(error)
    if _NO_SLOT.search(said):
        return RunError(
            f"The {side} connection “{name}” has no free connection slot. Raise the limit of the "
            "server or the role, or run fewer workers.",
            error_class="TooManyConnections",
            sqlstate="53300",
            patience=SLOW,
        )
    permanent = _PERMANENT_CONNECT.search(said) is not None
    sentence = (
        f"The {side} connection “{name}” refused the sign-in: check database, user, password and "
        "TLS of the connection."
        if permanent
        else f"The {side} connection “{name}” cannot be reached: check that the server runs and "
        "that host and port are right."
    )
    return RunError(
        sentence,
        error_class=type(error).__name__,
        sqlstate=error.sqlstate or "",
        patience=None if permanent else USUAL,
    )


def _patience(error: psycopg.Error, side: Side) -> Patience | None:
    state = error.sqlstate
    if state is None or state.startswith("08"):
        return USUAL
    if state in _SLOW:
        return SLOW
    if state == "25006":
        # A target that became read-only is failing over; a read-only source is how we asked it.
        return USUAL if side is Side.TARGET else None
    if state in _TRANSIENT:
        return USUAL
    if state in _ONCE or state.startswith("XX"):
        return ONCE
    known = ("0A", "21", "22", "23", "25", "28", "3D", "3F", "42", "44", "54", "P0", "2B")
    return None if state.startswith(known) else ONCE


def _what(error: psycopg.Error, side: Side) -> str:
    state = error.sqlstate
    diag = error.diag
    if state is None or state.startswith("08"):
        return f"The connection to the {side} was lost."
    if state == "23502" and diag.column_name:
        return f"Column “{diag.column_name}” got a NULL, which the target does not allow."
    if state.startswith(("22", "23")):
        return _about_a_row(error, side)
    if state.startswith(_QUOTABLE) and diag.message_primary and not _is_raised(error):
        return f"The {side} says: {diag.message_primary.rstrip('.')}."
    if state == "P0001":
        return f"A trigger or function of the {side} raised an error."
    return f"The {side} reported an error (SQLSTATE {state})."


def _is_raised(error: psycopg.Error) -> bool:
    """Whether people's own function chose the words, whatever SQLSTATE it gave them."""
    return error.diag.source_file in _RAISING


def _about_a_row(error: psycopg.Error, side: Side) -> str:
    if side is Side.SOURCE:
        # The class's name in words (division by zero): the message itself may hold a value.
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
        return f"The source could not compute or send a row of the query: {words}."
    if error.sqlstate and error.sqlstate.startswith("22"):
        return f"A value does not fit its column{_where(error)}."
    constraint = error.diag.constraint_name
    if constraint is None and error.sqlstate == "23514":
        return f"No partition of the target takes the row{_where(error)}."
    if constraint is None:
        return f"A row violates a constraint of the target{_where(error)}."
    return f"A row violates the constraint “{constraint}”{_where(error)}."


def _where(error: psycopg.Error) -> str:
    """Line and column of a failed COPY, from its context, which also holds the value."""
    context = error.diag.context or ""
    place = re.match(r"COPY \S+, line (\d+)(?:, column ([^:\n]+))?", context)
    if place and place[2]:
        return f" (column “{place[2]}”, row {place[1]} of the batch)"
    if place:
        return f" (row {place[1]} of the batch)"
    return f" (column “{error.diag.column_name}”)" if error.diag.column_name else ""


def _next_step(state: str, side: Side) -> str:
    steps = _NEXT_STEPS | (_AT_THE_SOURCE if side is Side.SOURCE else {})
    return steps.get(state) or steps.get(state[:2]) or ""


_NEXT_STEPS = {
    "23": "Correct the row in the source, or the constraint, and run again.",
    "23505": "Correct the rows in the source; where rows may exchange their values, make the "
    "constraint DEFERRABLE. Then run again.",
    "23514": "Correct the row in the source, or the constraint or partitions, and run again.",
    "22": "Cast the column in the query, or change the column's type in the target.",
    "42501": "Ask for the missing right, and run again.",
    "42P01": "Create the table again, or change the query.",
    "42": "Change the query or the tables, and run again.",
    "53100": "Free disk space on the server.",
    "53300": "The server has no free connection slot.",
    "57014": "It took longer than its time limit.",
    "55P03": "Another session holds a lock on the table.",
    "40P01": "Two sessions waited for each other.",
    "28": "Check user and password of the connection.",
    "25006": "If this server is a standby, point the connection to the primary.",
    "57P01": "The server is being stopped, or somebody ended the session. Run again when it is "
    "back.",
    "57P02": "The server's log says why. Run again when it is back.",
    "57P03": "The server is starting or stopping. Run again when it is back.",
}

_CORRECT_THE_QUERY = (
    "Correct the rows, or change the query so that it can do with them (NULLIF, CASE, a WHERE), "
    "and run again."
)
_AT_THE_SOURCE = {
    "21": "Change the query so that each of its subqueries gives one row at most.",
    "22": _CORRECT_THE_QUERY,
    "23": _CORRECT_THE_QUERY,
    **dict.fromkeys(("23505", "23514"), _CORRECT_THE_QUERY),
    "25006": "A query may only read: take out of it what writes.",
}

UNKNOWN_OUTCOME = RunError(
    "The connection to the target was lost during COMMIT. The next run finds out whether it "
    "happened and goes on from there.",
    error_class="UnknownOutcome",
    patience=USUAL,
)
