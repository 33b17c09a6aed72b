"""`manage.py createsuperuser`: Django's own, which the audit keeps as well."""

from typing import Any

from django.contrib.auth.management.commands.createsuperuser import Command as DjangosCommand
from django.contrib.auth.models import User
from django.db import transaction

from pipelines import audit
from pipelines.choices import AuditAction


class Command(DjangosCommand):
    """Asks for a name and a password, and stores them."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """It raises CommandError unless there is somebody new."""
        before = set(User.objects.values_list("pk", flat=True))
        with transaction.atomic():
            said = super().handle(*args, **options)
            for made in User.objects.exclude(pk__in=before).filter(is_superuser=True):
                audit.record_change(AuditAction.CREATE, made, by=None, new=audit.values_of(made))
        return said
