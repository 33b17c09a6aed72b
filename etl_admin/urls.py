"""Which part of the site answers which address."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from pipelines.api.urls import root

admin.autodiscover()


def nowhere(_request: HttpRequest, _rest: str) -> HttpResponse:
    """Raises Http404."""
    raise Http404


# The pages of the browsable API look for these two names.
signing_in = [
    path(
        "login/",
        login_not_required(RedirectView.as_view(pattern_name="admin:login", query_string=True)),
        name="login",
    ),
    path("logout/", LogoutView.as_view(next_page="admin:index"), name="logout"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Of Django's admin: nothing of ours has a page elsewhere to be led to.
    path("admin/r/<path:_rest>", nowhere),
    path("admin/", admin.site.urls),
    path("api/v1", root),
    path("api/v1/", include("pipelines.api.urls")),
    path("api-auth/", include((signing_in, "rest_framework"))),
    # The sign-in page has it too.
    path("i18n/setlang/", login_not_required(set_language), name="set_language"),
]

handler400 = "pipelines.api.handlers.bad_request"
handler403 = "pipelines.api.handlers.permission_denied"
handler404 = "pipelines.api.handlers.page_not_found"
handler500 = "pipelines.api.handlers.server_error"
