"""Signing in to the admin, and changing one's own password."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from pipelines import accounts, lockout
from pipelines.admin.theme import AdminOwnPasswordChangeForm, AuthenticationForm

if TYPE_CHECKING:
    from django.contrib.admin.forms import AdminAuthenticationForm as SignIn
    from django.contrib.auth.forms import PasswordChangeForm as OwnPassword
else:
    SignIn = AuthenticationForm
    OwnPassword = AdminOwnPasswordChangeForm


class SignInForm(SignIn):
    """Says it in a sentence when there were too many failures, whoever asks and for what name."""

    def get_invalid_login_error(self) -> ValidationError:
        """Wrong, or locked out."""
        request: Any = self.request
        if isinstance(request, HttpRequest) and getattr(request, "axes_locked_out", False):
            seconds = lockout.wait(request, self.cleaned_data.get("username"))
            return ValidationError(lockout.sentence(seconds), code="too_many_attempts")
        return super().get_invalid_login_error()


class OwnPasswordForm(OwnPassword):
    """One's own password; sessions elsewhere and all API tokens end with the old one.

    Whoever found an open session cannot try passwords here without end.
    """

    request: Any = None

    def clean_old_password(self) -> str:
        """A wrong one counts as a failure to sign in; past the limit none is looked at."""
        name = self.user.get_username()
        if lockout.is_locked(name, lockout.address_of(self.request)):
            seconds = lockout.wait(self.request, name)
            raise ValidationError(lockout.sentence(seconds), code="too_many_attempts")
        try:
            return str(super().clean_old_password())
        except ValidationError:
            lockout.count_wrong_password(self.request, name)
            raise

    def save(self, commit: bool = True) -> Any:
        """Both or neither."""
        with transaction.atomic():
            user: Any = super().save(commit)
            if commit:
                accounts.password_changed(user, by=user)
        return user


def change_own_password(
    request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponseBase:
    """The theme's page with our form."""
    view = PasswordChangeView.as_view(
        form_class=type("Form", (OwnPasswordForm,), {"request": request}),
        success_url=reverse(f"{admin.site.name}:password_change_done"),
        extra_context={**admin.site.each_context(request), **(extra_context or {})},
    )
    return view(request)


admin.site.login_form = SignInForm
admin.site.password_change = change_own_password  # type: ignore[assignment, method-assign]
