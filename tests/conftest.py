"""Wires the test session: the cluster first, then Django's settings, then the fixtures.

pytest-django is told of no settings module, since it would read the settings before this file.
"""

import os
from contextlib import ExitStack

import pytest

from tests import cluster

FIXTURES = ("databases", "connections", "processes", "browser", "language", "static")

_session = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Start what must be there before the first import of a model."""
    if config.option.help or config.option.version:
        return
    _session.enter_context(cluster.environment())
    try:
        _set_up_django()
        for name in FIXTURES:
            config.pluginmanager.import_plugin(f"tests.fixtures.{name}")
    except BaseException:
        _session.close()
        raise


def pytest_unconfigure() -> None:
    """Stop the cluster; called after Ctrl-C too. A watchdog stops it when we are killed."""
    _session.close()


def _set_up_django() -> None:
    import django
    from django.conf import settings

    if settings.configured:
        raise pytest.UsageError(
            "Unset DJANGO_SETTINGS_MODULE: the settings were read before the tests' own cluster "
            "was there."
        )
    os.environ["DJANGO_SETTINGS_MODULE"] = "etl_admin.settings"
    # Hashing passwords as slowly as in earnest would take most of the tests' time.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    django.setup()
    # Workers of xdist inherit the environment, and must not read the settings too early either.
    del os.environ["DJANGO_SETTINGS_MODULE"]
