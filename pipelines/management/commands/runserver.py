"""`manage.py runserver`, which refuses to serve plain HTTP to a network."""

from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as StaticCommand

from etl_admin.bind import refuse_open_bind


class Command(StaticCommand):
    """Django's own, after one look at the address."""

    addr: str

    def run(self, **options: Any) -> None:
        """Check the address, then serve."""
        refuse_open_bind(self.addr)
        super().run(**options)
