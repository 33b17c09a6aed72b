"""Comparing a pipeline's source and target; moving rows is elsewhere."""

from dataclasses import dataclass

from runner.addresses import definition_of
from runner.plan import Definition

__all__ = ["Counts", "ReconcileFailed", "count", "definition_of"]


class ReconcileFailed(Exception):
    """No answer: `code` is reconcile_timeout, source_unavailable, target_unavailable or
    query_failed, `sentence` is for a person."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows of the query and rows of the target table (0 when the table does not exist)."""

    source: int
    target: int

    @property
    def difference(self) -> int:
        """Source minus target."""
        return self.source - self.target

    @property
    def status(self) -> str:
        """OK when both sides have as many rows, else WARNING."""
        return "OK" if self.difference == 0 else "WARNING"


def count(definition: Definition, *, seconds: float) -> Counts:
    """Count both sides within `seconds`. Raises ReconcileFailed."""
    raise NotImplementedError
