"""A new pipeline that begins as another one is: what the form for it is filled with."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import ValidationError
from django.urls import reverse

from pipelines.definition import FIELDS
from pipelines.models import Pipeline
from pipelines.names import MAX_BYTES, TableName
from pipelines.validation import MAX_NAME_LENGTH

_COPY_OF = "copy_of"
_SUFFIX = "_copy"


def address(key: UUID) -> str:
    """Where a copy of the pipeline is begun."""
    return f"{reverse('admin:pipelines_pipeline_add')}?{urlencode({_COPY_OF: key})}"


def initial(parameters: Any) -> dict[str, Any]:
    """The definition that `parameters` (of the page's address) asks to copy; empty: none.

    Name and table are new ones: two pipelines that write one table would undo each other's work.
    """
    try:
        original = Pipeline.objects.filter(pk=parameters.get(_COPY_OF)).first()
    except ValidationError:
        return {}
    if original is None:
        return {}
    values = {name: getattr(original, name) for name in FIELDS}
    return values | {
        "name": _free_name(original.name),
        "target_table": _free_table(original),
    }


def _free_name(name: str) -> str:
    taken = set(Pipeline.objects.filter(name__startswith=name[:100]).values_list("name", flat=True))
    return next(
        candidate
        for number in range(1, len(taken) + 2)
        if (candidate := _numbered(name, number)) not in taken
    )


def _numbered(name: str, number: int) -> str:
    suffix = _SUFFIX if number == 1 else f"{_SUFFIX}{number}"
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


def _free_table(original: Pipeline) -> str:
    """A table that no pipeline of the same target writes."""
    rows = Pipeline.objects.filter(target_connection=original.target_connection_id)
    taken = {TableName.parse(written) for written in rows.values_list("target_table", flat=True)}
    name = TableName.parse(original.target_table)
    return next(
        str(candidate)
        for number in range(1, len(taken) + 2)
        if (candidate := _suffixed(name, number)) not in taken
    )


def _suffixed(name: TableName, number: int) -> TableName:
    suffix = _SUFFIX if number == 1 else f"{_SUFFIX}{number}"
    kept = name.name.encode()[: MAX_BYTES - len(suffix)].decode(errors="ignore")
    return TableName(schema=name.schema, name=kept + suffix)
