"""Reading request bodies: one JSON object, not too large; what its fields mean is not here."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from pipelines.api.refusals import TooLarge


class JsonObjectParser(JSONParser):
    """JSON, in strict form, of an object."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The object's fields. Raises ParseError and TooLarge."""
        # The framework hands over the raw stream, past Django's own limit.
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        if int(getattr(stream, "META", {}).get("CONTENT_LENGTH") or 0) > most:
            raise TooLarge(
                _("The body is larger than %(most)d bytes. Send less.") % {"most": most}
            )
        try:
            body = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        if not isinstance(body, dict):
            raise ParseError(_("Send a JSON object: {…}."))
        return body
