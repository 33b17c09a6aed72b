"""Everything checked before rows move; the control plane asks here before it stores anything."""

from runner.addresses import address_of, definition_from, definition_of
from runner.preflight.ask import inspect, test_connection
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
