"""System checks of the control plane, with ids, so that a wrong installation says so at start."""

from typing import Any

from django.conf import settings
from django.core import checks

from pipelines.names import MAX_BYTES, is_system_schema


@checks.register("etl")
def state_schema(**_kwargs: Any) -> list[checks.CheckMessage]:
    """STATE_SCHEMA must be usable as a schema of our own in every target."""
    name = settings.STATE_SCHEMA
    if not name or len(name.encode()) > MAX_BYTES or is_system_schema(name):
        return [
            checks.Error(
                f"STATE_SCHEMA “{name}” cannot be used: give a name of at most {MAX_BYTES} bytes "
                "that is not one of PostgreSQL's own schemas.",
                id="etl.E001",
            )
        ]
    if name in settings.TARGET_SCHEMAS:
        return [
            checks.Error(
                f"STATE_SCHEMA “{name}” is in TARGET_SCHEMAS too; pipelines must not write there.",
                id="etl.E002",
            )
        ]
    return []
