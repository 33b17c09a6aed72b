"""Both sides of a comparison as places to ask: which rows, which columns, hashed how."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from runner.comparing.asking import Pair, copied, one_row
from runner.comparing.forms import Form, Hashing, forms_of, takes_tolerance
from runner.comparing.values import Request
from runner.plan import Column, Mode, Nulls, Position
from runner.preflight.match import check_keys
from runner.preflight.promise import bounds_for, promise_for
from runner.preflight.query import describe_query, stripped
from runner.preflight.table import Table, find_table
from runner.preflight.values import Rejected
from runner.statements import checkpoint, comparing
from runner.statements.comparing import Place, Ranges

#: More rows than this are not left out one by one.
MOST_WAITING = 10_000
_OLDEST_WITH_RECORD = 140000


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Where to ask. `table` is None when the target table does not exist."""

    source: Place
    target: Place
    table: Table | None
    waiting: int = 0
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Form, ...]:
        """What tells rows apart; empty where nothing does."""
        return self.source.key

    def with_ranges(self, ranges: Ranges) -> "Sides":
        """The same, cut into segments."""
        return replace(
            self,
            source=replace(self.source, ranges=ranges),
            target=replace(self.target, ranges=ranges),
        )


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What both servers say of the definition before a row is looked at."""

    query: str
    table: Table | None
    columns: tuple[Column, ...]
    key: tuple[Form, ...]
    forms: tuple[Form, ...]
    hashing: Hashing
    order: tuple[Column, ...] = ()


def match(request: Request, pair: Pair) -> Matched:
    """Describe the query and the table, and find how to hash. Raises Rejected."""
    definition = request.definition
    query = stripped(definition.source_query)
    columns = describe_query(pair.source, query)
    table = find_table(pair.target, definition.target_table)
    names = check_keys(definition, columns, table)
    targets = columns if table is None else _targets(request, columns, table)
    _check_tolerances(request, targets)
    forms = forms_of(columns, targets, dict(request.tolerances))
    by_name = {form.name: form for form in forms}
    order: tuple[Column, ...] = ()
    if definition.mode is Mode.INCREMENTAL:
        first = definition.incremental_key or ""
        by_column = {column.name: column for column in columns}
        order = tuple(by_column[n] for n in (first, *(n for n in names if n != first)))
    return Matched(
        query=query,
        table=table,
        columns=columns,
        key=tuple(by_name[name] for name in names),
        forms=forms,
        hashing=_hashing(pair),
        order=order,
    )


def sides(request: Request, matched: Matched, pair: Pair) -> Sides:
    """The rows of both sides that should be equal, over sessions that are in their snapshots."""
    source = Place(
        source=True,
        rows=comparing.source_rows(matched.query),
        hashing=matched.hashing,
        key=matched.key,
        columns=matched.forms,
        ranges=Ranges(first=None),
    )
    rows = comparing.target_rows(request.definition.target_table)
    target = replace(source, source=False, rows=rows)
    if request.deleted and matched.table is not None:
        target = replace(target, conditions=(comparing.not_deleted(request.deleted),))
    found = Sides(source=source, target=target, table=matched.table)
    position = _position(request, matched, pair)
    return found if position is None else _up_to(request, matched, pair, found, position)


def _up_to(
    request: Request, matched: Matched, pair: Pair, found: Sides, position: Position
) -> Sides:
    """Without the rows that the next run will load, on either side."""
    order = matched.order
    promise = promise_for(pair.source, order[0], request.definition.late_margin)
    bounds = bounds_for(pair.source, replace(promise, horizon=False), order[0], position)
    if bounds.reads_again and bounds.lower is None:
        return found
    waits = replace(bounds, upper=None, xid=False)
    statement = comparing.waiting_keys(
        matched.query, order, matched.key, waits, most=MOST_WAITING + 1
    )
    keys = list(copied(pair.source, statement))
    if len(keys) > MOST_WAITING:
        return replace(found, waiting=len(keys), notes=(_BEHIND.format(most=MOST_WAITING),))
    include = request.definition.null_policy is Nulls.INCLUDE
    read = comparing.up_to(order, waits, with_placeless=include)
    source = replace(found.source, conditions=(*found.source.conditions, read))
    target = found.target
    if keys:
        waiting = comparing.among(matched.key, keys, source=False)
        left_out = sql.SQL("NOT coalesce({}, false)").format(waiting)
        target = replace(target, conditions=(*target.conditions, left_out))
    return replace(found, source=source, target=target, waiting=len(keys))


def _position(request: Request, matched: Matched, pair: Pair) -> Position | None:
    """Where the target's rows stand, by its own checkpoint in the same snapshot."""
    if request.definition.mode is not Mode.INCREMENTAL or matched.table is None:
        return None
    me = request.identity
    if one_row(pair.target, checkpoint.exists(me.state_schema))[0] is None:
        return None
    rows = list(copied(pair.target, comparing.position(me)))
    if not rows or rows[0][0] is None:
        return None
    cursor, cursor_type, key = rows[0]
    if cursor_type != matched.order[0].type_name:
        return None  # the next run says so
    return Position(
        cursor=cursor or "", cursor_type=cursor_type or "", key=tuple(json.loads(key or "[]"))
    )


def _targets(request: Request, columns: Sequence[Column], table: Table) -> tuple[Column, ...]:
    found = [table.column(column.name) for column in columns]
    lacking = [c.name for c, match in zip(columns, found, strict=True) if match is None]
    if lacking:
        listed = ", ".join(f"“{name}”" for name in lacking)
        raise Rejected(
            {
                "source_query": [
                    f"The table {request.definition.target_table} has no column {listed}. Add it, "
                    "or leave it out of the query."
                ]
            }
        )
    return tuple(column for column in found if column is not None)


def _check_tolerances(request: Request, targets: Sequence[Column]) -> None:
    able = {column.name for column in targets if takes_tolerance(column)}
    wrong = [name for name in request.tolerances if name not in able]
    if wrong:
        listed = ", ".join(f"“{name}”" for name in wrong)
        raise Rejected(
            {
                "tolerances": [
                    f"Only columns of the query with a fraction (real, double precision, numeric) "
                    f"take a tolerance: not {listed}."
                ]
            }
        )


def _hashing(pair: Pair) -> Hashing:
    """The fastest way in which both servers make the same number of the same row."""
    sessions = (pair.source, pair.target)
    if len({one_row(s, sql.SQL("SHOW server_encoding"))[0] for s in sessions}) == 1:
        for hashing, probe in comparing.PROBES.items():
            if hashing is Hashing.RECORD and any(
                session.info.server_version < _OLDEST_WITH_RECORD for session in sessions
            ):
                continue
            if len({tuple(one_row(session, probe)) for session in sessions}) == 1:
                return hashing
    return Hashing.MD5


def same_words(pair: Pair) -> None:
    """Values whose text depends on the time zone get the same text on both sides."""
    zone = one_row(pair.source, sql.SQL("SHOW TimeZone"))[0]
    pair.target.execute("SELECT set_config('TimeZone', %s, false)", [zone])


_BEHIND = (
    "More than {most:,} rows wait to be loaded, so both sides were compared as they are. Run the "
    "pipeline first to compare what is loaded."
)
