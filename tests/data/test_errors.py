"""What people read when a server refuses: what happened, whose fault, the next step, no values."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.secrets import WrongKey
from runner.addresses import address_of
from runner.connections import reading
from runner.errors import RunError
from runner.plan import Address
from tests.data.loading import Loads
from tests.factories import ConnectionFactory


def test_a_row_that_no_partition_takes(loads: Loads) -> None:
    loads.target.execute("CREATE TABLE analytics.t (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    loads.target.execute(
        "CREATE TABLE analytics.t1 PARTITION OF analytics.t FOR VALUES FROM (1) TO (5)"
    )
    run = loads.fail(loads.define("SELECT g AS id FROM generate_series(1, 9) g"))
    assert run.sqlstate == "23514"
    assert run.error_message.startswith("No partition of the target takes the row")
    assert "partitions, and run again" in run.error_message


@pytest.mark.parametrize(
    ("expression", "state"), [("1 / (5 - g)", "22012"), ("('4711x' || g)::int", "22P02")]
)
def test_a_value_that_the_source_cannot_compute_is_not_the_targets_fault(
    loads: Loads, expression: str, state: str
) -> None:
    loads.source.execute("CREATE TABLE s AS SELECT g FROM generate_series(1, 9) g")
    run = loads.fail(loads.define(f"SELECT g AS id, {expression} AS value FROM s"))
    assert run.sqlstate == state
    assert "change the query so that it can do with them" in run.error_message
    assert "target" not in run.error_message
    assert "4711" not in run.error_message


@pytest.mark.parametrize("host", [".", "db..example.com", "x" * 64])
def test_a_host_that_cannot_be_one_is_said_so(source_address: Address, host: str) -> None:
    with pytest.raises(RunError) as error, reading(replace(source_address, host=host)):
        pass
    assert "“source”" in error.value.sentence
    assert error.value.patience is None or "cannot be reached" in error.value.sentence


def test_a_password_that_no_key_opens_names_the_connection(db: None, settings: Any) -> None:
    connection = ConnectionFactory(name="shop")
    connection.set_password("secret")
    settings.ENCRYPTION_KEYS = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    with pytest.raises(WrongKey, match="of the connection “shop”"):
        address_of(connection)
