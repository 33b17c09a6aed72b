"""How often a run's progress is kept for its chart: about as many points for any length."""

from dataclasses import dataclass

#: Twice as many as are left after thinning.
MOST_SAMPLES = 500


@dataclass(kw_only=True)
class Sampler:
    """Counts renewals; keeps each `step`-th, and doubles the step when there are too many."""

    step: int = 1
    _number: int = -1
    _kept: int = 0

    def next(self) -> int | None:
        """The number of this renewal when it is to be kept."""
        self._number += 1
        if self._number % self.step:
            return None
        self._kept += 1
        return self._number

    def thin(self) -> bool:
        """True when every second sample must go: those that are no multiples of `step` now."""
        if self._kept < MOST_SAMPLES:
            return False
        self.step *= 2
        self._kept = self._number // self.step + 1
        return True
