"""What is wrong with where a connection's password comes from; passwords themselves never are."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from pipelines import references
from pipelines.choices import PasswordSource, SslMode
from pipelines.models import Connection
from pipelines.validation.running import Finding, listed

#: From the least protection to the most.
_MODES = SslMode.values
_WHERE = ("host", "port", "dbname", "user")


def check_password(
    values: Mapping[str, Any], instance: Connection | None = None
) -> Iterator[Finding]:
    """Sentences on `values`, which has `password` only where one was given, even an empty one."""
    source = values.get("password_source", _now(instance, "password_source"))
    if source not in PasswordSource.values:
        yield from listed("password_source", source, PasswordSource.values)
        return
    if source == PasswordSource.STORED:
        yield from _stored(values, instance)
    else:
        yield from _referred(values, instance, source)


@sensitive_variables()
def password_columns(values: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """The columns to store for checked `values`, so that a password is in one place only."""
    if values.get("password_source", connection.password_source) != PasswordSource.STORED:
        return {"secret": ""} if connection.secret else {}
    columns: dict[str, Any] = {}
    if connection.password_reference or values.get("password_reference"):
        columns["password_reference"] = ""
    if "password" in values:
        connection.set_password(values["password"])
        columns["secret"] = connection.secret
    return columns


def _stored(values: Mapping[str, Any], instance: Connection | None) -> Iterator[Finding]:
    if values.get("password_reference"):
        sentence = _("A stored password has no name. Leave this empty, or say where it is kept.")
        yield "password_reference", sentence
    is_kept = instance is not None and instance.secret and "password" not in values
    if instance is not None and is_kept and _leads_elsewhere(values, instance):
        yield (
            "password",
            _(
                "Type the password again: the stored one is not sent to another server, database "
                "or user, or with less encryption, without whoever knows it."
            ),
        )


def _referred(
    values: Mapping[str, Any], instance: Connection | None, source: str
) -> Iterator[Finding]:
    if values.get("password"):
        sentence = _("The password comes from elsewhere. Leave this empty, or choose “stored”.")
        yield "password", sentence
    reference = values.get("password_reference", _now(instance, "password_reference"))
    is_new = {"password_source", "password_reference"} & values.keys()
    if is_new and (sentence_or_none := references.fault(source, reference or "")):
        yield "password_reference", sentence_or_none


def _leads_elsewhere(values: Mapping[str, Any], instance: Connection) -> bool:
    if any(name in values and values[name] != getattr(instance, name) for name in _WHERE):
        return True
    mode = values.get("sslmode", instance.sslmode)
    return mode in _MODES and _MODES.index(mode) < _MODES.index(instance.sslmode)


def _now(instance: Connection | None, name: str) -> Any:
    new = {"password_source": PasswordSource.STORED, "password_reference": ""}
    return new[name] if instance is None else getattr(instance, name)
