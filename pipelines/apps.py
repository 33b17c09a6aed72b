"""The control plane as a Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PipelinesConfig(AppConfig):
    """Connections, pipelines, runs."""

    name = "pipelines"
    verbose_name = _("Pipelines")
    default_auto_field = "django.db.models.BigAutoField"
