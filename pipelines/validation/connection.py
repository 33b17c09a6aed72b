"""What is wrong with a connection's fields; whether its server answers is the preflight's."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from pipelines.choices import SslMode
from pipelines.models import Connection
from pipelines.models.connection import CONNECTION_NAME
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
from pipelines.validation.schemas import reserved

MAX_HOST_LENGTH = 255


def check_connection(values: Mapping[str, Any], *, instance: Connection | None = None) -> Errors:
    """Sentences by field of what is wrong with `values`, the model's fields.

    With an `instance` they are a change to it: what is absent stays, and only what really changes
    is checked. A password is never wrong in itself.
    """
    errors = run(_CHECKS, values, instance=instance, new=_NEW)
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
    host = values["host"] or ""
    if not host.strip():
        yield "host", _("Give the server's host name or IP address.")
    elif host.startswith(("/", "@")):
        # libpq takes either for a Unix socket of the machine that the worker runs on.
        yield "host", _("A host cannot begin with “/” or “@”: sockets cannot be used.")
    elif "," in host:
        yield "host", _("Give one host, without commas.")
    elif re.search(r"[\s\0]", host):
        yield "host", _("A host has no white space in it.")
    elif len(host) > MAX_HOST_LENGTH:
        yield "host", _("A host has at most %(most)d characters.") % {"most": MAX_HOST_LENGTH}
    elif not _can_be_host(host):
        yield "host", _("No host can be called so: between its dots stand 1 to 63 characters.")


def _can_be_host(host: str) -> bool:
    """As the resolver sees it, which turns other alphabets into Punycode first."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


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
    (("host",), _host),
    (("port",), _port),
    (("dbname",), _dbname),
    (("user",), _user),
    (("sslmode",), _sslmode),
    (("target_schemas",), _target_schemas),
)
