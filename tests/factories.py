"""Rows for tests, valid unless told otherwise."""

from typing import Any

import factory
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.db.models.functions import Now
from factory.django import DjangoModelFactory

from pipelines.choices import Mode, ReconciliationLevel, ReconciliationStatus, SslMode, Trigger
from pipelines.definition import freeze
from pipelines.models import (
    DEFAULT_CONNECTION,
    Connection,
    Pipeline,
    PipelineRun,
    Reconciliation,
    Worker,
)
from pipelines.states import RunStatus

PASSWORD = "correct horse battery staple"


class UserFactory(DjangoModelFactory[User]):
    """A user who may sign in with PASSWORD; `groups=["editor"]` gives them a group's rights."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    password = factory.django.Password(PASSWORD)
    is_staff = True

    @factory.post_generation
    def groups(self, create: bool, names: list[str] | None, **_extra: Any) -> None:
        """Put the saved user into the groups of these names."""
        if create and names:
            self.groups.set([Group.objects.get(name=name) for name in names])


class ConnectionFactory(DjangoModelFactory[Connection]):
    """A connection to nowhere; `password` is kept encrypted."""

    class Meta:
        model = Connection

    name = factory.Sequence(lambda n: f"connection-{n}")
    host = "db.example.com"
    dbname = "shop"
    user = "reader"
    sslmode = SslMode.DISABLE

    @classmethod
    def _create(cls, model_class: type[Connection], *args: Any, **kwargs: Any) -> Connection:
        password = kwargs.pop("password", "")
        connection = model_class(*args, **kwargs)
        connection.set_password(password)
        connection.save()
        return connection


class PipelineFactory(DjangoModelFactory[Pipeline]):
    """An idle full load through the built-in connection; `incremental=True` for the other mode."""

    class Meta:
        model = Pipeline

    class Params:
        incremental = factory.Trait(
            mode=Mode.INCREMENTAL, incremental_key="modified", key_columns=["id"]
        )

    name = factory.Sequence(lambda n: f"pipeline_{n}")
    source_connection = factory.LazyFunction(
        lambda: Connection.objects.get(name=DEFAULT_CONNECTION)
    )
    target_connection = factory.LazyAttribute(lambda pipeline: pipeline.source_connection)
    source_query = "SELECT 1 AS id, now() AS modified"
    target_table = factory.Sequence(lambda n: f"analytics.table_{n}")


class WorkerFactory(DjangoModelFactory[Worker]):
    """A worker process that does not exist."""

    class Meta:
        model = Worker

    label = "host"
    pid = factory.Sequence(lambda n: 100_000 + n)


class RunFactory(DjangoModelFactory[PipelineRun]):
    """A run that ended well; its generation grows with each one made."""

    class Meta:
        model = PipelineRun

    pipeline = factory.SubFactory(PipelineFactory)
    generation = factory.Sequence(lambda n: n + 1)
    trigger = Trigger.API
    status = RunStatus.SUCCESS
    finished_at = factory.LazyAttribute(
        lambda run: None if run.status == RunStatus.RUNNING else Now()
    )


class ReconciliationFactory(DjangoModelFactory[Reconciliation]):
    """A comparison of rows that found both sides equal; `open=True` for one that is being made."""

    class Meta:
        model = Reconciliation

    class Params:
        open = factory.Trait(
            status=ReconciliationStatus.RUNNING,
            lease_until="2126-01-01T00:00:00Z",
            finished_at=None,
            source_count=None,
            target_count=None,
            missing=None,
            extra=None,
            different=None,
        )

    pipeline = factory.SubFactory(PipelineFactory, key_columns=["id"])
    definition = factory.LazyAttribute(lambda row: freeze(row.pipeline))
    level = ReconciliationLevel.ROWS
    status = ReconciliationStatus.OK
    attempt = 1
    started_at = Now()
    finished_at = Now()
    source_count = 3
    target_count = 3
    missing = 0
    extra = 0
    different = 0
    key = factory.LazyFunction(lambda: ["id"])


class AttemptFactory(DjangoModelFactory[AccessAttempt]):
    """A name that failed to sign in once, just now."""

    class Meta:
        model = AccessAttempt

    username = factory.Sequence(lambda n: f"guess{n}")
    ip_address = "203.0.113.7"
    failures_since_start = 1
