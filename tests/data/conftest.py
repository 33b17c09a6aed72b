"""Fixtures of the data plane's tests: asking the preflight, and running pipelines in this process.

Imports of ours wait until a fixture runs, because pytest may read this file before Django is set
up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from pipelines.models import Connection
    from runner.plan import Address
    from runner.preflight import Findings
    from tests.data.loading import Loads


@pytest.fixture
def source_address(source_url: str) -> Address:
    """Where the source is."""
    from tests.data.loading import address

    return address("source", source_url)


@pytest.fixture
def target_address(target_url: str) -> Address:
    """Where the target is."""
    from tests.data.loading import address

    return address("target", target_url)


@pytest.fixture
def check(source_address: Address, target_address: Address) -> Callable[..., Findings]:
    """Ask the preflight about a definition: check("SELECT …", mode="incremental", …)."""
    from runner.preflight import inspect
    from tests.data.loading import definition

    def ask(query: str, **values: Any) -> Findings:
        return inspect(
            definition(query, **{"source": source_address, "target": target_address, **values})
        )

    return ask


@pytest.fixture
def refused(check: Callable[..., Findings]) -> Callable[..., dict[str, list[str]]]:
    """The preflight's sentences by field about a definition that it must refuse."""
    from runner.preflight import Rejected

    def ask(query: str, **values: Any) -> dict[str, list[str]]:
        with pytest.raises(Rejected) as refusal:
            check(query, **values)
        assert refusal.value.code == "invalid", refusal.value.errors
        return refusal.value.errors

    return ask


@pytest.fixture
def loads(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    source_connection: Connection,
    target_connection: Connection,
) -> Loads:
    """Make pipelines from the source to the target, run them here, and compare both sides."""
    from tests.data.loading import Loads

    for session in (source, target):
        session.execute("SET TimeZone = 'UTC'")
    target.execute("CREATE SCHEMA analytics")
    return Loads(
        source=source,
        target=target,
        source_connection=source_connection,
        target_connection=target_connection,
    )


@pytest.fixture
def people(loads: Loads) -> Loads:
    """A source of ten people, and no target table."""
    from tests.data.people import make_people

    make_people(loads)
    return loads


@pytest.fixture
def table(people: Loads) -> Loads:
    """A source of ten people, and an ordinary target that holds other rows."""
    from tests.data.people import make_table

    make_table(people)
    return people


@pytest.fixture(params=["record", "text", "md5", "md5 between encodings"])
def hashing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Comparisons hash as they do between servers of which these are the fastest ways."""
    from runner.comparing import sides
    from runner.comparing.forms import Hashing
    from runner.statements.hashes import PROBES

    way: str = request.param
    for unknown in list(Hashing)[: list(Hashing).index(Hashing(way.split(maxsplit=1)[0]))]:
        monkeypatch.delitem(PROBES, unknown)
    if way.endswith("encodings"):
        monkeypatch.setattr(sides, "_have_one_encoding", lambda _pair: False)
    return way
