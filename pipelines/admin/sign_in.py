"""Signing in to the admin, and changing one's own password."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from pipelines import lockout
from pipelines.admin.theme import AuthenticationForm

if TYPE_CHECKING:
    from django.contrib.admin.forms import AdminAuthenticationForm as SignIn
else:
    SignIn = AuthenticationForm


class SignInForm(SignIn):
    """Says it in a sentence when there were too many failures, whoever asks and for what name."""

    def get_invalid_login_error(self) -> ValidationError:
        """Wrong, or locked out."""
        request: Any = self.request
        if isinstance(request, HttpRequest) and getattr(request, "axes_locked_out", False):
            seconds = lockout.wait(request, self.cleaned_data.get("username"))
            return ValidationError(lockout.sentence(seconds), code="too_many_attempts")
        return super().get_invalid_login_error()


admin.site.login_form = SignInForm
