"""One comparison from beginning to end: the page to read first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from runner.comparing.asking import Fields, Pair, copied, one_row, snapshot
from runner.comparing.search import (
    Found,
    details,
    find_rows,
    in_ranges,
    ranges_of,
    sum_up,
)
from runner.comparing.sides import Sides, match, same_words, sides
from runner.comparing.values import (
    Done,
    Kind,
    Level,
    Progress,
    Report,
    Request,
    no_progress,
)
from runner.connections import Tick, reading, writing
from runner.plan import Definition
from runner.statements import comparing
from runner.watchdog import limited

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
def opened(request: Request, tick: Tick) -> Iterator[tuple[Pair, Sides]]:
    """Sessions with both sides, each in a snapshot of its own, the target's taken first."""
    definition = request.definition
    with (
        _signed_in(definition, tick) as pair,
        limited(pair.source, request.seconds),
        limited(pair.target, request.seconds),
    ):
        source, target = pair.source, pair.target
        milliseconds = [str(max(1, int(request.seconds * 1000)))]
        for session in (source, target):
            session.execute("SELECT set_config('statement_timeout', %s, false)", milliseconds)
            session.execute("SELECT set_config('lock_timeout', %s, false)", milliseconds)
        target.execute("SET default_transaction_read_only = on")
        same_words(pair)
        matched = match(request, pair)
        # What is in the target was in the source before: looked at in the other order, rows that
        # arrive meanwhile would seem to be extra.
        with snapshot(target):
            one_row(target, _SEE)
            with snapshot(source):
                yield pair, sides(request, matched, pair)


@contextmanager
def _signed_in(definition: Definition, tick: Tick) -> Iterator[Pair]:
    """Sessions with both servers, opened at the same time."""
    with ExitStack() as sessions:
        with ThreadPoolExecutor(max_workers=1) as pool:
            target = pool.submit(sessions.enter_context, writing(definition.target, tick=tick))
            source = sessions.enter_context(reading(definition.source, tick=tick))
        yield Pair(source, target.result())


def _counted(request: Request, found: Sides, pair: Pair) -> Report:
    source = int(one_row(pair.source, comparing.total(found.source))[0] or 0)
    target = 0
    if found.table is not None:
        target = int(one_row(pair.target, comparing.total(found.target))[0] or 0)
    return _report(request, found, source, target, equal=source == target)


def _as_a_whole(request: Request, found: Sides, pair: Pair) -> Report:
    """Without a key: how many rows, and whether they are the same ones, in whichever order."""
    report = _sums(request, found, pair)
    return replace(report, notes=(*report.notes, _NO_KEY))


def _sums(request: Request, found: Sides, pair: Pair) -> Report:
    """Both sides as a whole: the quickest way to see that nothing differs."""
    target: list[Fields] = [["0", "0"]]
    if found.table is None:
        source = list(copied(pair.source, comparing.whole(found.source)))
    else:
        source, target = pair.both(comparing.whole(found.source), comparing.whole(found.target))
    counts = [int(side[0][0] or 0) for side in (source, target)]
    return _report(request, found, *counts, equal=source == target)


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


_SEE = comparing.SEE
_NO_TABLE = "The table {name} does not exist yet: run the pipeline, and it is created."
_NO_KEY = (
    "Without key columns rows cannot be told apart, so both sides were compared as a whole. Name "
    "key columns, or give the table a primary key, to see which rows differ and to repair them."
)
__all__ = ["MOST_RANGES", "compare", "opened"]
