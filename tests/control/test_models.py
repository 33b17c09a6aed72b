"""What the database itself refuses, whatever the code above it does, and that migrations fit."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.utils import DataError
from django.utils import timezone

from pipelines.models import Connection, Installation, Pipeline, PipelineRun
from pipelines.secrets import WrongKey
from pipelines.states import IDLE, RUNNING, RunStatus
from tests.control.standing import standing
from tests.factories import ConnectionFactory, PipelineFactory, RunFactory

pytestmark = pytest.mark.django_db


def refused(constraint: str, deed: Callable[[], Any]) -> None:
    def deed_and_commit() -> None:
        with transaction.atomic():
            deed()
            # Foreign keys wait for the commit, which a test never sees.
            connection.check_constraints()

    with pytest.raises((IntegrityError, DataError), match=constraint):
        deed_and_commit()


def stored(pipeline: Pipeline, **columns: Any) -> Callable[[], Any]:
    return lambda: Pipeline.objects.filter(pk=pipeline.pk).update(**columns)


def test_the_migrations_say_what_the_models_say() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize(
    ("constraint", "columns"),
    [
        ("pipeline_status_known", {"status": "WAITING"}),
        ("pipeline_type_known", {"type": "RUBY"}),
        ("pipeline_mode_known", {"mode": "half"}),
        ("pipeline_name_not_empty", {"name": ""}),
        ("pipeline_batch_size_range", {"batch_size": 0}),
        ("pipeline_batch_size_range", {"batch_size": 1_000_001}),
        ("pipeline_incremental_has_key", {"mode": "incremental", "incremental_key": None}),
        ("pipeline_incremental_has_key", {"mode": "incremental", "incremental_key": ""}),
        ("pipeline_lease_only_while_active", {"lease_until": timezone.now()}),
        ("pipeline_running_has_lease", {"status": RUNNING}),
    ],
)
def test_a_pipeline_that_makes_no_sense_is_refused(
    constraint: str, columns: dict[str, Any]
) -> None:
    refused(constraint, stored(standing(IDLE), **columns))


def test_a_name_is_taken_once() -> None:
    PipelineFactory(name="film_dim")

    refused("name", lambda: PipelineFactory(name="film_dim"))


def test_a_pipeline_has_one_active_run() -> None:
    run = RunFactory(status=RunStatus.RUNNING)

    refused(
        "run_one_active_per_pipeline",
        lambda: RunFactory(pipeline=run.pipeline, status=RunStatus.RUNNING),
    )


def test_a_claim_has_one_run() -> None:
    run = RunFactory()

    refused(
        "run_pipeline_generation",
        lambda: RunFactory(pipeline=run.pipeline, generation=run.generation),
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"status": RunStatus.RUNNING, "finished_at": timezone.now()},
        *[
            {"status": status, "finished_at": None}
            for status in RunStatus
            if status != RunStatus.RUNNING
        ],
    ],
)
def test_a_run_is_finished_exactly_when_it_has_an_end(columns: dict[str, Any]) -> None:
    run = RunFactory()

    refused(
        "run_finished_has_time",
        lambda: PipelineRun.objects.filter(pk=run.pk).update(**columns),
    )


def test_a_run_has_a_known_status() -> None:
    run = RunFactory()

    refused(
        "run_status_known",
        lambda: PipelineRun.objects.filter(pk=run.pk).update(status="LOST"),
    )


def test_there_is_one_installation() -> None:
    assert Installation.objects.count() == 1
    refused("installation_is_one_row", lambda: Installation.objects.create(id=2))


def test_the_built_in_connection_keeps_no_address() -> None:
    built_in = Connection.objects.filter(name="default")

    refused("connection_address_unless_built_in", lambda: built_in.update(host="db.example.com"))
    refused("connection_address_unless_built_in", lambda: built_in.update(secret="x"))


@pytest.mark.parametrize("column", ["host", "dbname", "user"])
def test_another_connection_has_an_address(column: str) -> None:
    refused("connection_address_unless_built_in", lambda: ConnectionFactory(**{column: ""}))


@pytest.mark.parametrize("name", ["", "With Space", "UPPER", "ünïcode", "x" * 64])
def test_a_connection_has_a_plain_name(name: str) -> None:
    refused("connection_name_form|value too long", lambda: ConnectionFactory(name=name))


def test_a_connection_in_use_is_not_deleted() -> None:
    used = ConnectionFactory()
    PipelineFactory(source_connection=used)

    refused("foreign key", lambda: Connection.objects.filter(pk=used.pk)._raw_delete("default"))


def test_a_password_is_stored_encrypted_and_comes_back() -> None:
    saved = Connection.objects.get(pk=ConnectionFactory(password="s3cret").pk)

    assert "s3cret" not in saved.secret
    assert saved.reveal_password() == "s3cret"


def test_a_password_under_another_key_is_an_error_and_never_a_value(settings: Any) -> None:
    saved = ConnectionFactory(password="s3cret")
    settings.ENCRYPTION_KEYS = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]

    with pytest.raises(WrongKey):
        saved.reveal_password()
