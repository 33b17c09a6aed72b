"""The API asked at random, by its own description, as each role: it always answers as described.

Bounded, and the same each time; the soak does it longer, with another seed.
"""

import json
from itertools import islice

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as trying
from schemathesis.core.failures import FailureGroup

from tests.control import exploring
from tests.control.asking import BASE, description
from tests.control.exploring import ROLES, Explorer, machine_of, make_world, schema, schema_of
from tests.control.test_api_permissions import TABLE

BOUNDED = trying(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=4,
    phases=[Phase.generate],  # what fails is shown as it was found: shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)
#: One in so many requests of the corners is asked here, all of them in the soak.
SPARSE = 4


@pytest.fixture(autouse=True)
def _free_of_limits(settings):
    """So that refusals for asking too often, which have tests of their own, hide nothing."""
    with exploring.without_obstacles(settings):
        yield


@pytest.fixture
def world(db, source, source_connection, target_connection):
    return make_world(source_connection, source, target_connection)


def may(role):
    """The operations that the table of rights gives to the role."""
    paths = schema().raw_schema["paths"]
    addresses = [
        (
            BASE + path.format(p="{pipeline_id}", c="{name}", r="{reconciliation_id}").rstrip("/"),
            method.lower(),
        )
        for method, path, allowed, *_rest in TABLE
        if role in allowed
    ]
    # The description has neither itself nor its page; the table has no tokens by their ids.
    found = {paths[path][method]["operationId"] for path, method in addresses if path in paths}
    return found if role == "stranger" else found | {"delete_token"}


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_described(world, role):
    explorer = Explorer(role=role, world=world)
    for found in schema().get_all_operations():
        operation = found.ok()

        @trying(BOUNDED, max_examples=2 if role == "stranger" else 4)
        @given(case=explorer.cases(operation))
        def ask(case):
            explorer.ask(case)

        ask()
    assert may(role) - explorer.succeeded() == set()


def test_every_answer_is_as_described_at_the_limits_of_what_may_be_asked(world):
    explorer = Explorer(role="administrator", world=world)
    for found in schema().get_all_operations():
        for case in islice(explorer.corners(found.ok()), 0, None, SPARSE):
            explorer.ask(case)
    statuses = sum(explorer.answers.values(), start=type(explorer.answers["any"])())
    assert statuses.keys() >= {200, 201, 204, 400, 404, 405}
    assert statuses.total() > 250


@pytest.mark.parametrize("role", ROLES[1:])
def test_every_answer_is_as_described_along_the_links(world, role):
    explorer, allowed = Explorer(role=role, world=world), may(role)
    machine = machine_of(explorer, names=allowed)
    machine.run(settings=trying(BOUNDED, stateful_step_count=10, max_examples=8))
    succeeded = explorer.succeeded()
    assert len(succeeded) >= len(allowed) / 2, allowed - succeeded
    assert succeeded & {"get_pipeline", "get_status", "get_state", "list_runs"}


@pytest.mark.parametrize(
    ("where", "lie"),
    [
        (("responses", "200", "content"), {"application/json": {"schema": {"type": "string"}}}),
        (("responses", "200", "content"), {"application/xml": {}}),
        (("responses",), {"404": {"description": "Never here."}}),
    ],
)
def test_a_description_that_is_not_so_is_noticed(world, where, lie):
    raw = json.loads(json.dumps(description()))
    place = raw["paths"][f"{BASE}/pipelines/{{pipeline_id}}/status"]["get"]
    for name in where[:-1]:
        place = place[name]
    place[where[-1]] = lie
    explorer = Explorer(role="viewer", world=world)
    operation = schema_of(raw).find_operation_by_id("get_status")
    with pytest.raises(FailureGroup):
        explorer.ask(operation.Case(path_parameters={"pipeline_id": str(world.pipelines["IDLE"])}))
