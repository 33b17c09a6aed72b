"""The time zone of whoever looks, as their browser gives it in a cookie; the API stays in UTC.

`static/pipelines/zone.js` writes the cookie.
"""

import zoneinfo
from collections.abc import Callable
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "timezone"
_API = "/api/"


class UserTimeZone:
    """Times of a page are in the zone of its reader; UTC while that is not known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Hold the zone for this request only."""
        name = "" if request.path.startswith(_API) else request.COOKIES.get(COOKIE, "")
        with timezone.override(zone(name)):
            return self.get_response(request)


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The zone of this name; None for what is not exactly a known zone's name."""
    # Never asked of the system by a name from outside: it would be taken for a path.
    return zoneinfo.ZoneInfo(name) if name in _known() else None


@cache
def _known() -> frozenset[str]:
    # The one is whatever the server's own is, the other none at all.
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})
