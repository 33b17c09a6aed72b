"""Everything checked before rows move; the control plane asks here before it stores anything."""

from runner.addresses import address_of, definition_from, definition_of
from runner.plan import Address, Definition
from runner.preflight.values import ConnectionReport, Findings, Rejected

__all__ = [
    "ConnectionReport",
    "Findings",
    "Rejected",
    "address_of",
    "definition_from",
    "definition_of",
    "inspect",
    "test_connection",
]


def inspect(definition: Definition) -> Findings:
    """Check `definition` on both servers, running nothing. Raises Rejected."""
    raise NotImplementedError


def test_connection(address: Address) -> ConnectionReport:
    """Try to sign in, for a few seconds at most; never raises for what the server does."""
    raise NotImplementedError
