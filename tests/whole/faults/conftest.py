"""Fixtures of the fault tests: three servers for the session, fresh ground for each test."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # what these import needs Django's settings, which this file comes before
    from tests.whole.faults.ground import Ground
    from tests.whole.faults.servers import Servers


@pytest.fixture(scope="session")
def servers(django_db_blocker: Any) -> "Iterator[Servers]":
    """Metadata, source and target of this process's fault tests."""
    from tests.whole.faults.ground import prepare_metadata
    from tests.whole.faults.servers import three_servers

    with three_servers() as made, django_db_blocker.unblock():
        prepare_metadata(made.metadata)
        yield made


@pytest.fixture
def ground(servers: "Servers", tmp_path: Path, django_db_blocker: Any) -> "Iterator[Ground]":
    """Empty ground; Django's connection leads to its metadata."""
    from tests.whole.faults.ground import Ground, pointing_at, prepare

    with django_db_blocker.unblock(), pointing_at(servers.metadata):
        made = Ground(servers=servers, folder=tmp_path)
        try:
            prepare(made)
            yield made
        finally:
            made.close()
            for server in servers.all():
                server.proxy.clear()
