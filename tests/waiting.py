"""Waiting for something to become true, with a deadline and no fixed pause."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    question: Callable[[], T], *, seconds: float = 20.0, what: str | Callable[[], str] = ""
) -> T:
    """Ask until the answer is true, and give it. Raises AssertionError after `seconds`.

    `what` describes what was missing, a function when that is only known at the end.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            said = what() if callable(what) else what or question
            raise AssertionError(f"Not within {seconds:g} s: {said}")
        time.sleep(0.01)
