"""`manage.py changepassword`: Django's own, after which the user's API tokens are gone as well."""

import getpass
from typing import Any

from django.contrib.auth.management.commands.changepassword import Command as DjangosCommand
from django.contrib.auth.models import User
from django.db import transaction

from pipelines import accounts


class Command(DjangosCommand):
    """Asks for the password twice, and stores it."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """It raises CommandError unless the password is stored."""
        name = options["username"] or getpass.getuser()
        said = super().handle(*args, **options | {"username": name})
        with transaction.atomic():
            accounts.password_changed(User.objects.get(username=name), by=None)
        return said
