"""What every error of the API looks like, and which one each exception becomes; none is raised.

The body is always `{"detail": sentence, "code": word}`, with `errors` by field for wrong values
and `status`, the pipeline's, where a move is refused.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.core.signals import got_request_exception
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from pipelines.api.refusals import Refused
from pipelines.busy import Busy
from pipelines.lifecycle import TransitionRefused
from pipelines.limits import LimitReached
from pipelines.models import Pipeline, Reconciliation
from pipelines.secrets import Unreadable
from runner.preflight import Rejected
from runner.reconcile import ReconcileFailed

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

logger = logging.getLogger("django.request")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error as people and programs get it; `status` is HTTP's, `at` the pipeline's."""

    status: int
    code: str
    detail: "StrOrPromise"
    errors: Mapping[str, list[str]] | None = None
    at: str | None = None

    def body(self) -> dict[str, Any]:
        """What is sent as JSON."""
        body: dict[str, Any] = {"detail": str(self.detail), "code": self.code}
        if self.errors is not None:
            body["errors"] = dict(self.errors)
        if self.at is not None:
            body["status"] = self.at
        return body


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """The answer to `error`, whatever it is (Django REST framework's EXCEPTION_HANDLER)."""
    problem = problem_of(error)
    request = context["request"]
    if problem.status >= 500:
        # The page of the browsable API asks who the user is, which may be what has just failed.
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type
    if problem.code == SERVER_ERROR.code:
        _report(error, request)
    return Response(problem.body(), status=problem.status, headers=_headers(error))


def problem_of(error: Exception) -> Problem:
    """Which error `error` is; what is not known here is our own fault, 500."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.ValidationError):
        return wrong_values(_flat(error.detail))
    if isinstance(error, Refused):
        return Problem(
            status=error.status_code,
            code=str(error.get_codes()),
            detail=str(error.detail),
            at=error.pipeline_status,
        )
    if isinstance(error, exceptions.APIException):
        sentence = str(_SAYING_MORE.get(type(error), error.detail))
        return Problem(status=error.status_code, code=str(error.get_codes()), detail=sentence)
    return _too_much(error) or _ours(error) or _framework(error) or SERVER_ERROR


def wrong_values(errors: Mapping[str, list[str]], *, code: str = "invalid") -> Problem:
    """400, with the sentences by field; `detail` says the first of them."""
    first = next((sentences[0] for sentences in errors.values() if sentences), "")
    if len(errors) > 1:
        facts = {"fields": ", ".join(errors), "first": first}
        first = _("Several values are wrong: %(fields)s. %(first)s") % facts
    return Problem(status=400, code=code, detail=first, errors=errors)


def _too_much(error: Exception) -> Problem | None:
    """What may be asked again after a while, which is in a header."""
    if isinstance(error, LimitReached):
        return Problem(status=429, code="throttled", detail=error.sentence)
    if isinstance(error, Busy):
        return Problem(status=503, code="connection_busy", detail=error.sentence)
    return None


def _ours(error: Exception) -> Problem | None:
    """The refusals of the control plane and of the preflight."""
    if isinstance(error, TransitionRefused):
        return Problem(status=409, code="refused", detail=error.sentence, at=error.status)
    if isinstance(error, Rejected):
        return wrong_values(error.errors, code=error.code)
    if isinstance(error, ReconcileFailed):
        status = 409 if error.code == "query_failed" else 503
        return Problem(status=status, code=error.code, detail=error.sentence)
    if isinstance(error, Unreadable):
        return Problem(status=503, code="secret_unreadable", detail=str(error))
    return _not_there(error)


def _not_there(error: Exception) -> Problem | None:
    """Rows that an address names, and that do not exist (any more)."""
    if isinstance(error, Pipeline.DoesNotExist):
        return Problem(status=404, code="not_found", detail=_("There is no pipeline of this id."))
    if isinstance(error, Reconciliation.DoesNotExist):
        return Problem(status=404, code="not_found", detail=_("There is no comparison of this id."))
    return None


def _framework(error: Exception) -> Problem | None:
    """What Django and the metadata database raise."""
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("The metadata database does not answer: %s", error)
        sentence = _("The metadata database cannot be reached. Try again in a moment.")
        return Problem(status=503, code="database_unavailable", detail=sentence)
    if isinstance(error, IntegrityError):
        sentence = _("Somebody changed this at the same time. Load it again and repeat the change.")
        return Problem(status=409, code="conflict", detail=sentence)
    if isinstance(error, DataError):
        sentence = _("A value is too long, out of range, or has a character that is not possible.")
        return Problem(status=400, code="invalid", detail=sentence)
    if isinstance(error, RequestDataTooBig):
        return Problem(status=413, code="too_large", detail=_("The request is too large."))
    if isinstance(error, SuspiciousOperation | UnreadablePostError):
        return Problem(status=400, code="bad_request", detail=_("The request cannot be read."))
    return None


#: Where the framework says only what is wrong, not what to do.
_SAYING_MORE = {
    exceptions.UnsupportedMediaType: gettext_lazy(
        "Send JSON, with the header “Content-Type: application/json”."
    ),
    exceptions.NotAcceptable: gettext_lazy(
        "No answer is of a kind that the header “Accept” allows. Ask for application/json."
    ),
}

SERVER_ERROR = Problem(
    status=500,
    code="server_error",
    detail=gettext_lazy("Something went wrong on our side. The server's log says what."),
)


def _flat(detail: Any) -> dict[str, list[str]]:
    if not isinstance(detail, Mapping):
        return {"non_field_errors": _sentences(detail)}
    return {str(field): _sentences(value) for field, value in detail.items()}


def _sentences(detail: Any) -> list[str]:
    """The errors of a field in a flat list; those of a list's items say which item it is."""
    if isinstance(detail, Mapping):
        return [
            _("Item %(number)s: %(sentence)s") % {"number": int(index) + 1, "sentence": sentence}
            for index, value in detail.items()
            for sentence in _sentences(value)
        ]
    if isinstance(detail, list | tuple):
        return [sentence for value in detail for sentence in _sentences(value)]
    return [str(detail)]


def _headers(error: Exception) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = f"{wait:.0f}"
    return headers


def _report(error: Exception, request: Any) -> None:
    """Log the error as Django does with one that no handler answers, and tell who listens."""
    logger.error("Internal Server Error: %s", request.path, exc_info=error)
    got_request_exception.send(sender=None, request=request)
