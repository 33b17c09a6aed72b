"""`manage.py installation`: what to do when the metadata database was restored or copied."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pipelines import installation


class Command(BaseCommand):
    """Shows or settles this installation's identity."""

    help = "Shows this installation's identity, or settles it after a restore or a copy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Two answers to one question; without any it is only shown."""
        answer = parser.add_mutually_exclusive_group()
        answer.add_argument(
            "--adopt", action="store_true", help="the original is gone, and this replaces it"
        )
        answer.add_argument(
            "--new", action="store_true", help="the original lives, and this is a clone of it"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Settle, or show."""
        if options["adopt"]:
            installation.adopt()
            self.stdout.write("This database is the installation now.")
        elif options["new"]:
            self.stdout.write(f"This is a new installation now: {installation.renew()}.")
            self.stdout.write("Tables that the original writes to will refuse its pipelines.")
        else:
            self._show()

    def _show(self) -> None:
        try:
            installation.check()
        except installation.Moved as moved:
            raise CommandError(str(moved)) from None
        self.stdout.write(f"Installation {installation.Installation.identity()}, where it was.")
