"""`manage.py rotatesecrets`: stored passwords under the first of ENCRYPTION_KEYS."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pipelines import rotation
from pipelines.secrets import WrongKey


class Command(BaseCommand):
    """Encrypts again, or says what would be; asking twice is safe."""

    help = "Encrypt every stored password under the first of ENCRYPTION_KEYS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Without --check it is done."""
        parser.add_argument(
            "--check",
            action="store_true",
            help="change nothing; exit 1 while a password needs another key than the first",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """All in one transaction, or a sentence and nothing."""
        try:
            found = rotation.count() if options["check"] else rotation.rotate()
        except WrongKey as error:
            raise CommandError(str(error)) from None
        if not options["check"]:
            self.stdout.write(
                f"Encrypted again: {len(found.old)}. Under the first key already: {found.current}."
            )
        elif found.old:
            raise CommandError(
                f"Under the first key: {found.current}. Still under another: {len(found.old)} "
                f"({', '.join(found.old)}). Run: manage.py rotatesecrets"
            )
        else:
            self.stdout.write(
                f"Under the first key: {found.current}. Still under another: 0. "
                "The other keys can be taken away."
            )
