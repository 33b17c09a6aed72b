"""A measured figure beside the one to reach, and how both are printed."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table: `value` must not exceed `most` (None: it is only told); `detail`
    says what it is made of.
    """

    what: str
    value: float
    most: float | None
    unit: str = "×"
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the figure is as good as it must be."""
        return self.most is None or self.value <= self.most

    def line(self) -> str:
        """The figure as a row of a Markdown table."""
        required = "–" if self.most is None else f"at most {self._shown(self.most)}"
        verdict = "" if self.is_met else ", **missed**"
        return f"| {self.what} | {self._shown(self.value)} | {required}{verdict} | {self.detail} |"

    def _shown(self, number: float) -> str:
        return f"{number:.2f} ×" if self.unit == "×" else f"{number:.0f} {self.unit}"


def print_table(figures: Iterable[Figure], *, server: str) -> None:
    """All figures, ready for the README."""
    print(f"\n{os.cpu_count()} cores, PostgreSQL {server}, Python {platform.python_version()}\n")
    print("| what | measured | required | made of |")
    print("|---|---|---|---|")
    for figure in figures:
        print(figure.line())
