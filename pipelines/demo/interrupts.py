"""Ctrl-C and SIGTERM during the demo: the first ends it, further ones only hurry its end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class _Interrupts:
    """Python runs handlers on the main thread, between two of its instructions."""

    count = 0
    is_held = False
    is_told = False

    def came(self, _number: int, _frame: object) -> None:
        self.count += 1
        self.tell()

    def tell(self) -> None:
        if self.count and not self.is_held and not self.is_told:
            self.is_told = True
            raise KeyboardInterrupt


_interrupts = _Interrupts()


def listen() -> None:
    """From now on the first signal is a KeyboardInterrupt, and no later one is."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupts.came)


@contextmanager
def held() -> Iterator[None]:
    """A signal waits until the body has noted what it started, so that nothing is left behind."""
    _interrupts.is_held = True
    try:
        yield
    finally:
        _interrupts.is_held = False
    _interrupts.tell()


def count() -> int:
    """How often somebody has asked for the end."""
    return _interrupts.count
