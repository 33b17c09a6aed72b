"""Private files of an installation: written whole or not at all, and a lock between processes."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from etl_admin.database.errors import EmbeddedDatabaseError

LOCK_SECONDS = 180.0  # longer than a start may take, so that a waiter outlives a slow recovery


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only the owner of its folder can read (0600)."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        own_like_folder(Path(temporary))
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def own_like_folder(path: Path) -> None:
    """What root writes into an ordinary user's folder stays usable for that user."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@contextmanager
def locked(path: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system frees it when the holder dies.

    flock belongs to the opened file, so it also keeps the threads of one process apart, and the
    handle is not inherited by the server that may be started meanwhile.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        own_like_folder(path)
        _wait_for_lock(handle, path, time.monotonic() + seconds)
        yield
    finally:
        os.close(handle)


def _wait_for_lock(handle: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"Another process has been starting or stopping the embedded PostgreSQL for "
                    f"too long (it holds {path}). End that process and try again."
                ) from None
            time.sleep(0.02)
        else:
            return
