"""The demo's own processes, a worker and the site: started, watched, and ended with it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from pipelines.demo import interrupts

#: How long a child may take to finish its work before it is ended.
STOP_SECONDS = 20
_LOOK_SECONDS = 0.2
TRIED_PORTS = 50


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A real worker with its children."""
    with _child("worker", [sys.executable, _manage(), "runpipelines"]) as process:
        yield process


@contextmanager
def site(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The admin and the API at 127.0.0.1."""
    command = [
        *(sys.executable, "-m", "gunicorn", "etl_admin.wsgi"),
        *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "8"),
    ]
    with _child("web", command, PUBLIC_URL=f"http://127.0.0.1:{port}") as process:
        yield process


def free_port(wanted: int) -> int:
    """`wanted`, or the next port above it that nobody listens on. Raises OSError."""
    last = min(wanted + TRIED_PORTS - 1, 65535)
    for port in range(wanted, last + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"No port from {wanted} to {last} is free for us; name another: --port 9000.")


def answers(port: int) -> bool:
    """Whether somebody accepts connections at the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _child(name: str, command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = _start(name, command, environment)
    try:
        yield process
    finally:
        _end(process)


def _start(name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    settings.DATA_DIR.mkdir(exist_ok=True)
    with (settings.DATA_DIR / f"{name}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 (our own program, fixed arguments)
            command,
            cwd=settings.BASE_DIR,
            env={"CONNECTIONS_ALLOW_LOCAL": "1", **os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C reaches the whole terminal: the demo alone decides in which order things end.
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and again for each further wish of ours; then SIGKILL, to all that it started."""
    deadline = time.monotonic() + STOP_SECONDS
    told = None
    while process.poll() is None and time.monotonic() < deadline:
        if told != interrupts.count():
            told = interrupts.count()
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _manage() -> str:
    return str(Path(settings.BASE_DIR) / "manage.py")
