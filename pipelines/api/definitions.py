"""Storing definitions: ask the servers what they think of one, then store it, or nothing at all."""

from collections.abc import Mapping
from typing import Any

from pipelines import changes, lifecycle, limits
from pipelines.api.naming import unique_name
from pipelines.busy import alone
from pipelines.definition import DATA_FIELDS, is_editable
from pipelines.models import Connection, Pipeline
from pipelines.secrets import Unreadable
from pipelines.validation import duplicate_name
from runner import preflight


def create(values: Mapping[str, Any], *, by: Any) -> tuple[Pipeline, tuple[str, ...]]:
    """A new pipeline and the preflight's warnings.

    Raises Rejected, ValidationError, LimitReached and Busy.
    """
    pipeline = Pipeline(**values)
    warnings = _ask(pipeline, by=by)
    with unique_name(duplicate_name(pipeline.name)):
        changes.create(pipeline, by=by)
    return pipeline, warnings


def change(pipeline: Pipeline, values: Mapping[str, Any], *, by: Any) -> tuple[str, ...]:
    """Store `values` on the pipeline; gives the preflight's warnings.

    The servers are asked only when what defines the data really changes, which is refused while a
    run is requested or active. Raises Rejected, TransitionRefused, ValidationError, LimitReached
    and Busy.
    """
    changed = {name for name, value in values.items() if getattr(pipeline, name) != value}
    for name in changed:
        setattr(pipeline, name, values[name])
    warnings: tuple[str, ...] = ()
    if changed & set(DATA_FIELDS):
        if not is_editable(pipeline.status):
            raise lifecycle.refusal(pipeline.pk, "edit")
        warnings = _ask(pipeline, by=by)
    with unique_name(duplicate_name(pipeline.name)):
        lifecycle.edit(pipeline, changed, by=by)
    return warnings


def preview(pipeline: Pipeline, *, rows: int) -> preflight.Preview:
    """What the definition on `pipeline`, stored or not, looks like; stores nothing.

    Raises Rejected and Busy.
    """
    _open_secrets(pipeline)
    with alone(pipeline.source_connection, pipeline.target_connection):
        return preflight.preview(preflight.definition_of(pipeline), rows=rows)


def _ask(pipeline: Pipeline, *, by: Any) -> tuple[str, ...]:
    limits.spend(by, "check")
    _open_secrets(pipeline)
    with alone(pipeline.source_connection, pipeline.target_connection, to_save=True):
        return preflight.inspect(preflight.definition_of(pipeline)).warnings


def _open_secrets(pipeline: Pipeline) -> None:
    _open_secret("source", pipeline.source_connection)
    _open_secret("target", pipeline.target_connection)


def _open_secret(side: str, connection: Connection) -> None:
    try:
        preflight.address_of(connection)
    except Unreadable as error:
        field = f"{side}_connection"
        raise preflight.Rejected({field: [str(error)]}, f"{side}_unavailable") from error
