"""What can be said of a definition or a connection without asking a server of its own.

The API and the admin both ask here; what only PostgreSQL can tell is the preflight's.
"""

from pipelines.validation.connection import check_connection, duplicate_connection
from pipelines.validation.definition import (
    MAX_NAME_LENGTH,
    MAX_QUERY_LENGTH,
    check_definition,
    duplicate_name,
    warnings_for,
)
from pipelines.validation.password import password_columns
from pipelines.validation.running import Errors
from pipelines.validation.schemas import target_schemas
from pipelines.validation.usage import pipelines_of, used_by_sentence

__all__ = [
    "MAX_NAME_LENGTH",
    "MAX_QUERY_LENGTH",
    "Errors",
    "check_connection",
    "check_definition",
    "duplicate_connection",
    "duplicate_name",
    "password_columns",
    "pipelines_of",
    "target_schemas",
    "used_by_sentence",
    "warnings_for",
]
