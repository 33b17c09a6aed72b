"""Django's history of a row in the reader's language; its entries are kept in English."""

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import LogEntry
from django.utils.text import capfirst
from django.utils.translation import gettext, override


def translate(entries: Iterable[LogEntry], model: Any) -> None:
    """Put each entry's words into the active language; nothing is stored.

    A verb's label is a text of its own. Of a form Django keeps the labels of the fields, whose
    first letter is capital, so that the catalogue does not know them.
    """
    labels = _labels(model)
    for entry in entries:
        if entry.change_message.startswith("["):
            told = json.loads(entry.change_message)
            for part in told:
                for facts in part.values():
                    if "fields" in facts:
                        facts["fields"] = [labels.get(one, one) for one in facts["fields"]]
            entry.change_message = json.dumps(told)
        elif entry.change_message:
            entry.change_message = gettext(entry.change_message)


def _labels(model: Any) -> dict[str, str]:
    fields = [field for field in model._meta.get_fields() if hasattr(field, "verbose_name")]
    with override("en"):
        english = [str(capfirst(field.verbose_name)) for field in fields]
    return {
        label: str(capfirst(field.verbose_name))
        for label, field in zip(english, fields, strict=True)
    }
