"""The API asked at random as each role for minutes, by another seed each time.

SOAK_SECONDS makes it shorter, SOAK_SEED the same again.
"""

import os
import random
import time
from collections import Counter

import pytest
from hypothesis import given, seed
from hypothesis import settings as trying

from tests.control.exploring import (
    ROLES,
    Explorer,
    World,
    machine_of,
    make_world,
    schema,
    without_obstacles,
)
from tests.control.test_api_holds import BOUNDED, may

#: A quarter of what the faults get.
SECONDS = float(os.environ.get("SOAK_SECONDS", "1200")) / 4
AT_RANDOM = trying(BOUNDED, derandomize=False)


@pytest.fixture
def world(db, source, source_connection, target_connection, settings):
    with without_obstacles(settings):
        yield make_world(source_connection, source, target_connection)


@pytest.mark.soak
def test_whatever_is_asked_of_the_api_for_minutes_is_answered_as_described(world: World) -> None:
    number = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**9))
    print(f"SOAK_SEED={number}", flush=True)
    explorers = [Explorer(role=role, world=world) for role in ROLES]
    for explorer in explorers:
        _corners(explorer)
    ends, turn = time.monotonic() + SECONDS, 0
    while turn < len(ROLES) or time.monotonic() < ends:
        explorer = explorers[turn % len(ROLES)]
        _at_random(explorer, number + turn)
        _along_the_links(explorer, number + turn)
        turn += 1
    for explorer in explorers:
        print(explorer.role, dict(sum(explorer.answers.values(), start=Counter())), flush=True)
        assert may(explorer.role) - explorer.succeeded() == set()


def _corners(explorer: Explorer) -> None:
    for found in schema().get_all_operations():
        for case in explorer.corners(found.ok()):
            explorer.ask(case)


def _at_random(explorer: Explorer, number: int) -> None:
    for found in schema().get_all_operations():

        @seed(number)
        @trying(AT_RANDOM, max_examples=30)
        @given(case=explorer.cases(found.ok()))
        def ask(case):
            explorer.ask(case)

        ask()


def _along_the_links(explorer: Explorer, number: int) -> None:
    """Also what the role may not do; a stranger gets nothing that leads on."""
    if explorer.role == "stranger":
        return
    names = {found.ok().definition.raw["operationId"] for found in schema().get_all_operations()}
    for allowed in (names, may(explorer.role)):
        machine = seed(number)(machine_of(explorer, names=allowed))
        machine.run(settings=trying(AT_RANDOM, stateful_step_count=30, max_examples=15))
