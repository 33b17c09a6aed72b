"""Comparing a pipeline's source and target; moving rows is elsewhere."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from runner.addresses import definition_of
from runner.connections import Session, reading, writing
from runner.contained import ask
from runner.errors import RunError, Side, classify
from runner.plan import Definition
from runner.preflight.query import describe_query, stripped
from runner.preflight.table import find_table
from runner.preflight.values import NO_TEXT, Rejected
from runner.statements import load
from runner.statements import source as queries
from runner.watchdog import limited

__all__ = ["Counts", "ReconcileFailed", "count", "definition_of"]


class ReconcileFailed(Exception):
    """No answer: `code` is reconcile_timeout, source_unavailable, target_unavailable or
    query_failed, `sentence` is for a person."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows of the query and rows of the target table (0 when the table does not exist)."""

    source: int
    target: int

    @property
    def difference(self) -> int:
        """Source minus target."""
        return self.source - self.target

    @property
    def status(self) -> str:
        """OK when both sides have as many rows, else WARNING."""
        return "OK" if self.difference == 0 else "WARNING"


def count(definition: Definition, *, seconds: float) -> Counts:
    """Count both sides at once within `seconds`. Raises ReconcileFailed."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        source = pool.submit(_guarded, _count_source, definition, Side.SOURCE, seconds)
        target = pool.submit(_guarded, _count_target, definition, Side.TARGET, seconds)
        return Counts(source=source.result(), target=target.result())


def _count_source(definition: Definition, seconds: float) -> int:
    query = stripped(definition.source_query)
    with reading(definition.source) as session, limited(session, seconds):
        _limit(session, seconds)
        describe_query(session, query)
        return int(ask(session, queries.count(query)).get_value(0, 0) or b"0")


def _count_target(definition: Definition, seconds: float) -> int:
    with writing(definition.target) as session, limited(session, seconds):
        _limit(session, seconds)
        session.execute("SET default_transaction_read_only = on")
        if find_table(session, definition.target_table) is None:
            return 0
        row = session.execute(load.count(definition.target_table)).fetchone()
        return int(row[0]) if row else 0


def _guarded(
    counting: Callable[[Definition, float], int],
    definition: Definition,
    side: Side,
    seconds: float,
) -> int:
    try:
        return counting(definition, seconds)
    except psycopg.errors.QueryCanceled:
        raise ReconcileFailed(
            "reconcile_timeout",
            f"Counting the {side} took longer than {seconds:g} seconds and was stopped. Ask again "
            "when the server has less to do, or raise RECONCILE_SECONDS.",
        ) from None
    except Rejected as error:
        code = error.code if error.code.endswith("unavailable") else "query_failed"
        raise ReconcileFailed(code, str(error)) from None
    except UnicodeDecodeError:
        raise ReconcileFailed("query_failed", NO_TEXT) from None
    except RunError as error:
        raise ReconcileFailed(f"{side}_unavailable", error.sentence) from None
    except psycopg.Error as error:
        known = classify(error, side)
        code = "query_failed" if known.sqlstate[:2] in _ABOUT_THE_QUERY else f"{side}_unavailable"
        raise ReconcileFailed(code, known.sentence) from None


def _limit(session: Session, seconds: float) -> None:
    milliseconds = max(1, int(seconds * 1000))
    session.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])
    session.execute("SELECT set_config('lock_timeout', %s, false)", [str(milliseconds)])


_ABOUT_THE_QUERY = {"42", "22", "21", "0A", "54"}
