"""Points at which a fault finds the worker: triggers that wait at a gate, or raise an SQLSTATE.

Gates are advisory locks, kept by a session of the test; see `tests.whole.gates`.
"""

from typing import Any

import psycopg

from tests.whole.gates import Gate

Session = psycopg.Connection[Any]
NUMBER = 4711

# On a source: a row that the query gives only when the gate is open.
_HOLD = f"""
CREATE FUNCTION public.hold(at int, row_ int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF row_ = at THEN PERFORM pg_advisory_lock_shared({NUMBER});
        PERFORM pg_advisory_unlock_shared({NUMBER}); END IF;
    RETURN true;
END $$
"""
_TRIGGER = f"""
CREATE SCHEMA IF NOT EXISTS points;
GRANT USAGE ON SCHEMA points TO PUBLIC;
CREATE OR REPLACE FUNCTION points.stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_argv[0] = 'wait' THEN PERFORM pg_advisory_xact_lock_shared({NUMBER});
    ELSE RAISE EXCEPTION 'injected: %', 'secret-4711' USING ERRCODE = tg_argv[0]; END IF;
    RETURN new;
END $$;
"""


def gate(session: Session) -> Gate:
    """The gate of a server, closed."""
    closed = Gate(session=session, number=NUMBER)
    closed.close()
    return closed


def make_hold(session: Session) -> None:
    """On a source: `hold(at, row)` is true, after waiting at the gate for the row `at`."""
    session.execute(_HOLD)


def at_checkpoint(
    session: Session, when: str, *, does: str = "wait", deferred: bool = False
) -> None:
    """Before the end of the transaction that changes our row in the target so, or in its COMMIT.

    `when` may speak of `new` and `old`.
    """
    _point(session, "etl.checkpoint", "UPDATE", when, does=does, deferred=deferred)


def at_insert(session: Session, table: str, when: str, *, does: str = "wait") -> None:
    """At a row that comes into `table`."""
    _point(session, table, "INSERT", when, does=does)


def at_update(session: Session, table: str, when: str, *, does: str = "wait") -> None:
    """At a row that changes in `table`."""
    _point(session, table, "UPDATE", when, does=does)


def remove(session: Session, table: str) -> None:
    """No point on `table` any more."""
    session.execute(f"DROP TRIGGER IF EXISTS stop ON {table}")


def _point(
    session: Session, table: str, event: str, when: str, *, does: str, deferred: bool = False
) -> None:
    session.execute(_TRIGGER)
    kind, after = "TRIGGER", "BEFORE"
    how = ""
    if deferred:
        kind, after, how = "CONSTRAINT TRIGGER", "AFTER", "DEFERRABLE INITIALLY DEFERRED"
    session.execute(
        f"CREATE {kind} stop {after} {event} ON {table} {how} FOR EACH ROW WHEN ({when})"
        f" EXECUTE FUNCTION points.stop('{does}')"
    )
