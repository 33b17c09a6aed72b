"""Ctrl-C and its like during the demo: they end it, but only where nothing can be left behind."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupts:
    """Python runs handlers on the main thread, between two of its instructions."""

    count = 0
    is_allowed = False

    def came(self, _number: int, _frame: object) -> None:
        self.count += 1
        if self.is_allowed:
            self.is_allowed = False
            raise KeyboardInterrupt


_interrupts = _Interrupts()


def listen() -> None:
    """From now on signals are counted, and are a KeyboardInterrupt only where that is allowed."""
    for number in _SIGNALS:
        # `nohup` wants the demo to outlive its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupts.came)


def ignore() -> None:
    """For the very end: Python takes its handlers away on its way out, and we would be killed."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def allowed() -> Iterator[None]:
    """The first signal, also one from before, interrupts the body; outside they only count."""
    _interrupts.is_allowed = True
    try:
        obey()
        yield
    finally:
        _interrupts.is_allowed = False


def obey() -> None:
    """For loops: Python drops an interrupt that happens to come while it frees an object."""
    if count():
        raise KeyboardInterrupt


def count() -> int:
    """How often somebody has asked for the end."""
    return _interrupts.count
