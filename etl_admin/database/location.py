"""Where the files of an embedded PostgreSQL live, and how a folder becomes reachable for it.

Only folders made here are given permissions; what was there before keeps its own.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from etl_admin.database.account import Account, server_account
from etl_admin.database.errors import EmbeddedDatabaseError
from etl_admin.database.files import write_private

PROJECT = "etl-admin"
LASTING_TEMPORARY = Path("/var/tmp")  # noqa: S108  (ownership is checked below)
_MOVED_TO = "moved-to"  # in the home: where the data are instead
_BELONGS_TO = "belongs-to"  # in the folder outside: whose data these are


@dataclass(frozen=True, kw_only=True)
class Location:
    """`home` keeps the passwords, `directory` the cluster: the same folder unless `notice`."""

    home: Path
    directory: Path
    notice: str = ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether the data had to leave the project's own folder."""
        return self.directory != self.home


def locate(data_dir: Path) -> Location:
    """Find, or make, the folders; asking again gives the same answer for as long as they exist."""
    home = data_dir.resolve()
    _make_home(home)
    account = server_account(home)
    if not account.switched:
        return Location(home=home, directory=home)
    if elsewhere := _recorded(home):
        return _elsewhere(home, elsewhere, account)
    if account.can_reach(home):
        return Location(home=home, directory=home)
    if (home / "data").exists():
        raise EmbeddedDatabaseError(
            f"The database is in {home}, but the user '{account.name}', which runs PostgreSQL for "
            "root, can no longer reach that folder. Make the folders above it reachable again."
        )
    return _elsewhere(home, _usual_place(home), account)


def _make_home(home: Path) -> None:
    """Make the missing folders; with root, so that the server's account may pass through."""
    for folder in reversed((home, *home.parents)):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            # The umask may be stricter; private files in there have modes of their own.
            is_private = folder == home and os.geteuid() != 0
            folder.chmod(0o700 if is_private else 0o755)


def _usual_place(home: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return LASTING_TEMPORARY / f"{PROJECT}-{digest}"


def _recorded(home: Path) -> Path | None:
    """The folder noted by an earlier start, unless it went, or another project's copy owns it."""
    try:
        folder = Path((home / _MOVED_TO).read_text("utf-8"))
        owner = Path((folder / _BELONGS_TO).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    # Our project may have been renamed; but if the old one is still there, we are its copy.
    return folder if owner == home or not owner.exists() else None


def _elsewhere(home: Path, folder: Path, account: Account) -> Location:
    _make_or_check(folder)
    write_private(folder / _BELONGS_TO, str(home))
    write_private(home / _MOVED_TO, str(folder))
    notice = (
        f"The user '{account.name}', which runs PostgreSQL for root, cannot reach {home}, so the "
        f"database is kept in {folder}. Some systems empty {LASTING_TEMPORARY} of old files: for "
        "data that matter put the project into a folder that everybody may pass through, or set "
        "DATABASE_URL."
    )
    return Location(home=home, directory=folder, notice=notice)


def _make_or_check(folder: Path) -> None:
    """Anybody may write where this folder is made: one that we did not make is refused."""
    try:
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    except FileExistsError:
        status = folder.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_mode & 0o022:
            raise EmbeddedDatabaseError(
                f"The database belongs into {folder}, but somebody else made that, or others may "
                "write into it. Look at it, remove it, and try again."
            ) from None
