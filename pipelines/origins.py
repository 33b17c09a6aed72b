"""Where a request comes from: which address counts as the client's, and by which way it came.

Kept in a context variable for the length of a request, so that the verbs of the lifecycle can be
audited without being handed a request. Outside of requests it is the command line.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from pipelines.choices import Via


@dataclass(frozen=True, kw_only=True)
class Origin:
    """`address` is None where there is none; `token` the first letters of an API token."""

    via: Via
    address: str | None = None
    token: str = ""


_COMMAND = Origin(via=Via.COMMAND)
_current: ContextVar[Origin] = ContextVar("origin")


def current() -> Origin:
    """Of the request that is being answered, or of the command that runs."""
    return _current.get(_COMMAND)


def came_by(via: Via, *, token: str = "") -> None:
    """From here on the request is known to have come this way."""
    _current.set(replace(current(), via=via, token=token))


def client_address(request: HttpRequest) -> str | None:
    """The address that lock-outs and the audit hold against a client.

    X-Forwarded-For is read from the right, over as many proxies as TRUSTED_PROXIES says: what
    stands further left was written by the client itself.
    """
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    trusted = settings.TRUSTED_PROXIES
    passed = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if trusted and len(passed) >= trusted:
        return _address(passed[-trusted]) or peer
    return peer


class Origins:
    """Middleware that remembers the origin of each request while it is answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The API's authentication knows better by which way somebody came, and says so."""
        via = Via.SESSION if request.path.startswith("/api/") else Via.ADMIN
        mark = _current.set(Origin(via=via, address=client_address(request)))
        try:
            return self.get_response(request)
        finally:
            _current.reset(mark)


def _address(text: str) -> str | None:
    """The address in one form, without a port; None for what is none."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(found)
