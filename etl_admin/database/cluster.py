"""One PostgreSQL cluster: made, started, asked and stopped; knows nothing of this project's data.

Liveness is found out by connecting, never by a process id alone, and only a process whose own
command line or folder names this data directory is ever signalled.
"""

import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

import psycopg

from etl_admin.database import binaries, processes
from etl_admin.database.account import Account, server_account
from etl_admin.database.errors import EmbeddedDatabaseError
from etl_admin.database.files import own_like_folder, write_private
from etl_admin.database.loopback import HOST, SUPERUSER, free_port, is_free, superuser_session

START_SECONDS = 120.0  # crash recovery replays at most a few GB of log
STOP_SECONDS = 60.0
_LOG_KEPT_BYTES = 10_000_000
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
StopMode = Literal["smart", "fast", "immediate"]


class Cluster:
    """A data directory and the server that runs on it, loopback TCP with scram only.

    `directory` is ours and must be reachable for the account that runs the server; in it are
    `data` (the server's, 0700), `server.log`, `port`, and a copy of the programs where needed.
    `options` are server settings given at each start, such as `{"fsync": "off"}`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        major: int = binaries.DEFAULT_MAJOR,
        options: Mapping[str, str] = MappingProxyType({}),
        password: str = "",
    ) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.options = dict(options)
        self.password = password or token_urlsafe(24)
        self._major = major
        self._port_file = self.directory / "port"

    @property
    def exists(self) -> bool:
        """Whether the data directory is there, whole (it appears by a rename)."""
        return self.data.is_dir()

    @property
    def major(self) -> int:
        """The version that made the data, which may be older than the one asked for."""
        with suppress(OSError, ValueError):
            return int((self.data / "PG_VERSION").read_text("ascii"))
        return self._major

    @property
    def port(self) -> int:
        """The port of the last start; 0 before the first."""
        with suppress(OSError, ValueError):
            return int(self._port_file.read_text("ascii"))
        return 0

    def url(self, dbname: str, *, user: str = SUPERUSER, password: str = "") -> str:
        """The address of a database; for the superuser the password is known."""
        secret = quote(password or self.password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@{HOST}:{self.port}/{quote(dbname)}"

    def connect(self, dbname: str = SUPERUSER) -> psycopg.Connection:
        """A superuser session, every statement its own transaction. Raises psycopg's errors."""
        return superuser_session(port=self.port, dbname=dbname, password=self.password, seconds=10)

    def init(self) -> None:
        """Make the data directory: beside its place first, then a rename, so never half-made."""
        account = self._account()
        for left in self.directory.glob("initdb-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a process that was killed here
        workplace = Path(tempfile.mkdtemp(dir=self.directory, prefix="initdb-"))
        workplace.chmod(0o711)
        password_file, data = workplace / "password", workplace / "data"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password, "utf-8")
        data.mkdir(mode=0o700)
        account.give(password_file)
        account.give(data)
        outcome = account.run([self._program("initdb", account)], self._initdb_words(workplace))
        if outcome.returncode != 0:
            shutil.rmtree(workplace, ignore_errors=True)
            raise EmbeddedDatabaseError(
                f"The embedded PostgreSQL could not be made in {self.directory}: "
                f"{outcome.stderr.strip() or outcome.stdout.strip()}"
            )
        data.rename(self.data)
        shutil.rmtree(workplace)

    def start(self, port: int = 0) -> bool:
        """Start, and tell True; False if it is running already.

        `port` 0 means the last one if it is free, else a free one. The server gets a session of
        its own: it outlives us, a Ctrl-C and our terminal.
        """
        deadline = time.monotonic() + START_SECONDS
        if self._wait_for_starting(deadline):
            return False
        account = self._account()
        program = self._program("pg_ctl", account)
        self._prepare_log(account)
        # Nobody runs on this directory, so what the file says is left over. PostgreSQL would
        # refuse to start if it is cut off, or if its process id has become somebody else's.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for chosen in [port] if port else [self.port, 0, 0, 0]:
            if self._start_on(chosen or free_port(), program, account, deadline):
                return True
        raise EmbeddedDatabaseError(
            f"The embedded PostgreSQL found no free port (last tried: {self.port}). "
            f"End the program that uses it, or see {self.log}."
        )

    def is_running(self) -> bool:
        """Whether this very server answers: with our password, from our data directory.

        The port noted at the start is asked, and the one in the server's own file.
        """
        return any(self._answers_on(port) for port in self._known_ports())

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait until it is gone; nothing happens if it does not run."""
        deadline = time.monotonic() + STOP_SECONDS
        signalled: set[int] = set()
        while running := processes.postmasters(self.data):
            for pid in set(running) - signalled:
                with suppress(ProcessLookupError):
                    os.kill(pid, _SIGNALS[mode])
            signalled.update(running)
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"The embedded PostgreSQL (process {running[0]}) has not stopped within "
                    f"{STOP_SECONDS:.0f} s. Its log is {self.log}."
                )
            time.sleep(0.02)

    def destroy(self) -> None:
        """Stop without ceremony and delete the folder with everything in it."""
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _account(self) -> Account:
        account = server_account(self.directory)
        if account.switched and not account.can_reach(self.directory):
            raise EmbeddedDatabaseError(
                f"PostgreSQL does not run as root, and the user '{account.name}', which runs it "
                f"instead, cannot reach {self.directory}. Use a folder that it can reach."
            )
        if re.search(r'["$`\\\n]', str(self.directory)):
            raise EmbeddedDatabaseError(
                f'The folder {self.directory} has one of the characters " $ ` \\ in its name, '
                "with which PostgreSQL's own tools cannot work. Use another folder."
            )
        return account

    def _program(self, name: str, account: Account) -> Path:
        folder = binaries.programs(major=self.major, account=account, directory=self.directory)
        return folder / name

    def _initdb_words(self, workplace: Path) -> list[str]:
        words = ["-D", str(workplace / "data"), "-U", SUPERUSER, "--encoding=UTF8"]
        words += [f"--pwfile={workplace / 'password'}", "--data-checksums", "--auth=scram-sha-256"]
        words += ["--set", "timezone=UTC", "--set", "log_timezone=UTC"]
        if self.major >= 17:  # the first with a provider that needs nothing of the system
            words += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            words += ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]
        return words + (["--no-sync"] if self.options.get("fsync") == "off" else [])

    def _wait_for_starting(self, deadline: float) -> bool:
        """True when it answers, False when nothing runs here; waits for what is in between."""
        while True:
            if self.is_running():
                return True
            occupants = processes.occupants(self.data)
            if not occupants:
                return False
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"A PostgreSQL (process {occupants[0]}) runs on {self.data} but does not "
                    f"answer. Wait, or end it if it is stuck or the folder was renamed while it "
                    f"ran (kill -INT {occupants[0]}), then try again. Its log is {self.log}."
                )
            time.sleep(0.05)

    def _start_on(self, port: int, program: Path, account: Account, deadline: float) -> bool:
        """False when the port turned out to be taken."""
        if not is_free(port):
            return False
        said = self._start_once(port, program, account)
        while said and not self._wait_for_starting(deadline):
            if "could not bind" in said:
                return False
            # Sessions of a killed server finish what they do, and not every system shows them.
            if "shared memory block" not in said or time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"The embedded PostgreSQL did not start. Its log ({self.log}) ends with: {said}"
                )
            time.sleep(0.1)
            said = self._start_once(port, program, account)
        return True

    def _start_once(self, port: int, program: Path, account: Account) -> str:
        """Empty when it started, else what it said."""
        write_private(self._port_file, str(port))  # first: a start we do not survive is found
        log_offset = self.log.stat().st_size
        settings = {"listen_addresses": HOST, "unix_socket_directories": "", "port": str(port)}
        words = [f"--{name}={value}" for name, value in (self.options | settings).items()]
        outcome = account.run(
            [program, "start", "-w", "-t", str(int(START_SECONDS))],
            ["-D", self.data, "-l", self.log, "-o", shlex.join(words)],
        )
        if outcome.returncode == 0:
            return ""
        return self._said_since(log_offset) or outcome.stderr.strip() or "nothing"

    def _prepare_log(self, account: Account) -> None:
        if self.log.exists() and self.log.stat().st_size > _LOG_KEPT_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))
        if not self.log.exists():
            self.log.touch(mode=0o600)
            own_like_folder(self.log)
            account.give(self.log)

    def _said_since(self, offset: int) -> str:
        with self.log.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
        return " / ".join(lines[-8:])

    def _known_ports(self) -> set[int]:
        ports = {self.port}
        with suppress(OSError, ValueError, IndexError):
            lines = (self.data / "postmaster.pid").read_text("ascii").splitlines()
            ports.add(int(lines[3]))  # miscadmin.h, LOCK_FILE_LINE_PORT
        return {port for port in ports if 0 < port < 65536}

    def _answers_on(self, port: int) -> bool:
        try:
            with superuser_session(
                port=port, dbname=SUPERUSER, password=self.password, seconds=2
            ) as session:
                answer = session.execute("SHOW data_directory").fetchone()
        except psycopg.Error:
            return False
        if answer != (str(self.data),):  # a copy of this folder has our password too
            return False
        if port != self.port:
            write_private(self._port_file, str(port))
        return True
