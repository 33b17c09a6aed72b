"""Making, changing and deleting rows where a person does it, with the record of whose it was.

What the lifecycle guards is its own: `lifecycle.edit` and `lifecycle.delete`.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from pipelines import audit
from pipelines.choices import AuditAction
from pipelines.models import Connection


def create(row: Any, *, by: Any) -> None:
    """Insert the row and its record, both or neither."""
    with transaction.atomic():
        row.save(force_insert=True)
        audit.record_change(AuditAction.CREATE, row, by=by, new=audit.values_of(row))


def delete(row: Any, *, by: Any) -> None:
    """Delete the row and record it, both or neither. Raises ProtectedError."""
    with transaction.atomic():
        gone, values = audit.thing_of(row), audit.values_of(row)
        row.delete()
        audit.record_change(AuditAction.DELETE, gone, by=by, old=values)


def change_connection(connection: Connection, values: Mapping[str, Any], *, by: Any) -> None:
    """Store these columns; of a new secret the record says only that there is one."""
    with transaction.atomic():
        rows = Connection.objects.filter(pk=connection.pk)
        old = rows.select_for_update(no_key=True).first()
        if old is None or not rows.update(**values, updated_at=Now()):
            return
        new = rows.get()
        audit.record_change(
            AuditAction.EDIT, new, by=by, old=audit.values_of(old), new=audit.values_of(new)
        )
        if "secret" in values:
            audit.record(AuditAction.SECRET, new, by=by)
