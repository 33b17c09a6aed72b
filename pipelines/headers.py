"""The headers that tell browsers what an answer may do; Django's own are in its settings."""

from typing import TYPE_CHECKING

from csp.constants import NONE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

#: An answer that is only data loads nothing, whoever shows it.
_DATA = {"default-src": [NONE], "base-uri": [NONE], "form-action": [NONE]}
_DATA |= {"frame-ancestors": [NONE]}
#: What no page of ours asks for.
_REFUSED = ("camera", "geolocation", "microphone", "payment", "usb", "browsing-topics")
_ALWAYS = {
    "Permissions-Policy": ", ".join(f"{name}=()" for name in _REFUSED),
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Headers(CSPMiddleware):
    """The Content-Security-Policy of the settings, a stricter one for JSON; first of all
    middleware, so that errors, redirects and static files have them too.
    """

    def process_response(
        self, request: HttpRequest, response: "HttpResponseBase"
    ) -> "HttpResponseBase":
        """Add what the answer does not have yet."""
        for name, value in _ALWAYS.items():
            response.setdefault(name, value)
        answer: HttpResponseBase = super().process_response(request, response)
        return answer

    def get_policy_parts(
        self, request: HttpRequest, response: "HttpResponseBase", report_only: bool = False
    ) -> PolicyParts:
        """The policy of this answer."""
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        if not report_only and "json" in response.get("Content-Type", ""):
            parts.config = _DATA
        return parts
