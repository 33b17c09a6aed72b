"""Fields that are strict about JSON's types; whether a value is right, `pipelines.validation` says.

Lengths, ranges and choices given to a `Judged` field are for the OpenAPI description alone.
"""

from datetime import UTC
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.fields import empty

from pipelines.models import DEFAULT_CONNECTION, Connection


class Judged:
    """Leaves the value's judgement to `pipelines.validation`, which says all that is wrong at once.

    Only the type is checked here, and what cannot be text in PostgreSQL.
    """

    def run_validation(self: Any, data: Any = empty) -> Any:
        """The value as JSON has it. Raises ValidationError when it is of another type."""
        is_empty, data = self.validate_empty_values(data)
        return data if is_empty else self.to_internal_value(data)


class Text(Judged, serializers.CharField):
    """A string, never a number that would pass as one."""

    default_error_messages = {
        "invalid": _("Give a string."),
        "unstorable": _(
            "The text has a character in it that cannot be stored (NUL or half of one)."
        ),
    }

    def to_internal_value(self, data: Any) -> str:
        """The string, without surrounding white space unless the field keeps it."""
        if not isinstance(data, str):
            self.fail("invalid")
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in data):
            self.fail("unstorable")
        return data.strip() if self.trim_whitespace else data


class Choice(Judged, serializers.ChoiceField):
    """One of a list of words."""

    default_error_messages = {"invalid": _("Give a string.")}

    def to_internal_value(self, data: Any) -> str:
        """The word, which may not be one of the list."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data.encode(errors="replace").decode()


class Number(Judged, serializers.IntegerField):
    """A whole number; `5000.0` is one in JSON, `"5000"` and `true` are not."""

    default_error_messages = {"invalid": _("Give a whole number.")}

    def to_internal_value(self, data: Any) -> int:
        """The number, of any size."""
        if isinstance(data, float) and data.is_integer():
            return int(data)
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class Limited(Number):
    """A whole number whose range is checked here, since nobody else would."""

    def run_validation(self, data: Any = empty) -> Any:
        """The number. Raises ValidationError."""
        return serializers.IntegerField.run_validation(self, data)


class Flag(serializers.BooleanField):
    """true or false, no word for them."""

    default_error_messages = {"invalid": _("Give true or false.")}

    def to_internal_value(self, data: Any) -> bool:
        """The value. Raises ValidationError for anything else."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Moment(serializers.DateTimeField):
    """A time in UTC, ending in Z whatever time zone a request has made current."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)


class ConnectionName(Text):
    """A connection by its name."""

    default_error_messages = {
        "unknown": _("There is no connection “{name}”. The address /connections lists them.")
    }

    def to_internal_value(self, data: Any) -> Any:
        """The connection of this name. Raises ValidationError."""
        name = super().to_internal_value(data)
        connection = Connection.objects.filter(name=name).first()
        if connection is None:
            self.fail("unknown", name=name[:63])
        return connection

    def to_representation(self, value: Any) -> str:
        """The name."""
        return str(value)


def built_in_connection() -> Any:
    """What a pipeline reads from and writes to when nothing else is said."""
    return Connection.objects.get(name=DEFAULT_CONNECTION)
