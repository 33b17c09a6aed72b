"""`manage.py runpipelines`: arguments and signals; the loop is in `runner.worker`."""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Run pipelines until told to stop."""

    # They look at the pages of the site, which would have to be loaded for nothing else.
    requires_system_checks = ()

    help = (
        "Run requested pipelines until SIGTERM or Ctrl-C: the batch in progress is finished and "
        "its pipeline handed to another worker. A second signal rolls the batch back at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Options of the command line."""
        parser.add_argument(
            "--once",
            action="store_true",
            help="Run everything that can be claimed now, then end; exit code 1 if a run failed.",
        )
        parser.add_argument(
            "--processes",
            type=_count,
            default=2,
            metavar="N",
            help="Worker processes, each of which runs one pipeline at a time (default 2).",
        )
        parser.add_argument("--parent", type=int, default=None, help=argparse.SUPPRESS)

    def handle(self, **options: Any) -> None:
        """Work, alone or as the parent of N processes."""
        if options["processes"] == 1:
            went_well = _work(once=options["once"], parent=options["parent"])
        else:
            went_well = _supervise(options["processes"], once=options["once"])
        sys.exit(0 if went_well else 1)


def _work(*, once: bool, parent: int | None) -> bool:
    from pipelines.installation import Moved
    from runner import signals, worker

    with signals.listening(to_the_end=True) as wishes:
        if parent is not None:
            signals.obey(parent, wishes)
        try:
            return worker.work(wishes, once=once)
        except worker.AWAY as error:
            raise CommandError(
                f"The metadata database cannot be used: {str(error).strip()}"
            ) from None
        except Moved as moved:
            raise CommandError(str(moved)) from None


def _supervise(count: int, *, once: bool) -> bool:
    from runner import processes, signals

    _refuse_a_copy()
    with signals.listening(to_children=True, to_the_end=True) as wishes:
        return processes.Parent(count, wishes, once=once).run()


def _refuse_a_copy() -> None:
    """Each worker asks for itself; here the sentence is said once, and no worker is started."""
    from django.db import connection

    from pipelines import installation
    from runner.worker import AWAY

    try:
        installation.check()
    except installation.Moved as moved:
        raise CommandError(str(moved)) from None
    except AWAY:
        pass  # the workers wait for it to come back
    finally:
        connection.close()


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"“{text}” is not a number of processes: give 1 or more.")
    return number
