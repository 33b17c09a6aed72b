"""The admin, a file per model; importing this package registers the pages."""

from pipelines.admin import (
    attempt,
    audit,
    connection,
    pipeline,
    reconciliation,
    run,
    sign_in,
    token,
    user,
    worker,
)

__all__ = [
    "attempt",
    "audit",
    "connection",
    "pipeline",
    "reconciliation",
    "run",
    "sign_in",
    "token",
    "user",
    "worker",
]
