"""What definitions and connections have been: a record of each change, with whose it was.

A record is the whole row as it was from then on, except secrets and the columns of the lifecycle,
and is written in the transaction that changes the row. Rows are made, changed and deleted through
here where a person does it; `lifecycle.edit` calls `record` itself. What is created or deleted in
another way is recorded too, by django-simple-history, as nobody's.

Records are small and are never pruned. They outlive their row: deleting it adds a last one, and
since nothing shows a page of what is gone, they are for the table's readers from then on. They
outlive the person as well, and are nobody's then.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from pipelines.models import Connection

#: Reasons are words for programs: the pages say them in the reader's language.
FIRST = "first"  # made by the migration that began to keep records
NEW_SECRET = "new secret"  # noqa: S105 - says only that there is one
_RESTORED = "restored from "


def create(row: Any, *, by: Any) -> None:
    """Insert the row and its first record, both or neither."""
    row._history_user = by
    with transaction.atomic():
        row.save(force_insert=True)


def delete(row: Any, *, by: Any) -> None:
    """Delete the row and add its last record, both or neither. Raises ProtectedError."""
    row._history_user = by
    with transaction.atomic():
        row.delete()


def change_connection(connection: Connection, values: Mapping[str, Any], *, by: Any) -> None:
    """Store these columns; of a new secret the record says only that there is one."""
    rows = Connection.objects.filter(pk=connection.pk)
    with transaction.atomic():
        if rows.update(**values, updated_at=Now()):
            record(rows.get(), by=by, reason=NEW_SECRET if "secret" in values else None)


def record(row: Any, *, by: Any, reason: str | None = None) -> None:
    """Keep the row as it is now, unless that is what was kept last; a new secret is not seen there.

    To be called in the transaction that has just updated the row, which nobody else can change
    until the commit.
    """
    last = newest_first(row).first()
    is_same = last is not None and values_of(last) == values_of(row)
    if is_same and reason != NEW_SECRET:
        return
    row._history_user = by
    type(row).history.bulk_history_create([row], update=True, default_change_reason=reason)


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


def _kept_of(row: Any) -> Any:
    return type(row).history.model.tracked_fields
