"""API tokens: everybody makes and revokes their own, who manages users revokes those of others."""

from typing import TYPE_CHECKING, Any

import knox.admin  # noqa: F401  (its own page is replaced by ours, whichever is imported first)
from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables
from knox.models import AuthToken

from pipelines import accounts
from pipelines.admin import cells
from pipelines.admin.base import Admin
from pipelines.admin.theme import IntegerInput, TextInput
from pipelines.limits import LimitReached
from pipelines.permissions import may, reaches

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

admin.site.unregister(AuthToken)

# The package has names in English only.
AuthToken._meta.verbose_name = _("API token")
AuthToken._meta.verbose_name_plural = _("API tokens")
apps.get_app_config("knox").verbose_name = _("Access")


def _called(token: AuthToken) -> str:
    """Whose it is and how it begins; the package would show the digest."""
    return f"{token.user}: {token.token_key}…"


AuthToken.__str__ = _called


class TokenForm(forms.Form):
    """What is asked of a new token."""

    name = forms.CharField(
        label=_("Name"),
        max_length=accounts.MOST_NAME,
        widget=TextInput,
        help_text=_("What it is for: nightly job on reports-1."),
    )
    days = forms.IntegerField(
        label=_("Days"),
        min_value=1,
        max_value=accounts.MOST_DAYS,
        initial=accounts.DEFAULT_DAYS,
        widget=IntegerInput,
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"),
            _("Give a whole number of days, from 1 to %(most)d.") % {"most": accounts.MOST_DAYS},
        ),
        help_text=_("After so many days it is not accepted any more, 1 to %(most)d.")
        % {"most": accounts.MOST_DAYS},
    )


@admin.register(AuthToken)
class TokenAdmin(Admin):
    """Nothing of a token is kept but its hash and its first letters."""

    list_display = ("label_name", "begins", "owner", "made", "ends")
    list_select_related = ("user", "label")
    search_fields = ("token_key", "user__username", "label__name")
    search_help_text = _("Name, user, or how it begins")
    fields = ("label_name", "begins", "owner", "made", "ends")
    readonly_fields = ("label_name", "begins", "owner", "made", "ends")
    ordering = ("-created",)
    nothing_yet: "StrOrPromise" = _("With an API token a program signs in as you. Make one.")

    # Who may: everybody of their own, and who manages users can take back one that was lost.

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """One's own, or all."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows if may(request.user, "revoke tokens") else rows.filter(user=request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Everybody's."""
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of one's own, or of all."""
        return obj is None or obj.user_id == request.user.pk or may(request.user, "revoke tokens")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of one's own, or of who has no more rights than one has."""
        is_own = obj is None or obj.user_id == request.user.pk
        return self.has_view_permission(request, obj) and (
            is_own or reaches(request.user, obj.user)
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Everybody's, for themselves."""
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """There is nothing to change."""
        return False

    # Making one.

    @sensitive_variables("secret")
    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form; by POST the one answer that ever has the token in it."""
        form = TokenForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                token, secret = accounts.make_token(request.user, **form.cleaned_data)
            except (accounts.TooManyTokens, accounts.SignedOut, LimitReached) as refused:
                form.add_error(None, refused.sentence)
            else:
                shown = {"title": _("The new API token"), "token": token, "secret": secret}
                return self._page(request, "made", ends=cells.exactly(token.expiry), **shown)
        return self._page(request, "make", title=_("Make an API token"), form=form)

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        """A page that is kept nowhere: no browser, proxy or session has it."""
        known = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "back": self.list_address(),
        }
        answer = TemplateResponse(
            request, f"admin/knox/authtoken/{name}.html", {**known, **context}
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    # Revoking.

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """From now on it is not accepted."""
        accounts.revoke_token(obj, by=request.user)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """The list of those that are left."""
        messages.success(request, _("“%(name)s” is revoked.") % {"name": obj_display})
        return HttpResponseRedirect(self.list_address())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Nothing goes with a token."""
        names = [str(token) for token in objs]
        words = ngettext("API token", "API tokens", len(names))
        return names, {words: len(names)}, set(), []

    # The list.

    @admin.display(description=_("name"), ordering="label__name")
    def label_name(self, token: AuthToken) -> SafeString | str:
        """What it is for."""
        label = getattr(token, "label", None)
        return cells.name(label.name) if label is not None and label.name else cells.EMPTY

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
        """Until which day."""
        return cells.day(token.expiry)
