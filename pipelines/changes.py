"""Making, changing and deleting definitions and connections where a person does it, with records:
what the row has been, and in the audit who did what.

Both are written in the transaction that changes the row; `lifecycle.edit` calls `record` itself.
A record of what the row has been is the whole of it as it was from then on, except secrets and the
columns of the lifecycle. What is created or deleted in another way is recorded too, by
django-simple-history, as nobody's.

These records are small and are never pruned. They outlive their row: deleting it adds a last one,
and since nothing shows a page of what is gone, they are for the table's readers from then on. They
outlive the person as well, and are nobody's then.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from pipelines import audit
from pipelines.choices import AuditAction
from pipelines.models import Connection

#: Reasons are words for programs: the pages say them in the reader's language.
FIRST = "first"  # made by the migration that began to keep records
NEW_SECRET = "new secret"  # noqa: S105 - says only that there is one
_RESTORED = "restored from "


def create(row: Any, *, by: Any) -> None:
    """Insert the row and its first records, all or nothing."""
    row._history_user = by
    with transaction.atomic():
        row.save(force_insert=True)
        audit.record_change(AuditAction.CREATE, row, by=by, new=audit.values_of(row))


def delete(row: Any, *, by: Any) -> None:
    """Delete the row and add its last records, all or nothing. Raises ProtectedError."""
    row._history_user = by
    with transaction.atomic():
        gone, values = audit.thing_of(row), audit.values_of(row)
        row.delete()
        audit.record_change(AuditAction.DELETE, gone, by=by, old=values)


def change_connection(connection: Connection, values: Mapping[str, Any], *, by: Any) -> None:
    """Store these columns; of a new secret the records say only that there is one."""
    rows = Connection.objects.filter(pk=connection.pk)
    with transaction.atomic():
        before = rows.select_for_update(no_key=True).first()
        if before is None or not rows.update(**values, updated_at=Now()):
            return
        reason = NEW_SECRET if "secret" in values else None
        record(rows.get(), by=by, old=audit.values_of(before), reason=reason)


def record(row: Any, *, by: Any, old: Mapping[str, Any], reason: str | None = None) -> None:
    """Keep the row as it is now, and in the audit what differs from `old`, its `audit.values_of`.

    To be called in the transaction that has just updated the row, which nobody else can change
    until the commit.
    """
    _keep(row, by=by, reason=reason)
    audit.record_change(AuditAction.EDIT, row, by=by, old=old, new=audit.values_of(row))
    if reason == NEW_SECRET:
        audit.record(AuditAction.SECRET, row, by=by)


def newest_first(row: Any) -> Any:
    """The records of the row; by number, since clocks of several machines need not agree."""
    return type(row).history.filter(id=row.pk).order_by("-history_id")


def values_of(row: Any) -> dict[str, Any]:
    """What is kept of a row, or was in a record, by the field's name; of connections the key."""
    fields = type(row).tracked_fields if hasattr(row, "history_id") else _kept_of(row)
    return {field.name: getattr(row, field.attname) for field in fields if not field.primary_key}


def restored_from(at: datetime) -> str:
    """The reason of a change that brings back what was stored at a time."""
    return f"{_RESTORED}{at.isoformat()}"


def time_restored(reason: str | None) -> datetime | None:
    """The time in such a reason; None for another one."""
    if reason is None or not reason.startswith(_RESTORED):
        return None
    return datetime.fromisoformat(reason.removeprefix(_RESTORED))


def _keep(row: Any, *, by: Any, reason: str | None) -> None:
    """Unless that is what was kept last; a new secret is not seen there."""
    last = newest_first(row).first()
    is_same = last is not None and values_of(last) == values_of(row)
    if is_same and reason != NEW_SECRET:
        return
    row._history_user = by
    type(row).history.bulk_history_create([row], update=True, default_change_reason=reason)


def _kept_of(row: Any) -> Any:
    return type(row).history.model.tracked_fields
