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
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from etl_admin.database import embedded, processes
from pipelines.demo import children, interrupts
from tests.waiting import until

ROOT = Path(__file__).parents[2]
_OWN = ("DATABASE_URL", "WAREHOUSE_URL", "SECRET_KEY", "ENCRYPTION_KEYS", "CONNECTIONS_ALLOW_LOCAL")


def of(data: Path) -> list[psutil.Process]:
    """Our processes that work in this data directory."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["environ"] or {}).get("DATA_DIR") == str(data)
    ]


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
        return servers + [" ".join(process.info["cmdline"]) for process in of(self.data)]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the server's account can pass through; what a failed test left is ended."""
    path = Path(tempfile.mkdtemp(prefix="etl-admin-test-"))
    path.chmod(0o755)
    yield path
    for process in of(path):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    embedded.stop(path / "postgres")
    shutil.rmtree(path)


@contextmanager
def _hanging_up() -> Iterator[None]:
    """What is started in here ends when its terminal does, also where the tests are to go on."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def start(data: Path, *arguments: str) -> Demo:
    """`manage.py demo`, 80 columns wide."""
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    log = data / "demo.log"
    with log.open("wb") as output, _hanging_up():
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


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("", signal.SIGINT),
        ("PostgreSQL answers", signal.SIGHUP),
        ("The warehouse holds", signal.SIGTERM),
    ],
)
def test_a_signal_before_anything_is_ready_leaves_nothing_running(
    data_dir: Path, words: str, number: signal.Signals
) -> None:
    demo = start(data_dir, "--exit")
    if words:
        demo.until_said(words)
    else:
        until(
            lambda: list((data_dir / "postgres").glob("initdb-*/data/*")), what=lambda: demo.output
        )

    for _ in range(3):
        os.killpg(demo.process.pid, number)  # as a terminal does, to everybody who is in it

    assert demo.process.wait(60) == 1, demo.output
    assert "Stopping." in demo.output
    assert "Traceback" not in demo.output
    assert demo.left() == []


def test_signals_while_it_ends_by_itself_change_nothing(data_dir: Path) -> None:
    demo = start(data_dir, "--exit")
    demo.until_said("rows/s")

    for _ in range(3):
        demo.process.send_signal(signal.SIGINT)
    until(
        lambda: demo.process.poll() is not None or demo.process.send_signal(signal.SIGTERM),
        seconds=60,
        what=lambda: demo.output,
    )

    assert demo.process.returncode in {0, 1}, demo.output  # 1: told before the results counted
    assert "Traceback" not in demo.output
    assert demo.left() == []


def test_a_child_that_will_not_end_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(children, "STOP_SECONDS", 0.5)
    stubborn = "trap '' TERM; tail -f /dev/null & echo $!; wait; wait; wait; tail -f /dev/null"

    with children._child("stubborn", ["sh", "-c", stubborn]) as process:
        log = tmp_path / "stubborn.log"
        grandchild = int(until(log.read_text))

    assert process.returncode == -signal.SIGKILL
    try:
        until(lambda: not _lives(grandchild), what="the child's child is alive")
    finally:
        if _lives(grandchild):
            os.kill(grandchild, signal.SIGKILL)


def _lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_an_interrupt_that_python_dropped_is_obeyed_at_the_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupts, "_interrupts", interrupts._Interrupts())
    with interrupts.allowed():
        with suppress(KeyboardInterrupt):
            interrupts._interrupts.came(signal.SIGINT, None)
        interrupts._interrupts.came(signal.SIGINT, None)  # the second does not interrupt by itself
        with pytest.raises(KeyboardInterrupt):
            interrupts.obey()


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_an_impossible_port_is_refused_before_anything_starts(data_dir: Path, port: str) -> None:
    demo = start(data_dir, "--port", port)
    assert demo.process.wait(60) == 2
    assert f"“{port}” is not a port: give a number from 1 to 65535." in demo.output
    assert not (data_dir / "postgres").exists()


def test_a_demo_whose_database_cannot_start_says_why_in_a_sentence(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "passwords.json").write_text("{")
    demo = start(data_dir, "--exit")
    assert demo.process.wait(60) == 1
    assert "passwords.json is damaged" in demo.output
    assert "Traceback" not in demo.output


def test_a_port_that_nobody_may_have_is_an_error_with_a_way_out() -> None:
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 65535))
        taken.listen()
        with pytest.raises(OSError, match="No port from 65535 to 65535 is free"):
            children.free_port(65535)
