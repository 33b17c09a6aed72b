"""Django's own error pages in the API's shape under /api/, for what fails before any view."""

import sys
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults

from pipelines.api.errors import SERVER_ERROR, Problem, problem_of


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, for example a host that is not in ALLOWED_HOSTS."""
    sentence = _("The request cannot be read.")
    problem = Problem(status=400, code="bad_request", detail=sentence)
    return _json(request, problem) or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    sentence = _("You do not have permission to perform this action.")
    problem = Problem(status=403, code="permission_denied", detail=sentence)
    return _json(request, problem) or defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 outside of the API's own addresses."""
    problem = Problem(status=404, code="not_found", detail=_("Not found."))
    return _json(request, problem) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 when the metadata database is away."""
    error = sys.exc_info()[1]
    problem = problem_of(error) if isinstance(error, Exception) else SERVER_ERROR
    return _json(request, problem) or defaults.server_error(request)


def _json(request: HttpRequest, problem: Problem) -> HttpResponse | None:
    if not request.path.startswith("/api/"):
        return None
    body: dict[str, Any] = problem.body()
    return JsonResponse(body, status=problem.status)
