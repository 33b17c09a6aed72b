"""The parent of several worker processes, and what becomes of its children."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.models import Worker
from runner.signals import LEAVE, STOP, Signals, listening, obey
from tests.fixtures.processes import WorkerProcess
from tests.waiting import until

Start = Callable[..., WorkerProcess]


def pids() -> set[int]:
    return set(Worker.objects.values_list("pid", flat=True))


def is_alive(pid: int) -> bool:
    """False for a zombie too: who reaps it is nobody's business here."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.is_dir() and Path("/proc/self/stat").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children(number: int) -> set[int]:
    until(lambda: len(pids()) >= number, what="the children do not start")
    return pids()


def test_a_parent_runs_as_many_workers_as_it_is_told(start_worker: Start) -> None:
    parent = start_worker("--processes=3")

    assert parent.pid not in children(3)
    assert parent.stop() == 0


def test_one_process_has_no_children(start_worker: Start) -> None:
    worker = start_worker("--processes=1")

    assert children(1) == {worker.pid}


def test_a_dead_child_is_replaced(start_worker: Start) -> None:
    parent = start_worker("--processes=2")
    first = children(2)
    killed = min(first)

    os.kill(killed, signal.SIGKILL)

    until(lambda: pids() - first, what="no child takes the place")
    assert "ended with exit code -9; another follows" in parent.output
    assert parent.stop() == 0
    assert not any(is_alive(pid) for pid in pids())


def test_children_end_when_their_parent_is_killed(start_worker: Start) -> None:
    parent = start_worker("--processes=2")
    orphans = children(2)

    parent.signal(signal.SIGKILL)
    parent.wait()

    until(lambda: not any(is_alive(pid) for pid in orphans), what=f"alive: {orphans}")


def test_a_parent_that_ends_takes_its_children_with_it(start_worker: Start) -> None:
    parent = start_worker("--processes=2")
    started = children(2)

    parent.signal(signal.SIGINT)

    assert parent.wait() == 0
    assert not any(is_alive(pid) for pid in started)


# Signals


def test_the_first_signal_asks_to_stop_and_the_second_to_leave() -> None:
    with listening() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert (signals.stop.is_set(), signals.leave.is_set()) == (True, False)

        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert signals.leave.is_set()


def test_a_signal_ends_a_wait() -> None:
    with listening() as signals:
        signal.raise_signal(signal.SIGTERM)

        assert signals.wait(60)


def test_the_handlers_of_before_come_back() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]

    with listening(to_children=True):
        assert [signal.getsignal(number) for number in numbers] != before

    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize(("words", "leaves"), [((STOP, STOP), False), ((STOP, LEAVE), True)])
def test_a_parent_may_say_stop_twice_without_meaning_leave(
    words: tuple[bytes, ...], leaves: bool
) -> None:
    signals = Signals()
    read_end, write_end = os.pipe()
    obey(read_end, signals)

    for word in words:
        os.write(write_end, word)

    assert signals.stop.wait(10)
    if leaves:
        assert signals.leave.wait(10)
    os.close(write_end)
    assert signals.leave.is_set() == leaves


def test_the_end_of_the_parent_asks_to_stop() -> None:
    signals = Signals()
    read_end, write_end = os.pipe()
    obey(read_end, signals)

    os.close(write_end)

    assert signals.stop.wait(10)
    assert signals.wait(10)
    assert not signals.leave.is_set()
