"""`manage.py demo` as a newcomer runs it: results, signals at any time, and nothing left behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from etl_admin.database import processes
from tests.waiting import until

ROOT = Path(__file__).parents[2]
_OWN = ("DATABASE_URL", "WAREHOUSE_URL", "SECRET_KEY", "ENCRYPTION_KEYS", "CONNECTIONS_ALLOW_LOCAL")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A running demo in a data directory of its own."""

    process: subprocess.Popen[bytes]
    data: Path
    log: Path

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text("utf-8", "replace")

    def until_said(self, words: str) -> None:
        """Wait for a line of its output."""
        until(
            lambda: words in self.output or self.process.poll() is not None,
            seconds=90,
            what=lambda: self.output,
        )
        assert words in self.output

    def left(self) -> list[str]:
        """Processes that still belong to it: its children, and its server."""
        servers = [str(pid) for pid in processes.postmasters(self.data / "postgres" / "data")]
        mine = str(self.data)
        children = [
            " ".join(process.info["cmdline"])
            for process in psutil.process_iter(["cmdline", "environ"])
            if (process.info["environ"] or {}).get("DATA_DIR") == mine
        ]
        return servers + children


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the server's account can pass through."""
    path = Path(tempfile.mkdtemp(prefix="etl-admin-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def start(data: Path, *arguments: str) -> Demo:
    """`manage.py demo`, 80 columns wide."""
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    log = data / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=ROOT,
            env={**environment, "DATA_DIR": str(data), "COLUMNS": "80"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Demo(process=process, data=data, log=log)


def test_the_demo_moves_rows_twice_and_leaves_nothing_running(data_dir: Path) -> None:
    first = start(data_dir, "--exit")
    assert first.process.wait(120) == 0, first.output
    assert len(re.findall(r"│ Success │", first.output)) == 4
    assert "password" in first.output
    assert max(map(len, first.output.splitlines()[-10:])) <= 80
    assert "rows/s" in first.output
    assert first.left() == []

    second = start(data_dir, "--exit")
    assert second.process.wait(120) == 0, second.output
    assert len(re.findall(r"│ Success │", second.output)) == 4
    assert "with the password that the first demo printed" in second.output
    assert second.left() == []


def test_many_signals_while_it_serves_stop_everything(data_dir: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = start(data_dir, "--port", str(port))
        demo.until_said("Ctrl-C stops everything")
    assert f"Port {port} is taken" in demo.output

    for _ in range(5):
        demo.process.send_signal(signal.SIGINT)
    until(lambda: "Stopping." in demo.output, what=lambda: demo.output)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        demo.process.send_signal(number)

    assert demo.process.wait(60) == 0, demo.output
    assert "Traceback" not in demo.output
    assert demo.left() == []


@pytest.mark.parametrize("words", ["", "PostgreSQL answers", "The warehouse holds"])
def test_a_signal_before_anything_is_ready_leaves_nothing_running(
    data_dir: Path, words: str
) -> None:
    demo = start(data_dir, "--exit")
    if words:
        demo.until_said(words)
    else:
        until((data_dir / "postgres").exists, what=lambda: demo.output)

    for _ in range(3):
        demo.process.send_signal(signal.SIGTERM)

    assert demo.process.wait(60) == 1, demo.output
    assert "Stopping." in demo.output
    assert "Traceback" not in demo.output
    assert demo.left() == []
