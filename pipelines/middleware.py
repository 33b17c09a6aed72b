"""What every request passes before its view: the metadata must be where it was, and people be
signed in."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.utils import translation

from pipelines import installation

#: Needs no database; and the health check, which says in its own words how things stand.
_FREE = ("/static/", "/api/v1/health")


class KnownInstallation:
    """503 with a sentence while the metadata database is a copy that nobody has explained."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._known = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Ask once per process; a database that is away is the view's to report."""
        if not self._known and not request.path.startswith(_FREE):
            try:
                installation.check()
            except installation.Moved as moved:
                # The language is chosen further in, where such a request never gets.
                with translation.override(translation.get_language_from_request(request)):
                    return _refused(request, str(moved))
            except installation.DatabaseError:
                return self.get_response(request)
            self._known = True
        return self.get_response(request)


class SignedIn(LoginRequiredMiddleware):
    """A second wall: who is not signed in gets to the sign-in page from whatever forgot to ask.

    The API asks for itself, and answers in its own shape.
    """

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        """Without a look at the session where nobody needs to be signed in: a health check that
        brings a cookie is answered while the database is away."""
        if not getattr(view_func, "login_required", True):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)


class BackToSignIn:
    """A part of a page that asks for itself, whose reader is signed in no more: the whole page is
    loaded again and leads to the sign-in page, which has no place in a panel."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """What htmx follows by itself would be put into the page."""
        answer = self.get_response(request)
        asks_by_itself = request.headers.get("HX-Request") == "true"
        if asks_by_itself and answer.get("Location", "").startswith(
            resolve_url(settings.LOGIN_URL)
        ):
            return HttpResponse(headers={"HX-Refresh": "true"})
        return answer


def _refused(request: HttpRequest, sentence: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": sentence, "code": "installation_moved"}, status=503)
    return render(request, "installation_moved.html", {"sentence": sentence}, status=503)
