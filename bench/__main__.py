"""`python -m bench [reload memory incremental latency reconcile]`: measure, print a table."""

import argparse
import importlib
import sys

from bench.figures import print_table
from bench.ground import ground
from bench.work import MeasurementError

_MEASURES = ("reload", "memory", "incremental", "latency", "reconcile")


def main() -> int:
    """Exit code 0 when every figure is met."""
    options = _options()
    figures = []
    try:
        with ground() as found:
            for name in options.measures or _MEASURES:
                measure = importlib.import_module(f"bench.{name}").measure
                figures += measure(found, rows=options.rows, rounds=options.rounds)
            server = found.server_version()
    except MeasurementError as error:
        print(error, file=sys.stderr)
        return 2
    print_table(figures, server=server)
    return 0 if all(figure.is_met for figure in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="measure", help=", ".join(_MEASURES))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.measures:
        if name not in _MEASURES:
            parser.error(f"“{name}” is none of {', '.join(_MEASURES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
