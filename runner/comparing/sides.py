"""Both sides of a comparison as places to ask: which rows, which columns, hashed how."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from runner.comparing.asking import Pair, copied, one_row
from runner.comparing.forms import Form, Hashing, forms_of, takes_tolerance
from runner.comparing.values import Level, Request
from runner.connections import Session
from runner.plan import Column, Mode, Nulls, Position, Privileged
from runner.preflight.match import check_keys
from runner.preflight.powers import check_source_role
from runner.preflight.promise import bounds_for, promise_for
from runner.preflight.query import describe_query, stripped
from runner.preflight.table import Table, check_allowed, check_not_metadata, find_table
from runner.preflight.values import Rejected
from runner.statements import checkpoint, checkpointed, comparing
from runner.statements.comparing import Place, Ranges
from runner.statements.hashes import PROBES
from runner.statements.source import Bounds, placeless

#: More rows than this are not left out one by one: their keys are held here, and sent.
MOST_WAITING = 50_000
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

    def with_key(self, key: tuple[Form, ...]) -> "Sides":
        """The same, rows told apart by other columns."""
        return replace(
            self, source=replace(self.source, key=key), target=replace(self.target, key=key)
        )

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
    check_allowed(definition)
    if definition.privileged is Privileged.REFUSE:
        check_source_role(definition, pair.source)
    check_not_metadata(pair.target, definition.target_table)
    query = stripped(definition.source_query)
    columns = describe_query(pair.source, query)
    table = find_table(pair.target, definition.target_table)
    names = check_keys(definition, columns, table)
    targets = columns if table is None else _targets(request, columns, table)
    _check_tolerances(request, targets, names)
    _check_deleted(request, table)
    one_encoding = _have_one_encoding(pair)
    forms = forms_of(columns, targets, dict(request.tolerances), one_encoding=one_encoding)
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
        hashing=_hashing(pair) if one_encoding else Hashing.MD5,
        order=order,
    )


def sides(request: Request, matched: Matched, pair: Pair, bounds: Bounds | None) -> Sides:
    """The rows of both sides that should be equal, over sessions that are in their snapshots.

    `bounds` are those of the next run, None where it reads everything.
    """
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
    if bounds is not None:
        return _up_to(request, matched, pair, found, bounds)
    if matched.order and request.definition.null_policy is not Nulls.INCLUDE:
        read = sql.SQL("NOT ({})").format(placeless(matched.order[0]))
        return replace(found, source=replace(source, conditions=(read,)))
    return found


def next_bounds(request: Request, matched: Matched, pair: Pair) -> Bounds | None:
    """What the next run will read, by the checkpoint that the target's snapshot has.

    None where it reads everything. The source is not in its snapshot yet: a margin that reaches
    too far is an error there.
    """
    position = _position(request, matched, pair)
    if position is None:
        return None
    first = matched.order[0]
    promise = promise_for(pair.source, first, request.definition.late_margin)
    bounds = bounds_for(pair.source, replace(promise, horizon=False), first, position)
    return None if bounds.reads_again and bounds.lower is None else replace(bounds, xid=False)


def _up_to(request: Request, matched: Matched, pair: Pair, found: Sides, bounds: Bounds) -> Sides:
    """Without the rows that the next run will load, on either side."""
    order = matched.order
    statement = checkpointed.waiting_keys(
        matched.query, order, matched.key, bounds, most=MOST_WAITING + 1
    )
    keys = list(copied(pair.source, statement))
    if len(keys) > MOST_WAITING:
        return replace(found, waiting=len(keys), notes=(_BEHIND.format(most=MOST_WAITING),))
    include = request.definition.null_policy is Nulls.INCLUDE
    read = checkpointed.up_to(order, bounds, with_placeless=include)
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
    if one_row(pair.target, checkpoint.exists(me.state_schema)) == [None]:
        return None
    rows = list(copied(pair.target, checkpointed.position(me)))
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
    if request.level is Level.COUNT:  # rows are counted whatever their columns
        return tuple(match or column for column, match in zip(columns, found, strict=True))
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


def _check_tolerances(request: Request, targets: Sequence[Column], key: Sequence[str]) -> None:
    able = {column.name for column in targets if takes_tolerance(column)}
    sentences = [
        f"“{name}” tells rows apart, so it takes no tolerance."
        for name in request.tolerances
        if name in key
    ]
    if wrong := [name for name in request.tolerances if name not in able]:
        listed = ", ".join(f"“{name}”" for name in wrong)
        sentences.append(
            "Only columns of the query with a fraction (real, double precision, numeric) take a "
            f"tolerance: not {listed}."
        )
    sentences += [
        f"The tolerance of “{name}” must be a number that is not negative."
        for name, tolerance in request.tolerances.items()
        if not (math.isfinite(tolerance) and tolerance >= 0)
    ]
    if sentences:
        raise Rejected({"tolerances": sentences})


def _check_deleted(request: Request, table: Table | None) -> None:
    if request.deleted and table is not None and table.column(request.deleted) is None:
        name = request.definition.target_table
        sentence = (
            f"The table {name} has no column “{request.deleted}”, which marks rows as deleted."
        )
        raise Rejected({"target_table": [sentence]})


def _have_one_encoding(pair: Pair) -> bool:
    return _shown(pair.source, "server_encoding") == _shown(pair.target, "server_encoding")


def _shown(session: Session, setting: str) -> str:
    """Of those settings that a server tells its clients by itself."""
    return session.info.parameter_status(setting) or ""


def _hashing(pair: Pair) -> Hashing:
    """The fastest way in which both servers make the same number of the same row."""
    sessions = (pair.source, pair.target)
    for hashing, probe in PROBES.items():
        if hashing is Hashing.RECORD and any(
            session.info.server_version < _OLDEST_WITH_RECORD for session in sessions
        ):
            continue
        if len({tuple(one_row(session, probe)) for session in sessions}) == 1:
            return hashing
    return Hashing.MD5


def same_words(pair: Pair) -> None:
    """Values whose text depends on the time zone get the same text on both sides."""
    zone = _shown(pair.source, "TimeZone")
    # A zone that the target does not know is an error; its own is as good as another then.
    with suppress(psycopg.errors.InvalidParameterValue):
        pair.target.execute("SELECT set_config('TimeZone', %s, false)", [zone])


_BEHIND = (
    "More than {most:,} rows wait to be loaded, so both sides were compared as they are. Run the "
    "pipeline first to compare what is loaded."
)
