"""What a source sends while people wait is looked at up to a size, whatever it is in."""

import resource

import pytest

from runner.plan import Address
from runner.preflight import Rejected, preview
from runner.preflight.values import TOO_LARGE
from tests.data.loading import definition

LARGE = 150_000_000


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
    source_address: Address, target_address: Address, query: str
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


def test_what_is_large_and_not_too_large_is_looked_at(
    source_address: Address, target_address: Address
) -> None:
    query = "SELECT repeat('x', 1000000) AS a"
    found = preview(definition(query, source=source_address, target=target_address))
    assert found.findings.columns[0].name == "a"
