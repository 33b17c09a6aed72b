"""Form fields of our own; how they look is the theme's."""

import re
from typing import Any

from django import forms

#: A name and the comma after it; in double quotes, as in SQL, one may have commas itself.
_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")+)"\s*|([^,]*)),')


class CommaList(forms.Field):
    """A list of names, typed with commas between them; what is wrong with one is not said here."""

    def __init__(self, *, base_field: Any = None, max_length: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        """As people type it."""
        return ", ".join(map(_quoted, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[str]:
        """The names without the spaces around them; nothing typed is an empty list."""
        if isinstance(value, list | tuple):
            return list(value)
        found = _ITEM.findall(f"{value or ''},")
        names = [quoted.replace('""', '"') or plain.strip() for quoted, plain in found]
        return [] if names == [""] else names


class Lines(forms.CharField):
    """Text of several lines, kept as typed; browsers send CRLF, which would count as a change."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "strip": False})

    def to_python(self, value: Any) -> Any:
        """The text with single line feeds."""
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text


def _quoted(name: str) -> str:
    is_plain = "," not in name and name == name.strip() and not name.startswith('"')
    return name if is_plain else '"' + name.replace('"', '""') + '"'
