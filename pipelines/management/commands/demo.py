"""`manage.py demo`: from nothing to rows that move; arguments and order only."""

import subprocess
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from rich.console import Console

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.demo import children, interrupts, prepare, show
from pipelines.models import Pipeline
from pipelines.states import ACTIVE


class Command(BaseCommand):
    """Prepares the demo, runs its pipelines, and serves the site."""

    help = "Brings up a database, data and pipelines, runs them, and serves the admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The two choices there are."""
        parser.add_argument("--exit", action="store_true", help="stop after the results")
        parser.add_argument("--port", type=_port, default=8000, help="where to serve (8000)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Everything, in order; what was started is stopped in the end."""
        if not settings.EMBEDDED:
            raise CommandError("The demo brings its own database: unset DATABASE_URL first.")
        interrupts.listen()
        console = Console()
        started_here = False
        went_well = False
        try:
            started_here = _start_database(console)
            with _interruptible(console):
                _prepare(console)
            went_well = _run(console, serve=not options["exit"], port=options["port"])
        except KeyboardInterrupt:
            went_well = not options["exit"]
        except psycopg.Error as error:
            raise CommandError(f"The warehouse cannot be used: {error}") from error
        finally:
            _stop_database(console, started_here=started_here)
            interrupts.ignore()
        if not went_well:
            raise CommandError("Not every run succeeded.")


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else 0
    if not 0 < port < 65536:
        raise ArgumentTypeError(f"“{text}” is not a port: give a number from 1 to 65535.")
    return port


@contextmanager
def _interruptible(console: Console) -> Iterator[None]:
    """Where Ctrl-C takes effect; everywhere else it waits for the next such place."""
    try:
        with interrupts.allowed():
            yield
    except KeyboardInterrupt:
        console.print("Stopping.")
        raise


def _start_database(console: Console) -> bool:
    """True when the embedded server was started by us."""
    from etl_admin.database.embedded import ensure_running

    with console.status("Starting PostgreSQL …"):
        server = ensure_running(settings.DATA_DIR / "postgres")
    if server.notice:
        console.print(server.notice, style="yellow", highlight=False)
    console.print(f"PostgreSQL answers at {server.host}:{server.port}.", highlight=False)
    return server.started_here


def _prepare(console: Console) -> None:
    """Tables, data, administrator."""
    with console.status("Making tables …"):
        prepare.migrate()
    with console.status("Loading New York's flights of January 2013 and synthetic films …"):
        rows = prepare.load_data()
    console.print(f"The warehouse holds {sum(rows.values()):,} source rows.", highlight=False)
    _show_administrator(console)


def _show_administrator(console: Console) -> None:
    password = prepare.make_administrator()
    name = prepare.ADMINISTRATOR
    if password is not None:
        console.print(f"Sign in as [bold]{name}[/bold], password [bold]{password}[/bold]")
        console.print("(shown this once; change it with: manage.py changepassword admin)")
    else:
        console.print(f"Sign in as {name}, with the password that the first demo printed")
        console.print("(a new one: .venv/bin/python manage.py changepassword admin)")


def _run(console: Console, *, serve: bool, port: int) -> bool:
    """Worker and runs; then the site, until Ctrl-C."""
    with _interruptible(console):
        pipelines = prepare.make_pipelines()
        totals = {pipeline.name: prepare.count_source(pipeline) for pipeline in pipelines}
    with children.worker() as worker:
        with _interruptible(console):
            for pipeline in pipelines:
                _request(console, pipeline)
            show.watch(console, pipelines, totals, lambda: _lives(worker))
            went_well = show.results(console, pipelines)
        if serve:
            _serve(console, port, worker)
    return went_well


def _lives(process: subprocess.Popen[bytes]) -> bool:
    interrupts.obey()
    return process.poll() is None


def _request(console: Console, pipeline: Pipeline) -> None:
    try:
        lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.COMMAND)
    except lifecycle.TransitionRefused as refused:
        if refused.status not in ACTIVE:
            console.print(f"{pipeline.name}: {refused.sentence}", style="yellow")


def _serve(console: Console, wanted: int, worker: subprocess.Popen[bytes]) -> None:
    try:
        port = children.free_port(wanted)
    except OSError as error:
        raise CommandError(str(error)) from error
    if port != wanted:
        console.print(f"Port {wanted} is taken, so the site is at {port}.", style="yellow")
    with children.site(port) as web, _interruptible(console):
        while _lives(web) and not children.answers(port):
            time.sleep(0.1)
        address = f"http://127.0.0.1:{port}/admin/"
        console.print(f"The admin is at [bold]{address}[/bold]. Ctrl-C stops everything.")
        while _lives(web) and _lives(worker):
            time.sleep(0.5)
        gone = "site" if web.poll() is not None else "worker"
        raise CommandError(f"The {gone} ended by itself; its log is in {settings.DATA_DIR}.")


def _stop_database(console: Console, *, started_here: bool) -> None:
    """Only what we started, and only when nobody else is connected."""
    from etl_admin.database.embedded import stop_if_idle

    connections.close_all()
    if started_here and not stop_if_idle(settings.DATA_DIR / "postgres"):
        console.print("PostgreSQL goes on: somebody else is connected to it.")
