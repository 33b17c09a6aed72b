"""`manage.py prune`: delete old history now; the rule is in `pipelines.retention`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Workers do the same, a little at a time, while they are idle."""

    help = (
        "Delete runs older than RETENTION_DAYS, except the last 50 of each pipeline, and audit "
        "records older than AUDIT_DAYS."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        """In small batches, until nothing is left to delete."""
        from pipelines import retention

        total = 0
        while deleted := retention.prune(retention.BATCH):
            total += deleted
        self.stdout.write(
            f"Deleted {total} runs and events older than {settings.RETENTION_DAYS:g} days."
        )
        total = 0
        while deleted := retention.prune_audit(retention.BATCH):
            total += deleted
        self.stdout.write(f"Deleted {total} audit records older than {settings.AUDIT_DAYS:g} days.")
