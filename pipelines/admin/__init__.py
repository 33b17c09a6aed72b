"""The admin, a file per model; importing this package registers the pages."""

from pipelines.admin import connection, pipeline, run, token, user, worker

__all__ = ["connection", "pipeline", "run", "token", "user", "worker"]
