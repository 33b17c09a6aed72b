"""A cluster for tests and measurements that goes away with the process that asked for it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from etl_admin.database.binaries import DEFAULT_MAJOR
from etl_admin.database.cluster import Cluster

# Durability off: nothing here needs to survive.
FAST = MappingProxyType({"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})


@contextmanager
def throwaway_cluster(
    *, major: int = DEFAULT_MAJOR, options: Mapping[str, str] = FAST
) -> Iterator[Cluster]:
    """A running cluster in a temporary folder, deleted at the end, also when we are killed."""
    directory = Path(tempfile.mkdtemp(prefix="etl-admin-cluster-"))
    if os.geteuid() == 0:
        directory.chmod(0o711)  # the server runs as another user, and only passes through
    cluster = Cluster(directory, major=major, options=options)
    with _watchdog(directory):
        try:
            cluster.init()
            cluster.start()
            yield cluster
        finally:
            cluster.destroy()


@contextmanager
def _watchdog(directory: Path) -> Iterator[None]:
    """A process that waits for our end of a pipe to close, then destroys what we left."""
    with subprocess.Popen(  # noqa: S603 (our own module, no shell)
        [sys.executable, "-m", __name__, str(directory)],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        start_new_session=True,  # a Ctrl-C in our terminal is not for it
    ):
        yield


if __name__ == "__main__":
    sys.stdin.read()
    Cluster(Path(sys.argv[1])).destroy()
