"""What every request passes before its view: the metadata must be where it was."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
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


def _refused(request: HttpRequest, sentence: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": sentence, "code": "installation_moved"}, status=503)
    return render(request, "installation_moved.html", {"sentence": sentence}, status=503)
