"""Everything checked before rows move; the control plane asks here before it stores anything."""

from runner.addresses import address_of, definition_from, definition_of
from runner.preflight.ask import inspect, test_connection
from runner.preflight.preview import MOST_ROWS, USUAL_ROWS, VALUE_LENGTH, Preview, preview, validate
from runner.preflight.values import ConnectionReport, Findings, Rejected
from runner.preflight.words import Telling, tell

__all__ = [
    "MOST_ROWS",
    "USUAL_ROWS",
    "VALUE_LENGTH",
    "ConnectionReport",
    "Findings",
    "Preview",
    "Rejected",
    "Telling",
    "address_of",
    "definition_from",
    "definition_of",
    "inspect",
    "preview",
    "tell",
    "test_connection",
    "validate",
]
