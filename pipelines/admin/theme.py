"""All that we take from the admin's theme; no other module of ours imports it."""

from typing import TYPE_CHECKING, Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.utils.html import format_html
from unfold.forms import (
    AdminOwnPasswordChangeForm,
    AdminPasswordChangeForm,
    AuthenticationForm,
    UserChangeForm,
    UserCreationForm,
)
from unfold.templatetags import unfold_list
from unfold.widgets import (
    CHECKBOX_CLASSES,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.utils.safestring import SafeString

    ThemedAdmin = ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin as ThemedAdmin

TextInput = UnfoldAdminTextInputWidget
Textarea = UnfoldAdminTextareaWidget
IntegerInput = UnfoldAdminIntegerFieldWidget
PasswordInput = UnfoldAdminPasswordWidget
Radio = UnfoldAdminRadioSelectWidget

_headers_of = unfold_list.result_headers


def _headers_once(changes: Any) -> list[dict[str, Any]]:
    """The theme works out a list's headers again for each of its rows, with a template and three
    addresses for each column; that was half of the time that a list took."""
    if not hasattr(changes, "headers_once"):
        found = [{**header, "text": str(header["text"])} for header in _headers_of(changes)]
        changes.headers_once = found
    headers: list[dict[str, Any]] = changes.headers_once
    return headers


unfold_list.result_headers = _headers_once


def tick_box(row: Any, label: str) -> "SafeString":
    """The box that selects a row of a list: the theme's, without a template for each row."""
    return format_html(
        '<input type="checkbox" name="{}" value="{}" class="{} action-select" aria-label="{}">',
        ACTION_CHECKBOX_NAME,
        row.pk,
        _BOX,
        label,
    )


_BOX = " ".join(CHECKBOX_CLASSES)

__all__ = [
    "AdminOwnPasswordChangeForm",
    "AdminPasswordChangeForm",
    "AuthenticationForm",
    "IntegerInput",
    "PasswordInput",
    "Radio",
    "TextInput",
    "Textarea",
    "ThemedAdmin",
    "UserChangeForm",
    "UserCreationForm",
    "tick_box",
]
