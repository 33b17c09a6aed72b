"""Who tried to sign in wrongly too often, and is refused for a while; kept by django-axes.

Failures are counted by name and address together, and at five times the limit by each alone: one
attacker then locks nobody out but themselves, and many together still cannot go on guessing one
password. What is refused during a lock-out is neither counted nor recorded, so that it ends by
itself, and a flood fills no table. Nothing here tells whether a name exists.
"""

import math
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.translation import ngettext

from pipelines import audit, origins
from pipelines.choices import AuditAction

#: So many times the limit locks a name for every address, and an address for every name.
WIDER = 5
#: Stands for the name where a wrong API token was sent; no user can be called that.
TOKEN = "(API token)"  # noqa: S105 - says only that it was one


class Handler(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """How failures are counted; told by Django's signals of signing in, and audits them too."""

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        """Measured by the limit of name and address together; the wider ones are scaled to it."""
        name = get_client_username(request, credentials)
        return measured(counts(name, request.axes_ip_address), name)

    def reset_user_attempts(
        self, request: HttpRequest, credentials: dict[str, Any] | None = None
    ) -> int:
        """Of this name at this address alone: who has an account may not wipe out what they tried
        on those of others."""
        name = get_client_username(request, credentials)
        deleted: int = _attempts(name, request.axes_ip_address).delete()[0]  # type: ignore[attr-defined]
        return deleted

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any
    ) -> None:
        """Count it, unless it was refused unseen."""
        if request is None or request.axes_locked_out:
            return
        name = get_client_username(request, credentials) or ""
        leave_body(request)
        with transaction.atomic():
            super().user_login_failed(sender, credentials, request, **kwargs)
            audit.record(AuditAction.SIGN_IN_FAILED, by=None, name=name)
            if request.axes_locked_out:
                audit.record(AuditAction.LOCK_OUT, by=None, name=name)

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Forget what failed before."""
        super().user_logged_in(sender, request, user, **kwargs)
        audit.record(AuditAction.SIGN_IN, by=user)

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Somebody left."""
        super().user_logged_out(sender, request, user, **kwargs)
        if user is not None:
            audit.record(AuditAction.SIGN_OUT, by=user)


def leave_body(request: Any) -> None:
    """The package looks at what a form had in it. To the API nobody sends one, and reading whatever
    else was sent may fail, which must not keep a failure from being counted."""
    if request.path.startswith("/api/") and not hasattr(request, "_post"):
        request._post, request._files = QueryDict(), MultiValueDict()


def counts(name: str | None, address: str | None) -> tuple[int, int, int]:
    """Failures that still count: of both together, of the address, of the name."""
    totals = recent().aggregate(
        both=Sum("failures_since_start", filter=Q(username=name, ip_address=address)),
        address=Sum("failures_since_start", filter=Q(ip_address=address)),
        name=Sum("failures_since_start", filter=Q(username=name)),
    )
    return totals["both"] or 0, totals["address"] or 0, totals["name"] or 0


def measured(found: tuple[int, int, int], name: str | None) -> int:
    """The one number that is compared with SIGN_IN_FAILURES."""
    both, address, of_name = found
    return max(both, address // WIDER, 0 if name == TOKEN else of_name // WIDER)


def is_locked(name: str | None, address: str | None) -> bool:
    """Whether this name cannot sign in from this address now."""
    return measured(counts(name, address), name) >= settings.SIGN_IN_FAILURES


def unlock(name: str | None, address: str | None, *, by: Any) -> None:
    """Forget the failures of both together, and those that lock the name or the address alone."""
    with transaction.atomic():
        AccessAttempt.objects.filter(_locking(name, address)).delete()
        thing = audit.Thing(type="lock-out", id=address or "", name=name or "")
        audit.record(AuditAction.UNLOCK, thing, by=by)


def refuse_wrong_token(request: HttpRequest) -> int | None:
    """Count a token that was not accepted; the seconds to wait when there were too many."""
    credentials = {"username": TOKEN}
    if AxesProxyHandler.is_allowed(request, credentials):
        AxesProxyHandler.user_login_failed(__name__, credentials, request)
        if not request.axes_locked_out:  # type: ignore[attr-defined]
            return None
    return wait(request, TOKEN)


def count_wrong_password(request: HttpRequest, name: str) -> None:
    """Somebody who is signed in does not know the password."""
    AxesProxyHandler.user_login_failed(__name__, {"username": name}, request)


def forgive(request: HttpRequest, name: str) -> None:
    """Somebody signed in without a session: Django sends no signal then."""
    _attempts(name, address_of(request)).delete()


def wait(request: HttpRequest, name: str | None) -> int:
    """Seconds until a lock-out of this name at this address is over, at the latest."""
    which = _locking(name, address_of(request))
    last = recent().filter(which).aggregate(last=Max("attempt_time"))["last"]
    until = (last or timezone.now()) + _length() - timezone.now()
    return max(1, math.ceil(until.total_seconds()))


def sentence(seconds: int) -> str:
    """What people are told who have to wait so long."""
    minutes = math.ceil(seconds / 60)
    return ngettext(
        "There were too many failed attempts to sign in. Try again in %(count)d minute, or ask an "
        "administrator to end the lock-out.",
        "There were too many failed attempts to sign in. Try again in %(count)d minutes, or ask "
        "an administrator to end the lock-out.",
        minutes,
    ) % {"count": minutes}


def answer(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """The page that the form answered with, as what it is (AXES_LOCKOUT_CALLABLE)."""
    seconds = wait(request, get_client_username(request, credentials))
    shown = HttpResponse(sentence(seconds)) if response is None else response
    if shown.status_code == 200:
        shown.status_code = 429
        shown.headers["Retry-After"] = str(seconds)
    return shown


def name_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """The name that was tried, as long as one can be (AXES_USERNAME_CALLABLE)."""
    given = (credentials or request.POST).get("username")
    return None if given is None else str(given).replace("\0", "")[:150]


def address_of(request: HttpRequest) -> str | None:
    """What failures are held against (AXES_CLIENT_IP_CALLABLE): of IPv6 the network of 64 bits,
    within which one machine has as many addresses as it likes."""
    address = origins.client_address(request)
    if address is None or ":" not in address:
        return address
    return str(ip_network(f"{address}/64", strict=False).network_address)


def cool_off(_request: Any = None) -> timedelta:
    """How long failures count, from the last one on (AXES_COOLOFF_TIME)."""
    return _length()


def limit(_request: Any = None, _credentials: Any = None) -> int:
    """How many failures are too many (AXES_FAILURE_LIMIT)."""
    return int(settings.SIGN_IN_FAILURES)


def prune() -> int:
    """Delete what does not count any more. Returns how many."""
    old = AccessAttempt.objects.filter(attempt_time__lt=timezone.now() - _length())
    gone: int = old.delete()[0]
    return gone


def _locking(name: str | None, address: str | None) -> Q:
    """The attempts that count against this name at this address."""
    _both, of_address, of_name = counts(name, address)
    which = Q(username=name, ip_address=address)
    if of_address >= settings.SIGN_IN_FAILURES * WIDER:
        which |= Q(ip_address=address)
    if of_name >= settings.SIGN_IN_FAILURES * WIDER:
        which |= Q(username=name)
    return which


def _attempts(name: str | None, address: str | None) -> "QuerySet[Any]":
    rows: QuerySet[Any] = AccessAttempt.objects.filter(username=name, ip_address=address)
    return rows


def recent() -> "QuerySet[Any]":
    """The failures that still count."""
    since = timezone.now() - _length()
    rows: QuerySet[Any] = AccessAttempt.objects.filter(attempt_time__gte=since)
    return rows


def _length() -> timedelta:
    return timedelta(minutes=settings.SIGN_IN_LOCK_MINUTES)
