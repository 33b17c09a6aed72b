"""`manage.py runserver`, which refuses to serve plain HTTP to a network."""

from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as StaticCommand
from django.db import OperationalError

from etl_admin.bind import refuse_open_bind


class Command(StaticCommand):
    """Django's own, after one look at the address."""

    addr: str

    def run(self, **options: Any) -> None:
        """Check the address, then serve."""
        refuse_open_bind(self.addr)
        super().run(**options)

    def check_migrations(self) -> None:
        """A database that is away stops nothing: pages and the health check say so themselves."""
        try:
            super().check_migrations()
        except OperationalError as error:
            said = " ".join(str(error).split())
            self.stderr.write(f"The metadata database cannot be used: {said}")
