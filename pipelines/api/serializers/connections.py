"""Connections as JSON; a password goes in and never comes out."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from pipelines.api.fields import Choice, Moment, Number, Text
from pipelines.api.serializers.strict import StrictSerializer
from pipelines.choices import PasswordSource, SslMode
from pipelines.models import Connection
from pipelines.models.connection import CONNECTION_NAME, default_schemas
from pipelines.validation import Errors, check_connection, target_schemas
from runner.preflight import address_of

_ADDRESS = ("host", "port", "dbname", "user", "sslmode")


class ConnectionSerializer(StrictSerializer):
    """A database that pipelines read from or write to."""

    name = Text(max_length=63, help_text=CONNECTION_NAME)
    host = Text(max_length=255)
    port = Number(default=5432, min_value=1, max_value=65535)
    dbname = Text(max_length=63, trim_whitespace=False)
    user = Text(max_length=63, trim_whitespace=False)
    password = Text(
        write_only=True,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        style={"input_type": "password"},
        help_text=_("Kept encrypted and never shown."),
    )
    password_source = Choice(
        choices=PasswordSource.choices,
        default=PasswordSource.STORED.value,
        help_text=_("Where the password is kept."),
    )
    password_reference = Text(
        max_length=255,
        default="",
        allow_blank=True,
        help_text=_(
            "Of a password from the environment the variable's name, which begins with "
            "SECRET_ENV_PREFIX; of one from a file its name in SECRET_FILES_DIR."
        ),
    )
    sslmode = Choice(choices=SslMode.choices, default=SslMode.REQUIRE.value)
    target_schemas = serializers.ListField(
        child=Text(max_length=63, trim_whitespace=False),
        default=default_schemas,
        help_text=_("Schemas that pipelines may write to; empty: never a target."),
    )
    built_in = serializers.BooleanField(
        source="is_built_in",
        read_only=True,
        help_text=_("True for “default”, whose address comes from WAREHOUSE_URL."),
    )
    has_password = serializers.BooleanField(
        read_only=True, help_text=_("True when a password is kept, here or elsewhere.")
    )
    created_at = Moment(read_only=True)
    updated_at = Moment(read_only=True)

    def check(self, values: Mapping[str, Any]) -> Errors:
        """The rules of connections."""
        return check_connection(values, instance=self.instance)

    def to_representation(self, instance: Connection) -> dict[str, Any]:
        """The row; the built-in one's address is not kept there but in WAREHOUSE_URL."""
        shown: dict[str, Any] = super().to_representation(instance)
        if instance.is_built_in:
            address = address_of(instance)
            shown |= {name: getattr(address, name) for name in _ADDRESS}
            shown["has_password"] = bool(address.password)
            shown["target_schemas"] = target_schemas(instance)
        return shown


class ConnectionTestSerializer(serializers.Serializer[Any]):
    """How a try to sign in went; `detail` is a sentence for people."""

    name = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()
    server_version = serializers.CharField(allow_blank=True)
    role = serializers.CharField(allow_blank=True)
    tls = serializers.BooleanField()
    read_only = serializers.BooleanField()  # type: ignore[assignment]  # the field's own name
    warnings = serializers.ListField(child=serializers.CharField())
