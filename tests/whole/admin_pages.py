"""The admin as a signed-in person uses it: addresses, posted forms, and what a page says."""

from typing import Any

from django.forms import BoundField
from django.test import Client
from django.urls import reverse

from pipelines.models import DEFAULT_CONNECTION, Connection, Pipeline
from pipelines.states import PipelineStatus
from tests.factories import PipelineFactory, UserFactory

GROUPS = ("viewer", "operator", "editor", "administrator")
#: What a run holds while it goes, so that the database lets it be RUNNING.
HELD = {"lease_until": "2126-01-01T00:00:00Z"}


def person(group: str | None = "administrator", **columns: Any) -> Client:
    """Somebody of this group, signed in; `user` is who."""
    client = Client()
    client.user = UserFactory(groups=[group] if group else [], **columns)
    client.force_login(client.user)
    return client


def standing(status: str, **columns: Any) -> Pipeline:
    """A pipeline in this status, as the database allows it."""
    held = HELD if status in (PipelineStatus.RUNNING, PipelineStatus.PAUSE_REQUESTED) else {}
    return PipelineFactory(status=status, **{**held, **columns})


def page(row: Any, name: str = "change") -> str:
    """The address of a row's page or verb."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=[row.pk])


def listing(model: Any, name: str = "changelist") -> str:
    """The address of a model's list, or of its `add`."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}")


def said(response: Any) -> list[str]:
    """The messages on the page that a followed request ended on."""
    return [str(message) for message in response.context["messages"]]


def errors(response: Any) -> dict[str, list[str]]:
    """What the form says was wrong, by field."""
    assert response.status_code == 200, response
    return {name: list(found) for name, found in response.context["adminform"].form.errors.items()}


def posted(client: Client, row: Any, **changes: Any) -> dict[str, Any]:
    """What a browser sends from a row's page after these changes."""
    form = client.get(page(row)).context["adminform"].form
    return {**_sent(form), **changes}


def _sent(form: Any) -> dict[str, Any]:
    fields: list[BoundField] = [form[name] for name in form.fields]
    shown = {field.name: field.field.prepare_value(field.value()) for field in fields}
    return {
        field.name: shown[field.name]
        for field in fields
        # A browser sends no disabled input, and no checkbox without its tick.
        if not field.field.disabled and shown[field.name] not in (None, False)
    }


def new_pipeline(**changes: Any) -> dict[str, Any]:
    """A form for a new pipeline that is right unless changed; None leaves a field out."""
    default = Connection.objects.get(name=DEFAULT_CONNECTION).pk
    values = {
        "name": "film_dim",
        "description": "",
        "enabled": "on",
        "source_connection": default,
        "source_query": "SELECT 1 AS id, now() AS modified",
        "target_connection": default,
        "target_table": "analytics.film_dim",
        "key_columns": "id",
        "type": "SQL",
        "mode": "full",
        "incremental_key": "",
        "batch_size": "5000",
        "publish": "auto",
        "max_shrink_percent": "",
        "delete_missing": "off",
        "delete_column": "",
        "max_delete_percent": "10",
        "null_policy": "fail",
        "late_margin": "",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def new_connection(**changes: Any) -> dict[str, Any]:
    """A form for a new connection that is right unless changed; None leaves a field out."""
    values = {
        "name": "shop",
        "host": "db.example.com",
        "port": "5432",
        "dbname": "shop",
        "user": "reader",
        "password": "secret word",
        "password_source": "stored",
        "password_reference": "",
        "sslmode": "require",
        "target_schemas": "analytics, marts",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}
