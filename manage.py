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
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"The metadata database cannot be used: {str(error).strip()}")


if __name__ == "__main__":
    main()
