"""The data plane as a Django app, so that its command is found; it has no models."""

from django.apps import AppConfig


class RunnerConfig(AppConfig):
    """Moves rows."""

    name = "runner"
