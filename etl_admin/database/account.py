"""The system account that the server runs as, and what it may reach; starts no server itself."""

import errno
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etl_admin.database.errors import EmbeddedDatabaseError


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account; `switched` when it is not the one that this process runs as."""

    uid: int
    gid: int
    name: str
    switched: bool

    def run(self, *command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, without our terminal, folder, files or PG* settings."""
        try:
            return self._run([str(word) for words in command for word in words])
        except OSError as error:
            if not self.switched or error.errno != errno.EPERM:
                raise
            raise EmbeddedDatabaseError(
                f"PostgreSQL does not run as root, and root may not become '{self.name}' here, "
                "as in a container without the right to change users. Run as an ordinary user, "
                "or set DATABASE_URL."
            ) from error

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  (the programs are ours, no shell reads the words)
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",  # the folder we stand in may be closed to the account
            env=_plain_environment(),
            start_new_session=True,  # a Ctrl-C in our terminal is not for it
            user=self.uid if self.switched else None,
            group=self.gid if self.switched else None,
            extra_groups=[] if self.switched else None,
        )

    def can_reach(self, folder: Path) -> bool:
        """Ask the system itself, since modes alone do not tell of ACLs and mounts."""
        return self.run(["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0

    def give(self, path: Path) -> None:
        """Make this account the owner of a file or folder that we have just made."""
        if self.switched:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def server_account(directory: Path) -> Account:
    """Ourselves; for root the owner of what is there already, else `nobody`.

    PostgreSQL refuses to run as root. Taking the owner lets root use what an ordinary user began.
    """
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), name="", switched=False)
    for folder in (directory / "data", directory):
        if folder.is_dir() and (status := folder.stat()).st_uid != 0:
            return Account(
                uid=status.st_uid, gid=status.st_gid, name=_name_of(status.st_uid), switched=True
            )
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedDatabaseError(
            "PostgreSQL does not run as root, and this system has no user 'nobody' to run it as. "
            "Run as an ordinary user, or set DATABASE_URL."
        ) from None
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid, name="nobody", switched=True)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _plain_environment() -> dict[str, str]:
    # The server lives long, maybe as another user, and needs none of our keys and passwords; nor
    # may it obey PGDATA, PGPORT and the like. LC_ALL keeps messages in English.
    kept = {name: value for name, value in os.environ.items() if name in _HARMLESS}
    return kept | {"LC_ALL": "C"}


_HARMLESS = {
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
}
