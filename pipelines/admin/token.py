"""API tokens: who has one and until when; they are made at /api/v1/tokens and can be taken back."""

from typing import Any

import knox.admin  # noqa: F401  (its own page is replaced by ours, whichever is imported first)
from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from pipelines.admin import cells
from pipelines.admin.base import Admin

admin.site.unregister(AuthToken)

# The package has names in English only.
AuthToken._meta.verbose_name = _("API token")
AuthToken._meta.verbose_name_plural = _("API tokens")
apps.get_app_config("knox").verbose_name = _("Access")


@admin.register(AuthToken)
class TokenAdmin(Admin):
    """Nothing of a token is kept but its hash and its first letters."""

    list_display = ("begins", "owner", "made", "ends")
    list_select_related = ("user",)
    search_fields = ("token_key", "user__username")
    fields = ("begins", "owner", "made", "ends")
    readonly_fields = ("begins", "owner", "made", "ends")
    nothing_yet = _("Tokens are made with POST /api/v1/tokens, by people for themselves.")

    # Who manages users can take back a token that was lost.

    def has_module_permission(self, request: HttpRequest) -> bool:
        """For who may see them."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """For who manages users."""
        return bool(request.user.has_perm("auth.change_user"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """For who manages users."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The API makes them and shows them once."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """There is nothing to change."""
        return False

    @admin.display(description=_("begins with"), ordering="token_key")
    def begins(self, token: AuthToken) -> str:
        """Its first letters."""
        return str(token.token_key)

    @admin.display(description=_("user"), ordering="user__username")
    def owner(self, token: AuthToken) -> str:
        """Whose it is."""
        return str(token.user)

    @admin.display(description=_("created"), ordering="created")
    def made(self, token: AuthToken) -> Any:
        """When."""
        return cells.moment(token.created)

    @admin.display(description=_("valid until"), ordering="expiry")
    def ends(self, token: AuthToken) -> Any:
        """Until when."""
        return cells.moment(token.expiry)
