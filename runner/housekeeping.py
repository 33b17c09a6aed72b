"""What an idle worker does beside waiting: old history goes, a little at a time."""

import logging
import random

from pipelines import retention
from runner.control import clock

log = logging.getLogger(__name__)

_HOUR = 3600.0


class Housekeeping:
    """Due some time after the start, so that workers do not all begin at once."""

    def __init__(self) -> None:
        self._due_at = clock() + random.uniform(10.0, 120.0)  # noqa: S311 (spreads load)

    def tidy(self) -> None:
        """One small batch where it is due; the next one soon while there is more."""
        if clock() < self._due_at:
            return
        deleted = retention.prune() + retention.prune_audit()
        self._due_at = clock() + (1.0 if deleted else _HOUR)
        if deleted:
            log.info("Old history: %s runs, events and audit records were deleted.", deleted)
