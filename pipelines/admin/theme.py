"""All that we take from the admin's theme; no other module of ours imports it."""

from typing import TYPE_CHECKING, Any

from unfold.forms import (
    AdminOwnPasswordChangeForm,
    AdminPasswordChangeForm,
    AuthenticationForm,
    UserChangeForm,
    UserCreationForm,
)
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    ThemedAdmin = ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin as ThemedAdmin

TextInput = UnfoldAdminTextInputWidget
Textarea = UnfoldAdminTextareaWidget
IntegerInput = UnfoldAdminIntegerFieldWidget
PasswordInput = UnfoldAdminPasswordWidget

__all__ = [
    "AdminOwnPasswordChangeForm",
    "AdminPasswordChangeForm",
    "AuthenticationForm",
    "IntegerInput",
    "PasswordInput",
    "TextInput",
    "Textarea",
    "ThemedAdmin",
    "UserChangeForm",
    "UserCreationForm",
]
