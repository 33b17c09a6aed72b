"""Asking for comparisons of what a test has loaded; no tests."""

from typing import Any
from uuid import UUID

from pipelines.definition import freeze, position_hash
from pipelines.models import Installation, Pipeline
from runner.addresses import definition_of
from runner.comparing.compare import compare
from runner.comparing.values import Kind, Level, Report, Request, no_progress
from runner.plan import Definition, Identity
from runner.reconcile import guarded

Row = tuple[str | None, ...]
#: Of no saved pipeline, which has no checkpoint anywhere.
NOBODY = Identity(
    pipeline=UUID(int=0), installation=UUID(int=0), generation=0, epoch=0, definition_hash=""
)


def request_of(pipeline: Pipeline, **values: Any) -> Request:
    """What the control plane would ask, of a saved pipeline."""
    pipeline.refresh_from_db()
    identity = Identity(
        pipeline=pipeline.pk,
        installation=Installation.objects.get().uid,
        generation=0,
        epoch=pipeline.checkpoint_epoch,
        definition_hash=position_hash(freeze(pipeline)),
    )
    given = {"level": Level.ROWS, "seconds": 60.0} | values
    return Request(definition=definition_of(pipeline), identity=identity, **given)


def counting(definition: Definition, *, seconds: float) -> Report:
    """Count both sides as the control plane does. Raises ReconcileFailed and Rejected."""
    request = Request(definition=definition, identity=NOBODY, level=Level.COUNT, seconds=seconds)
    return guarded(lambda: request, lambda: None, no_progress)


def compared(pipeline: Pipeline, **values: Any) -> Report:
    """Compare at the level of rows unless told otherwise."""
    return compare(request_of(pipeline, **values))


def assert_equal(pipeline: Pipeline, **values: Any) -> Report:
    """Every level must find both sides equal."""
    for level in Level:
        report = compared(pipeline, level=level, **values)
        assert report.equal, (level, report)
        assert report.status == "OK"
        assert report.difference == 0
    assert (report.missing, report.extra, report.different) in ((0, 0, 0), (None, None, None))
    assert report.sample == ()
    return report


def found(report: Report) -> dict[Kind, set[Row]]:
    """The keys of the sample by kind."""
    kinds: dict[Kind, set[Row]] = {kind: set() for kind in Kind}
    for difference in report.sample:
        kinds[difference.kind].add(difference.key)
    return kinds


def columns_of(report: Report) -> dict[Row, set[str]]:
    """Of each row that is different: the columns that are."""
    return {
        difference.key: {change.column for change in difference.changes}
        for difference in report.sample
        if difference.kind is Kind.DIFFERENT
    }
