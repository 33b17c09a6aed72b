"""Reading the fields of a request strictly, and reporting everything that is wrong at once."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import SkipField, empty

from pipelines.validation import Errors


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know or that only it may write, and names them."""

    def check(self, values: Mapping[str, Any]) -> Errors:
        """What is wrong with the values by our own rules; `values` has what could be read."""
        return {}

    def get_fields(self) -> dict[str, Any]:
        """The fields, which say what to give instead of what was wrong."""
        fields: dict[str, Any] = super().get_fields()
        for field in fields.values():
            for one in (field, getattr(field, "child", field)):
                one.error_messages |= _WORDS
        return fields

    def to_internal_value(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The values by field. Raises ValidationError with all that is wrong."""
        errors: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for field in self._writable_fields:
            name = str(field.field_name)
            try:
                values[name] = field.run_validation(field.get_value(data))
            except ValidationError as error:
                errors[name] = error.detail
            except SkipField:
                pass
        for name, sentences in self.check(values).items():
            errors.setdefault(name, sentences)
        errors |= self._unexpected(data)
        if errors:
            raise ValidationError(errors)
        return values

    def get_initial(self) -> dict[str, Any]:
        """What the forms of the browsable pages begin with: the defaults."""
        return {
            str(name): _beginning(field)
            for name, field in self.fields.items()
            if not field.read_only
        }

    def _unexpected(self, data: Mapping[str, Any]) -> Errors:
        writable = [str(field.field_name) for field in self._writable_fields]
        return {
            name: [
                _("“%(name)s” cannot be set.") % {"name": name}
                if name in self.fields
                else _no_field(name, writable)
            ]
            for name in data
            if name not in writable
        }


class Nothing(StrictSerializer):
    """A request without fields."""


_WORDS = {
    "required": gettext_lazy("This is needed: give a value."),
    "null": gettext_lazy("Give a value, or leave the field out; null is not possible."),
    "not_a_list": gettext_lazy('Give a list, like ["id"].'),
}


def _beginning(field: Any) -> Any:
    if field.default is empty:
        return field.get_initial()
    value = field.default() if callable(field.default) else field.default
    return None if value is None else field.to_representation(value)


def _no_field(name: str, writable: list[str]) -> str:
    facts = {"name": name[:63], "fields": ", ".join(writable)}
    if not writable:
        return _("There is no field “%(name)s”; this takes no fields.") % facts
    return _("There is no field “%(name)s”. There are: %(fields)s.") % facts
