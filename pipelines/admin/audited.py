"""Pages of what nobody but the admin changes, users and groups: each change is audited."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest

from pipelines import audit
from pipelines.admin.base import Admin
from pipelines.choices import AuditAction


class AuditedAdmin(Admin):
    """Rows whose values, and groups and rights, are kept as they were and as they are now."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """As ever; what was before is remembered until all is stored."""
        rows = self.model._default_manager.select_for_update(no_key=True)
        form.before = audit.values_of(rows.get(pk=obj.pk)) if change else None
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups and rights are stored by now; the page's transaction has all of it."""
        super().save_related(request, form, formsets, change)
        audit.record_change(
            AuditAction.RIGHTS if change else AuditAction.CREATE,
            form.instance,
            by=request.user,
            old=form.before,
            new=audit.values_of(form.instance),
        )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Both or neither."""
        with transaction.atomic():
            gone, values = audit.thing_of(obj), audit.values_of(obj)
            super().delete_model(request, obj)
            audit.record_change(AuditAction.DELETE, gone, by=request.user, old=values)
