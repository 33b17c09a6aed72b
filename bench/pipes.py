"""What people do without us: psql piped into psql."""

import shutil
import subprocess
import time
from dataclasses import dataclass

from bench.ground import QUERY, SOURCE, TARGET, Ground, make_target
from bench.work import MeasurementError

_NO_PSQL = "No psql was found, so there is nothing to compare with. Install it and try again."


@dataclass(frozen=True, kw_only=True)
class Psql:
    """The psql that the pipes are made of."""

    program: str
    version: str


def find_psql(ground: Ground) -> Psql:
    """The psql on the PATH, else the server's own. Raises MeasurementError when there is none."""
    program = shutil.which("psql") or shutil.which("psql", path=ground.programs())
    if program is None:
        raise MeasurementError(_NO_PSQL)
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return Psql(program=program, version=answer.stdout.strip())


def text_pipe(ground: Ground, psql: Psql) -> float:
    """Seconds of a text COPY into the emptied table with its primary key."""
    make_target(ground, "piped")
    return _timed(ground, psql, into="piped", form="text")


def floor(ground: Ground, psql: Psql) -> float:
    """Seconds of a binary COPY into a table without index, plus building its primary key."""
    make_target(ground, "floor", key=False)
    copied = _timed(ground, psql, into="floor", form="binary")
    with ground.session(TARGET) as session:
        began = time.monotonic()
        session.execute("ALTER TABLE analytics.floor ADD PRIMARY KEY (id)")
        return copied + time.monotonic() - began


def _timed(ground: Ground, psql: Psql, *, into: str, form: str) -> float:
    ground.settle()
    out = f"COPY ({QUERY}) TO STDOUT (FORMAT {form})"
    copy_in = f"COPY analytics.{into} FROM STDIN (FORMAT {form})"
    began = time.monotonic()
    with (
        subprocess.Popen(_words(psql, ground.url(SOURCE), out), stdout=subprocess.PIPE) as reader,
        subprocess.Popen(
            _words(psql, ground.url(TARGET), copy_in),
            stdin=reader.stdout,
            stdout=subprocess.DEVNULL,
        ) as writer,
    ):
        failed = writer.wait() or reader.wait()
    if failed:
        raise MeasurementError("psql failed; what it said is above.")
    return time.monotonic() - began


def _words(psql: Psql, url: str, statement: str) -> list[str]:
    return [psql.program, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "-c", statement, url]
