"""`python -m bench.reconciler PIPELINE`: find the rows that differ once, and tell the memory."""

import json
import os
import sys

import django

django.setup()

from bench.reconcile import request  # noqa: E402 (after Django)
from bench.work import peak_memory  # noqa: E402
from pipelines.models import Pipeline  # noqa: E402
from runner.comparing.compare import compare  # noqa: E402


def main() -> None:
    """Print the number of differing rows and this process's peak memory in bytes."""
    report = compare(request(Pipeline.objects.get(pk=sys.argv[1]), "rows"))
    rows = (report.missing or 0) + (report.extra or 0) + (report.different or 0)
    print(json.dumps({"rows": rows, "peak": peak_memory(os.getpid())}))


if __name__ == "__main__":
    main()
