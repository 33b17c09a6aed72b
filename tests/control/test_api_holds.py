"""The API asked at random, by its own description, as each role: it always answers as described.

Bounded, and the same each time; the soak does it longer, with another seed.
"""

import re

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from tests.control import exploring
from tests.control.asking import BASE
from tests.control.exploring import ROLES, Explorer, machine_of, make_world, schema
from tests.control.test_api_permissions import TABLE

BOUNDED = trying(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=6,
    phases=[Phase.generate],  # what fails is shown as it was found: shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)
#: Not made by pipelines that can be asked about in this description.
_ELSEWHERE = {"/schema", "/docs"}


@pytest.fixture(autouse=True)
def _free_of_limits(settings):
    """So that refusals for asking too often, which have tests of their own, hide nothing."""
    settings.LIMIT_RUN = settings.LIMIT_RECONCILE = 0
    settings.LIMIT_PREVIEW = settings.LIMIT_TEST = 0
    settings.SIGN_IN_FAILURES = 1000
    with exploring.no_other_machine(), exploring.one_transaction():
        yield


@pytest.fixture
def world(db, source, source_connection, target_connection):
    return make_world(source_connection, source, target_connection)


def may(role):
    """The operations that the table of rights gives to the role."""
    asked = {
        (BASE + path.format(p="{pipeline_id}", c="{name}").rstrip("/"), method.lower())
        for method, path, allowed, *_rest in TABLE
        if path not in _ELSEWHERE and (role in allowed)
    }
    paths = schema().raw_schema["paths"]
    return {paths[path][method]["operationId"] for path, method in asked if path in paths}


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_described(world, role):
    explorer = Explorer(role=role, world=world)
    for found in schema().get_all_operations():
        operation = found.ok()

        @BOUNDED
        @given(case=explorer.cases(operation))
        def ask(case):
            explorer.ask(case)

        ask()
    print(role, dict(explorer.answers))
    assert may(role) - explorer.succeeded() == set()


@pytest.mark.parametrize("role", ROLES[1:])
def test_every_answer_is_as_described_along_the_links(world, role):
    explorer = Explorer(role=role, world=world)
    machine_of(explorer).run(settings=trying(BOUNDED, stateful_step_count=12, max_examples=10))
    print(role, dict(explorer.answers))
