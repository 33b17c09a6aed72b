"""What is wrong with a connection's fields; whether its server answers is the preflight's."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines import hosts
from pipelines.choices import SslMode
from pipelines.models import Connection
from pipelines.models.connection import CONNECTION_NAME
from pipelines.validation.password import check_password
from pipelines.validation.running import (
    Check,
    Errors,
    Finding,
    identifier,
    listed,
    run,
    taken,
    whole_number,
)
from pipelines.validation.schemas import is_metadata, reserved

#: People wait for this; who connects later asks again, and more patiently.
_RESOLVE_SECONDS = 2.0


def check_connection(values: Mapping[str, Any], *, instance: Connection | None = None) -> Errors:
    """Sentences by field of what is wrong with `values`, the model's fields.

    With an `instance` they are a change to it: what is absent stays, and only what really changes
    is checked. A `password` among the values is a new one, even when it is empty.
    """
    errors = run(_CHECKS, values, instance=instance, new=_NEW)
    for field, sentence in check_password(values, instance):
        errors.setdefault(field, []).append(sentence)
    name = values.get("name")
    if name and "name" not in errors and taken(Connection, name, instance):
        errors["name"] = [duplicate_connection(name)]
    return errors


def duplicate_connection(name: str) -> str:
    """The sentence for a name that another connection has."""
    return _("There is a connection “%(name)s” already. Choose another name.") % {"name": name}


def _name(values: Mapping[str, Any]) -> Iterator[Finding]:
    if not re.fullmatch(CONNECTION_NAME, values["name"] or ""):
        yield "name", _("Use 1 to 63 lower-case letters, digits, hyphens and underscores.")


def _host(values: Mapping[str, Any]) -> Iterator[Finding]:
    """The same rules that hold at each sign-in; a name that nobody knows yet is no error here."""
    host = values["host"] or ""
    try:
        hosts.check_name(host)
        if settings.CONNECTIONS_ALLOW_LOCAL:
            return
        addresses = _addresses(host)
        hosts.check_addresses(host, addresses)
        if is_metadata(addresses, values["port"], values["dbname"]):
            raise hosts.Forbidden(hosts.METADATA)
    except hosts.Forbidden as forbidden:
        yield "host", _(forbidden.sentence) % forbidden.facts


def _addresses(host: str) -> tuple[str, ...]:
    try:
        return hosts.resolve(host, seconds=_RESOLVE_SECONDS)
    except OSError:
        return ()


def _port(values: Mapping[str, Any]) -> Iterator[Finding]:
    sentence = _("The port must be a whole number from 1 to 65535, usually 5432.")
    yield from whole_number("port", values["port"], most=65535, sentence=sentence)


def _dbname(values: Mapping[str, Any]) -> Iterator[Finding]:
    empty = _("Give the name of the database.")
    yield from identifier("dbname", values["dbname"], when_empty=empty)


def _user(values: Mapping[str, Any]) -> Iterator[Finding]:
    empty = _("Give the role to sign in as.")
    yield from identifier("user", values["user"], when_empty=empty)


def _sslmode(values: Mapping[str, Any]) -> Iterator[Finding]:
    yield from listed("sslmode", values["sslmode"], SslMode.values)


def _target_schemas(values: Mapping[str, Any]) -> Iterator[Finding]:
    schemas = values["target_schemas"]
    if len(set(schemas)) < len(schemas):
        yield "target_schemas", _("A schema is named twice.")
    for schema in schemas:
        yield from identifier("target_schemas", schema, when_empty=_("A schema's name is empty."))
        if sentence := reserved(schema):
            yield "target_schemas", sentence


_NEW: Mapping[str, Any] = {
    "name": "",
    "host": "",
    "port": 5432,
    "dbname": "",
    "user": "",
    "sslmode": SslMode.REQUIRE,
    "target_schemas": [],
}
_CHECKS: tuple[Check, ...] = (
    (("name",), _name),
    (("host", "port", "dbname"), _host),
    (("port",), _port),
    (("dbname",), _dbname),
    (("user",), _user),
    (("sslmode",), _sslmode),
    (("target_schemas",), _target_schemas),
)
