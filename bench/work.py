"""A real worker process, and runs of pipelines by it; what is measured is in the other files."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ground import QUERY, SOURCE, TARGET, Ground, make_target

_ROOT = Path(__file__).parents[1]
_RUN_SECONDS = 600.0


class MeasurementError(Exception):
    """Something that must hold for a measurement to mean anything does not."""


class Worker:
    """One `runpipelines` process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def peak_memory(self) -> int:
        """The most memory this process ever held, in bytes."""
        return peak_memory(self.process.pid)


def peak_memory(pid: int) -> int:
    """The most memory a process ever held, in bytes (VmHWM of proc(5), Linux only)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise MeasurementError("The system does not tell a process's peak memory.")


@contextmanager
def working() -> Iterator[Worker]:
    """A worker that waits for work until the end of the context."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "runpipelines", "--processes", "1"],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        env=dict(os.environ),
    )
    try:
        yield Worker(process)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def warm_worker(ground: Ground) -> Iterator[Worker]:
    """A worker that has run something small, so that nothing is done for the first time."""
    with working() as worker:
        make_target(ground, "warm")
        run(pipeline("warm", target="warm", source_query=f"{QUERY} ORDER BY id LIMIT 100"))
        yield worker


def pipeline(name: str, *, target: str, **definition: Any) -> Any:
    """A pipeline from the source's items to a table of `analytics`, made or changed."""
    from pipelines.models import Pipeline

    made, _created = Pipeline.objects.update_or_create(
        name=name,
        defaults={
            "source_connection": _connection(SOURCE),
            "target_connection": _connection(TARGET),
            "target_table": f"analytics.{target}",
            "source_query": QUERY,
            "mode": "full",
            **definition,
        },
    )
    return made


def run(pipeline: Any) -> Any:
    """Request a run, wait until the worker has ended it, and give back the run."""
    from pipelines import lifecycle
    from pipelines.choices import Trigger

    before = pipeline.runs.count()
    lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.COMMAND)
    until(lambda: pipeline.runs.filter(finished_at__isnull=False).count() > before)
    ended = pipeline.runs.order_by("-generation").first()
    if ended.status != "SUCCESS":
        raise MeasurementError(f"The run of {pipeline.name} did not succeed: {ended.error_message}")
    return ended


def seconds(run: Any) -> float:
    """How long a run took by its own account."""
    return float((run.finished_at - run.started_at).total_seconds())


def until(holds: Callable[[], bool], *, interval: float = 0.05) -> None:
    """Look again and again until it holds. Raises MeasurementError after ten minutes."""
    deadline = time.monotonic() + _RUN_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise MeasurementError("Waited ten minutes in vain. The worker's log says more.")
        time.sleep(interval)


def _connection(name: str) -> Any:
    from urllib.parse import urlsplit

    from pipelines.models import Connection

    parts = urlsplit(os.environ["WAREHOUSE_URL"])
    found = Connection.objects.filter(name=name).first() or Connection(name=name)
    found.host, found.port = parts.hostname or "", parts.port or 0
    found.dbname = found.user = name
    found.sslmode, found.target_schemas = "disable", ["analytics"]
    found.set_password(name)
    found.save()
    return found
