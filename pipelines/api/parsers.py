"""Reading request bodies: one JSON object; what its fields mean is not here."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

#: Each field that is not known costs a sentence in the answer.
MOST_FIELDS = 100


def _because(error: BaseException | None) -> str:
    """What is wrong with a body that is not JSON, as far as it helps."""
    if isinstance(error, json.JSONDecodeError):
        facts = {"line": error.lineno, "column": error.colno}
        return _("The body is not JSON: see line %(line)d, column %(column)d.") % facts
    if isinstance(error, UnicodeDecodeError):
        return _("The body is not JSON: it is not in UTF-8.")
    return _("The body has a number that is not possible (NaN, Infinity, or too many digits).")


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
        except ParseError as error:
            raise ParseError(_because(error.__cause__ or error.__context__)) from None
        if not isinstance(body, dict):
            raise ParseError(_("Send a JSON object: {…}."))
        if len(body) > MOST_FIELDS:
            raise ParseError(_("Send at most %(count)d fields.") % {"count": MOST_FIELDS})
        return body
