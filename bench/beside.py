"""reladiff in an environment and a process of its own, so that ours stays as it is."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.work import MeasurementError

_REQUIREMENTS = Path(__file__).with_name("reladiff.txt")
# Asks no more of its user than its README shows: two tables, all columns. With threads it is
# faster than without, so it has them.
_PROGRAM = """
import json, sys, time
from reladiff import connect_to_table, diff_tables

THREADS = 2
for line in sys.stdin:
    asked = json.loads(line)
    began = time.monotonic()
    columns = tuple(asked["columns"])
    sides = [
        connect_to_table(url, name, "id", thread_count=THREADS, extra_columns=columns)
        for url, name in asked["sides"]
    ]
    with diff_tables(*sides, max_threadpool_size=2 * THREADS) as found:
        differing = list(found)
    for side in sides:
        side.database.close()
    took = time.monotonic() - began
    print(json.dumps([took, [[sign, str(row[0])] for sign, row in differing]]), flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Reladiff:
    """A process that compares, again and again; what it has to import is imported."""

    version: str
    process: "subprocess.Popen[str]"

    def diff(
        self, sides: list[tuple[str, str]], columns: list[str]
    ) -> tuple[float, set[tuple[str, str]]]:
        """Seconds, and what it found of (url, table) and (url, table): signs and keys."""
        answers, questions = _pipes(self.process)
        questions.write(json.dumps({"sides": sides, "columns": columns}) + "\n")
        questions.flush()
        answer = answers.readline()
        if not answer:
            raise MeasurementError("reladiff ended; what it said is above.")
        took, rows = json.loads(answer)
        return float(took), {(sign, key) for sign, key in rows}


@contextmanager
def reladiff() -> Iterator[Reladiff]:
    """Installed from pinned packages into a temporary folder, and gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder, "bin", "python"))
        _run(sys.executable, "-m", "venv", folder)
        pip = (python, "-m", "pip", "--disable-pip-version-check")
        _run(*pip, "install", "--quiet", "--require-hashes", "-r", str(_REQUIREMENTS))
        version = _run(python, "-c", "import reladiff; print(reladiff.__version__)").strip()
        with subprocess.Popen(
            [python, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield Reladiff(version=version, process=process)
            finally:
                process.kill()


def _run(*words: str) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise MeasurementError("reladiff could not be installed; what pip said is above.")
    return done.stdout


def _pipes(process: "subprocess.Popen[str]") -> tuple[IO[Any], IO[Any]]:
    if process.stdin is None or process.stdout is None:
        raise MeasurementError("reladiff has no pipes.")
    return process.stdout, process.stdin
