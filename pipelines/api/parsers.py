"""Reading request bodies: one JSON object; what its fields mean is not here."""

from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class JsonObjectParser(JSONParser):
    """Strict JSON of an object. Its size is limited by DATA_UPLOAD_MAX_MEMORY_SIZE, before this."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The object's fields. Raises ParseError."""
        try:
            body = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        if not isinstance(body, dict):
            raise ParseError(_("Send a JSON object: {…}."))
        return body
