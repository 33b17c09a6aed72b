"""Which PostgreSQL processes run on a data directory; looks only, never signals.

A process id from a file proves nothing: after a crash or a reboot it may be anybody's. What a
process says of itself (its command line, its folder) does.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def postmasters(data: Path) -> list[int]:
    """Process ids of the servers (not their children) that run on this data directory."""
    if not (_PROC / "self" / "cmdline").exists():
        return [pid for pid, line in _lines_of_ps() if f"postgres -D {data} " in f"{line} "]
    return [pid for pid, words in _words_of_proc() if _is_postmaster(pid, words, data)]


def occupants(data: Path) -> list[int]:
    """As `postmasters`, and sessions that outlive a killed server (where the system shows them).

    Such a session still holds the shared memory, and PostgreSQL refuses to start beside it.
    """
    left = [
        pid
        for pid, words in _words_of_proc()
        if words[0].startswith("postgres:") and _stands_in(pid, data)
    ]
    return postmasters(data) + left


def _is_postmaster(pid: int, words: list[str], data: Path) -> bool:
    if Path(words[0]).name != "postgres" or "-D" not in words[:-1]:
        return False
    # By its folder too: a server whose data directory was renamed still shows the old name.
    return words[words.index("-D") + 1] == str(data) or _stands_in(pid, data)


def _stands_in(pid: int, folder: Path) -> bool:
    try:
        return (_PROC / str(pid) / "cwd").samefile(folder)
    except OSError:  # gone, not ours to see, or no such folder
        return False


def _words_of_proc() -> Iterator[tuple[int, list[str]]]:
    if not _PROC.is_dir():
        return
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if line:  # empty for kernel threads, and for zombies: those run on nothing
            yield int(folder.name), os.fsdecode(line).split("\0")


def _lines_of_ps() -> Iterator[tuple[int, str]]:
    command = ["/bin/ps", "-axww", "-o", "pid=,command="]
    # Fixed words, no shell.
    listing = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    for line in listing.stdout.splitlines():
        pid, _, words = line.strip().partition(" ")
        yield int(pid), words
