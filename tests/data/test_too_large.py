"""What a source sends while people wait is looked at up to a size, whatever it is in."""

import resource
import time

import psycopg
import pytest

from runner.plan import Address
from runner.preflight import Rejected, preview
from runner.preflight.values import TOO_LARGE
from tests.data.loading import definition

LARGE = 150_000_000
STILL_SENDING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def largest() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT repeat('x', {LARGE}) AS a",
        f"SELECT (repeat('x', {LARGE}))::int AS a",
        f"SELECT 1 AS a WHERE repeat('x', {LARGE})::int = 1",
    ],
)
def test_a_short_query_does_not_fill_the_memory(
    source: psycopg.Connection, source_address: Address, target_address: Address, query: str
) -> None:
    before = largest()
    told: list[str] = []
    try:
        found = preview(definition(query, source=source_address, target=target_address))
        troubles = (found.rows_trouble, found.plan_trouble)
        told += [one.sentence for one in troubles if one is not None]
    except Rejected as refused:
        told += refused.errors["source_query"]
    assert TOO_LARGE in told
    assert largest() - before < 120_000_000
    end = time.monotonic() + 10
    while source.execute(STILL_SENDING).fetchone() != (0,):
        assert time.monotonic() < end, "the server still waits for us to take the rest"
        time.sleep(0.05)


def test_what_is_large_and_not_too_large_is_looked_at(
    source_address: Address, target_address: Address
) -> None:
    query = "SELECT repeat('x', 1000000) AS a"
    found = preview(definition(query, source=source_address, target=target_address))
    assert found.findings.columns[0].name == "a"
