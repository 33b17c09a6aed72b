"""One comparison from beginning to end: the page to read first."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from psycopg import sql

from runner.comparing.answers import details, ranges_of
from runner.comparing.asking import Fields, Pair, copied, one_row, snapshot
from runner.comparing.search import Found, find_rows, in_ranges, sum_up
from runner.comparing.sessions import signed_in
from runner.comparing.sides import Sides, match, next_bounds, same_words, sides
from runner.comparing.values import (
    Done,
    Kind,
    Level,
    Progress,
    Report,
    Request,
    no_progress,
)
from runner.connections import Session, Tick
from runner.statements import comparing
from runner.statements.comparing import Place

#: So many ranges of keys are told apart in the answer.
MOST_RANGES = 60


def compare(
    request: Request, *, tick: Tick = lambda: None, progress: Progress = no_progress
) -> Report:
    """Compare both sides within `request.seconds`, in one snapshot of each, writing nothing.

    Raises Rejected, RunError, psycopg.Error (QueryCanceled when the time is over) and what `tick`
    raises, which ends what runs.
    """
    with opened(request, tick) as (pair, found):
        progress(Done(phase="counting"))
        if request.level is Level.COUNT:
            return _counted(request, found, pair)
        if not found.key:
            return _as_a_whole(request, found, pair)
        return _by_key(request, found, pair, progress)


@contextmanager
def opened(
    request: Request, tick: Tick, *, source: Session | None = None
) -> Iterator[tuple[Pair, Sides]]:
    """Sessions with both sides, each in a snapshot of its own, the target's taken first.

    `source` as in `signed_in`.
    """
    with signed_in(request.definition, seconds=request.seconds, tick=tick, source=source) as pair:
        same_words(pair)
        matched = match(request, pair)
        # What is in the target was in the source before: looked at in the other order, rows that
        # arrive meanwhile would seem to be extra.
        with snapshot(pair.target):
            if matched.table is not None:
                pair.target.run(comparing.keep(request.definition.target_table))
            one_row(pair.target, comparing.SEE)
            bounds = next_bounds(request, matched, pair)
            with snapshot(pair.source):
                yield pair, sides(request, matched, pair, bounds)


def _counted(request: Request, found: Sides, pair: Pair) -> Report:
    source, target = _ask(found, pair, comparing.total)
    counts = [int(side[0][0] or 0) for side in (source, target)]
    return _report(request, found, *counts, equal=source == target)


def _as_a_whole(request: Request, found: Sides, pair: Pair) -> Report:
    """Without a key: how many rows, and whether they are the same ones, in whichever order."""
    report = _sums(request, found, pair)
    if not report.equal and report.difference == 0 and any(request.tolerances.values()):
        exact = tuple(form for form in found.source.columns if form.tolerance is None)
        segments = sum_up(found.with_key(exact), pair, no_progress)
        rows = find_rows(segments, pair, sample=0, progress=no_progress)
        report = replace(report, equal=not any(rows.total(kind) for kind in Kind))
    return replace(report, notes=(*report.notes, _NO_KEY))


def _sums(request: Request, found: Sides, pair: Pair) -> Report:
    """Both sides as a whole: the quickest way to see that nothing differs."""
    source, target = _ask(found, pair, comparing.whole)
    counts = [int(side[0][0] or 0) for side in (source, target)]
    return _report(request, found, *counts, equal=source == target)


def _ask(
    found: Sides, pair: Pair, statement: Callable[[Place], sql.Composed]
) -> tuple[list[Fields], list[Fields]]:
    """One row of each side; of a table that is not there zeros."""
    if found.table is not None:
        return pair.both(statement(found.source), statement(found.target))
    source = list(copied(pair.source, statement(found.source)))
    return source, [["0"] * len(row) for row in source]


def _by_key(request: Request, found: Sides, pair: Pair, progress: Progress) -> Report:
    if request.level is Level.CHECKSUM:
        report = _sums(request, found, pair)
        if report.equal:
            return report
    segments = sum_up(in_ranges(found, pair), pair, progress)
    counts = [sum(s.rows for s in side.values()) for side in (segments.source, segments.target)]
    rows: Found | None = None
    equal = not segments.differing
    if not equal and (request.level is Level.ROWS or request.tolerances):
        rows = find_rows(segments, pair, sample=request.sample, progress=progress)
        equal = not any(rows.total(kind) for kind in Kind)
    report = _report(request, found, *counts, equal=equal)
    report = replace(report, ranges=ranges_of(segments, rows, most=MOST_RANGES))
    if request.level is not Level.ROWS:
        return report
    rows = rows or Found()
    return replace(
        report,
        missing=rows.total(Kind.MISSING),
        extra=rows.total(Kind.EXTRA),
        different=rows.total(Kind.DIFFERENT),
        sample=details(segments.sides, pair, rows),
    )


def _report(request: Request, found: Sides, source: int, target: int, *, equal: bool) -> Report:
    notes = list(found.notes)
    if found.table is None:
        notes.append(_NO_TABLE.format(name=request.definition.target_table))
    return Report(
        level=request.level,
        source_count=source,
        target_count=target,
        equal=equal,
        waiting=found.waiting,
        key=tuple(form.name for form in found.key),
        notes=tuple(notes),
    )


_NO_TABLE = "The table {name} does not exist yet: run the pipeline, and it is created."
_NO_KEY = (
    "Without key columns rows cannot be told apart, so both sides were compared as a whole. Name "
    "key columns, or give the table a primary key, to see which rows differ and to repair them."
)
__all__ = ["MOST_RANGES", "compare", "opened"]
