"""The one way in which a preview runs people's SQL: READ ONLY, one command, under a time limit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import psycopg
from psycopg import sql
from psycopg.pq.abc import PGresult

from runner.connections import Session
from runner.contained import contained, parsed_first
from runner.errors import Side, classify
from runner.preflight.values import TOO_LARGE, is_too_large
from runner.watchdog import MOST_BYTES, limited

T = TypeVar("T")
#: Runs one statement that was checked by Parse first.
Ask: TypeAlias = Callable[[sql.Composable], PGresult]

# The server ends a statement at its limit; a query that lifts the limit is ended by us, a little
# later.
_GRACE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a part of a preview is missing: it took more than `seconds`, or what the source said."""

    seconds: float = 0.0
    sentence: str = ""


def attempt(act: Callable[[float], T], seconds: float) -> tuple[T | None, Trouble | None]:
    """What `act` gives within `seconds`, or why a preview has to be shown without it."""
    try:
        return act(seconds), None
    except psycopg.errors.QueryCanceled:
        return None, Trouble(seconds=seconds)
    except psycopg.Error as error:
        if is_too_large(error):
            return None, Trouble(sentence=TOO_LARGE)
        return None, Trouble(sentence=classify(error, Side.SOURCE).sentence)


@contextmanager
def looking(session: Session, *, seconds: float) -> Iterator[Ask]:
    """A READ ONLY transaction that is always rolled back, with whatever the query has set in it.

    Raises psycopg.Error; QueryCanceled for what takes longer than `seconds`.
    """
    limit = limited(session, seconds + _GRACE_SECONDS, most_bytes=MOST_BYTES)
    with limit, contained(session):
        session.run(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
        yield partial(parsed_first, session)
