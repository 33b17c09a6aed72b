"""What the operating system wants of this process: signals, and the word of a parent process.

Nothing here decides what a wish means for a run; `control` and the loops do.
"""

import os
import select
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType


class Signals:
    """`stop`: finish what is begun, then end. `leave`: end now. Both can be waited for."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.leave = threading.Event()
        self._received = 0
        self._bell, self._ringer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ringer, False)

    def receive(self) -> None:
        """A signal came: the first one asks to stop, the second to leave.

        Handlers may interrupt each other, so the count comes first, and a third call touches no
        lock that the second may hold.
        """
        self._received += 1
        if self._received == 1:
            self.ask_to_stop()
        elif self._received == 2:
            self.ask_to_leave()

    def ask_to_stop(self) -> None:
        """Asking again changes nothing."""
        self.stop.set()
        self.ring()

    def ask_to_leave(self) -> None:
        """Asking again changes nothing."""
        self.stop.set()
        self.leave.set()
        self.ring()

    def ring(self) -> None:
        """End a `wait` that is under way, or the next one."""
        with suppress(OSError):  # full: it rings already; closed: nobody waits any more
            os.write(self._ringer, b"!")

    def wait(self, seconds: float, also: Sequence[int] = ()) -> bool:
        """Wait for a wish, or for one of the file descriptors `also`; True when one came."""
        ready, _, _ = select.select([self._bell, *also], [], [], max(0.0, seconds))
        if self._bell in ready:
            os.read(self._bell, 4096)
        return bool(ready)

    def close(self) -> None:
        """Give the pipe back."""
        bell, ringer = self._bell, self._ringer
        self._bell = self._ringer = -1
        os.close(bell)
        os.close(ringer)


@contextmanager
def listening(*, to_children: bool = False, to_the_end: bool = False) -> Iterator[Signals]:
    """Signals of this process while the context lasts; the old handlers come back after it.

    With `to_children`, the end of a child process ends a `wait` too. With `to_the_end` the process
    ends after the context, and no signal that comes so late spoils its exit code.
    """
    signals = Signals()

    def received(_number: int, _frame: FrameType | None) -> None:
        signals.receive()

    def child_ended(_number: int, _frame: FrameType | None) -> None:
        signals.ring()

    handlers = dict.fromkeys((signal.SIGTERM, signal.SIGINT), received)
    if to_children:
        handlers[signal.SIGCHLD] = child_ended
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if to_the_end else handler)
        signals.close()


# What a parent process says through a pipe. Signals would not do: a service manager sends its own
# to parent and children at once, and twice would mean `leave`.
STOP = b"s"
LEAVE = b"l"


def obey(parent: int, signals: Signals) -> None:
    """Do from now on what the process at the other end of the pipe `parent` says.

    The end of the pipe says that the parent is gone, by whatever death; then this process stops
    too, so that nothing works on that nobody can stop.
    """
    threading.Thread(target=_obey, args=(parent, signals), name="parent", daemon=True).start()


def _obey(parent: int, signals: Signals) -> None:
    while word := os.read(parent, 1):
        if word == LEAVE:
            signals.ask_to_leave()
        else:
            signals.ask_to_stop()
    signals.ask_to_stop()
