"""What is wrong with a pipeline's definition, as far as it can be told without its servers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from pipelines.choices import DeleteMissing, Mode, NullPolicy, PipelineType, Publish
from pipelines.models import DEFAULT_CONNECTION, MAX_BATCH_SIZE, Connection, Pipeline
from pipelines.names import BadName, TableName
from pipelines.validation.running import (
    Check,
    Errors,
    Finding,
    identifier,
    listed,
    run,
    short,
    taken,
    whole_number,
)
from pipelines.validation.schemas import forbidden

MAX_NAME_LENGTH = 200
MAX_QUERY_LENGTH = 100_000
MAX_MARGIN_LENGTH = 100
#: PostgreSQL has at most that many columns in an index (INDEX_MAX_KEYS).
MAX_KEY_COLUMNS = 32

_NUMBER = r"\d+(?:\.\d+)?"
_UNIT = (
    r"(?:microseconds?|us|milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h"
    r"|days?|d|weeks?|w|months?|mons?|years?|yrs?|y)"
)
_CLOCK = r"\d+:\d{1,2}(?::\d{1,2}(?:\.\d+)?)?"
_ISO_TIME = rf"T(?=\d)(?:\d+H)?(?:\d+M)?(?:{_NUMBER}S)?"
_ISO = rf"P(?=[\dT])(?:\d+Y)?(?:\d+M)?(?:\d+W)?(?:\d+D)?(?:{_ISO_TIME})?"
_WORDS = rf"{_NUMBER}\s*{_UNIT}(?:\s+{_NUMBER}\s*{_UNIT})*(?:\s+{_CLOCK})?"
#: The usual ways to write an interval or a number; PostgreSQL has the final say at the run.
_MARGIN = re.compile(rf"{_NUMBER}|{_ISO}|{_CLOCK}|{_WORDS}", re.IGNORECASE | re.ASCII)


def check_definition(values: Mapping[str, Any], *, instance: Pipeline | None = None) -> Errors:
    """Sentences by field of what is wrong with `values`, the model's fields (connections as rows).

    With an `instance` they are a change to it: what is absent stays, and only what really changes
    is checked, so that disabling works whatever else has become wrong since.
    """
    errors = run(_CHECKS, values, instance=instance, new=_NEW)
    name = values.get("name")
    if name and "name" not in errors and taken(Pipeline, name, instance):
        errors["name"] = [duplicate_name(name)]
    if not errors:
        errors.update(_shared(values, instance))
    return errors


def _shared(values: Mapping[str, Any], instance: Pipeline | None) -> Errors:
    """Rows of another pipeline's are not in the source of one that looks for gone rows."""
    before = {field: getattr(instance, field, _NEW[field]) for field in _SHARED}
    now = before | {field: values[field] for field in _SHARED if field in values}
    if instance is not None and now == before:
        return {}
    connection = now["target_connection"] or Connection.objects.get(name=DEFAULT_CONNECTION)
    table = TableName.parse(now["target_table"])
    facts = {"table": now["target_table"]}
    deletes = now["delete_missing"] not in ("", DeleteMissing.OFF)
    others = Pipeline.objects.exclude(pk__in=[instance.pk] if instance else [])
    for other in others.writing_to(connection, table):
        facts["name"] = other.name
        if deletes:
            sentence = _(
                "The pipeline “%(name)s” writes to the table %(table)s too, and its rows would be "
                "taken for gone ones. Choose off, or give one of both another table."
            )
            return {"delete_missing": [sentence % facts]}
        if other.delete_missing != DeleteMissing.OFF:
            sentence = _(
                "The pipeline “%(name)s” takes rows of the table %(table)s that its source does "
                "not have for gone ones. Name another table."
            )
            return {"target_table": [sentence % facts]}
    return {}


def duplicate_name(name: str) -> str:
    """The sentence for a name that another pipeline has."""
    return _("There is a pipeline “%(name)s” already. Choose another name.") % {"name": name}


def warnings_for(pipeline: Pipeline) -> list[str]:
    """What is allowed but seldom meant: other pipelines that write to the same table."""
    table = TableName.parse(pipeline.target_table)
    others = Pipeline.objects.exclude(pk=pipeline.pk)
    names = [o.name for o in others.writing_to(pipeline.target_connection, table)]
    sentence = _("The pipeline “%(name)s” writes to the table %(table)s too.")
    return [sentence % {"name": name, "table": pipeline.target_table} for name in names[:5]]


def _name(values: Mapping[str, Any]) -> Iterator[Finding]:
    name = values["name"] or ""
    if not name.strip():
        yield "name", _("Give the pipeline a name, for example film_dim_full.")
    elif "\0" in name:
        yield "name", _("A name cannot contain the character NUL.")
    elif len(name) > MAX_NAME_LENGTH:
        yield "name", _("The name is longer than %(most)d characters.") % {"most": MAX_NAME_LENGTH}


def _type(values: Mapping[str, Any]) -> Iterator[Finding]:
    if values["type"] == PipelineType.PYTHON:
        yield "type", _("Python pipelines are not available yet. Use the type SQL.")
    else:
        yield from listed("type", values["type"], [PipelineType.SQL.value])


def _mode(values: Mapping[str, Any]) -> Iterator[Finding]:
    yield from listed("mode", values["mode"], Mode.values)


def _incremental_key(values: Mapping[str, Any]) -> Iterator[Finding]:
    key = values["incremental_key"]
    sentence = _(
        "Incremental mode needs the column whose growing value says “changed since”, "
        "for example modified."
    )
    if values["mode"] == Mode.INCREMENTAL or key:
        yield from identifier("incremental_key", key, when_empty=sentence)


def _batch_size(values: Mapping[str, Any]) -> Iterator[Finding]:
    sentence = _("The batch size must be a whole number from 1 to 1,000,000.")
    yield from whole_number(
        "batch_size", values["batch_size"], most=MAX_BATCH_SIZE, sentence=sentence
    )


def _target_table(values: Mapping[str, Any]) -> Iterator[Finding]:
    connection = values["target_connection"] or Connection.objects.get(name=DEFAULT_CONNECTION)
    try:
        table = TableName.parse(values["target_table"] or "")
    except BadName as error:
        yield "target_table", _(error.sentence) % error.facts
        return
    if sentence := forbidden(table.schema, connection):
        yield "target_table", sentence


def _source_query(values: Mapping[str, Any]) -> Iterator[Finding]:
    query = values["source_query"] or ""
    if not query.strip():
        yield "source_query", _("Write the query: one SELECT.")
    elif "\0" in query:
        yield "source_query", _("The query contains the character NUL. Remove it.")
    elif len(query) > MAX_QUERY_LENGTH:
        sentence = _("The query has %(length)d characters; at most %(most)d are possible.")
        yield "source_query", sentence % {"length": len(query), "most": MAX_QUERY_LENGTH}


def _key_columns(values: Mapping[str, Any]) -> Iterator[Finding]:
    columns = values["key_columns"]
    if len(columns) > MAX_KEY_COLUMNS:
        yield "key_columns", _("A key has at most %(most)d columns.") % {"most": MAX_KEY_COLUMNS}
    if len(set(columns)) < len(columns):
        yield "key_columns", _("A column is named twice in the key.")
    for column in columns:
        yield from identifier("key_columns", column, when_empty=_("A column's name is empty."))


def _publish(values: Mapping[str, Any]) -> Iterator[Finding]:
    yield from listed("publish", values["publish"], Publish.values)


def _max_shrink_percent(values: Mapping[str, Any]) -> Iterator[Finding]:
    percent = values["max_shrink_percent"]
    if percent is not None and (
        isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 99
    ):
        yield "max_shrink_percent", _("Give a whole number from 0 to 99, or none for no limit.")


def _null_policy(values: Mapping[str, Any]) -> Iterator[Finding]:
    yield from listed("null_policy", values["null_policy"], NullPolicy.values)


def _late_margin(values: Mapping[str, Any]) -> Iterator[Finding]:
    margin = (values["late_margin"] or "").strip()
    if margin and (len(margin) > MAX_MARGIN_LENGTH or not _MARGIN.fullmatch(margin)):
        sentence = _(
            "“%(margin)s” is neither a length of time like 10 minutes, 1 day or PT10M, "
            "nor a number of at least 0."
        )
        yield "late_margin", sentence % {"margin": short(margin)}


def _delete_missing(values: Mapping[str, Any]) -> Iterator[Finding]:
    yield from listed("delete_missing", values["delete_missing"], DeleteMissing.values)
    if values["delete_missing"] not in ("", DeleteMissing.OFF) and values["mode"] == Mode.FULL:
        yield "delete_missing", _("A full load deletes what the query does not return by itself.")


def _delete_column(values: Mapping[str, Any]) -> Iterator[Finding]:
    column = values["delete_column"]
    if values["delete_missing"] != DeleteMissing.SOFT:
        if column:
            yield "delete_column", _("Only with soft are rows marked: leave this empty.")
        return
    sentence = _("Name the table's column that marks deleted rows, for example deleted_at.")
    yield from identifier("delete_column", column, when_empty=sentence)
    if column and column in (*values["key_columns"], values["incremental_key"]):
        yield "delete_column", _("The mark cannot be a key of the rows. Name another column.")


def _max_delete_percent(values: Mapping[str, Any]) -> Iterator[Finding]:
    percent = values["max_delete_percent"]
    if percent is not None and (
        isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100
    ):
        yield "max_delete_percent", _("Give a whole number from 0 to 100, or none for no limit.")


_SHARED = ("target_connection", "target_table", "delete_missing")
_NEW: Mapping[str, Any] = {
    "name": "",
    "type": PipelineType.SQL,
    "mode": Mode.FULL,
    "incremental_key": None,
    "batch_size": 5000,
    "target_table": "",
    "target_connection": None,
    "source_query": "",
    "key_columns": [],
    "publish": Publish.AUTO,
    "max_shrink_percent": None,
    "null_policy": NullPolicy.FAIL,
    "late_margin": None,
    "delete_missing": DeleteMissing.OFF,
    "delete_column": None,
    "max_delete_percent": 10,
}
_CHECKS: tuple[Check, ...] = (
    (("name",), _name),
    (("type",), _type),
    (("mode",), _mode),
    (("mode", "incremental_key"), _incremental_key),
    (("batch_size",), _batch_size),
    (("target_table", "target_connection"), _target_table),
    (("source_query",), _source_query),
    (("key_columns",), _key_columns),
    (("publish",), _publish),
    (("max_shrink_percent",), _max_shrink_percent),
    (("null_policy",), _null_policy),
    (("late_margin",), _late_margin),
    (("delete_missing", "mode"), _delete_missing),
    (("delete_column", "delete_missing", "key_columns", "incremental_key"), _delete_column),
    (("max_delete_percent",), _max_delete_percent),
)
