#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys


def main() -> None:
    """Run the command named in the arguments."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_admin.settings")
    try:
        _execute()
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say it: 128 and SIGINT


def _execute() -> None:
    """Django's own, except that a database that is away is a sentence and no traceback."""
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    from etl_admin.database.errors import EmbeddedDatabaseError

    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError, EmbeddedDatabaseError) as error:
        sentence = _sentence(error)
        if not sentence or "--traceback" in sys.argv:
            raise
        sys.exit(sentence)


def _sentence(error: Exception) -> str:
    """What to tell a person; empty for what is a fault of the program."""
    from django.db import ProgrammingError
    from psycopg.errors import UndefinedColumn, UndefinedTable

    said = " ".join(str(error).split())  # PostgreSQL gives its hints on further lines
    if not isinstance(error, ProgrammingError):
        return f"The metadata database cannot be used: {said}"
    if isinstance(error.__cause__, (UndefinedTable, UndefinedColumn)):
        return "The metadata database lacks tables of this version; run: manage.py migrate."
    return ""


if __name__ == "__main__":
    main()
