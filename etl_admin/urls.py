"""Which part of the site answers which address."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1", include("pipelines.api.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
]
