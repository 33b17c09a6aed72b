"""A definition as it was kept when a run or a comparison began, in the words of the form."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from pipelines.admin import cells
from pipelines.definition import FIELDS
from pipelines.models import Pipeline


def definition_facts(
    definition: Mapping[str, Any], names: Iterable[str] = FIELDS
) -> Iterator[tuple[str, Any]]:
    """Label and value of each of these fields but the query, which is shown by itself."""
    for name in names:
        if name != "source_query" and name in definition:
            field: Any = Pipeline._meta.get_field(name)
            value = definition[name]
            known = dict(field.flatchoices).get(value) if isinstance(value, str) else None
            yield capfirst(str(field.verbose_name)), known or _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or cells.EMPTY
    return cells.EMPTY if value in (None, "") else value
