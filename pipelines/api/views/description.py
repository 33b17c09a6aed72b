"""The API's description, for programs and for people."""

from django.contrib.auth.views import redirect_to_login
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework import status
from rest_framework.exceptions import NotAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from pipelines.api.views.base import KnownParameters


class Schema(KnownParameters, SpectacularJSONAPIView):
    """OpenAPI 3.1, as JSON."""

    # Browsers, which name neither, shall show it rather than store it.
    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer]


class Docs(KnownParameters, SpectacularSwaggerSplitView):
    """Swagger UI from our own static files; the page and its script are two answers (CSP)."""

    # A page has nothing to say of itself to OPTIONS.
    http_method_names = ["get", "head"]
    parameters = {"GET": ("script",)}
    url_name = "api:schema"

    def handle_exception(self, exc: Exception) -> Response:
        """People who are not signed in are taken there; other errors are JSON as everywhere."""
        self.request.accepted_renderer = JSONRenderer()
        self.request.accepted_media_type = JSONRenderer.media_type
        if isinstance(exc, NotAuthenticated) and self._is_browser():
            address = redirect_to_login(self.request.get_full_path()).url
            return Response(status=status.HTTP_302_FOUND, headers={"Location": address})
        return super().handle_exception(exc)

    def _is_browser(self) -> bool:
        return "text/html" in self.request.META.get("HTTP_ACCEPT", "")
