"""Failed sign-ins that still count: who is locked out, and an end to it."""

from typing import Any

from axes.models import AccessAttempt
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pipelines import lockout
from pipelines.admin import cells
from pipelines.admin.base import ReadOnlyAdmin
from pipelines.admin.verbs import Answer, Verb
from pipelines.permissions import may

# The package's own words are of another kind.
AccessAttempt._meta.verbose_name = gettext_lazy("failed sign-in")
AccessAttempt._meta.verbose_name_plural = gettext_lazy("failed sign-ins")
apps.get_app_config("axes").verbose_name = gettext_lazy("Access")


def _called(attempt: AccessAttempt) -> str:
    """Who, from where."""
    return f"{attempt.username}, {attempt.ip_address}"


AccessAttempt.__str__ = _called


def _unlock(request: HttpRequest, attempt: AccessAttempt) -> Answer:
    lockout.unlock(attempt.username, attempt.ip_address, by=request.user)
    facts = {"name": attempt.username, "address": attempt.ip_address}
    return Answer(_("“%(name)s” may try to sign in from %(address)s again.") % facts)


UNLOCK = Verb(
    name="unlock",
    permission="end lock-out",
    label=gettext_lazy("Unlock"),
    icon="lock_open",
    act=_unlock,
    said=lambda count: (
        ngettext("%(count)d lock-out is ended.", "%(count)d lock-outs are ended.", count)
        % {"count": count}
    ),
)


def _failures(*columns: str) -> Subquery:
    """How many failures there are that have these columns in common with the row."""
    alike = lockout.recent().filter(**{name: OuterRef(name) for name in columns})
    total = alike.order_by().values(*columns).annotate(total=Sum("failures_since_start"))
    return Subquery(total.values("total"))


@admin.register(AccessAttempt)
class AttemptAdmin(ReadOnlyAdmin):
    """One row for each name, address and browser; it vanishes when it does not count any more."""

    table = {"view": "end lock-out"}
    verbs = (UNLOCK,)
    nothing_yet = gettext_lazy("Nobody has failed to sign in lately.")
    list_display = ("tried", "called", "ip_address", "failures_since_start", "standing", "next")
    search_fields = ("username", "ip_address")
    search_help_text = gettext_lazy("Name or address")
    fields = ("tried", "called", "ip_address", "failures_since_start", "standing", "user_agent")
    readonly_fields = ("tried", "called", "standing")
    ordering = ("-attempt_time",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Those that still count, with the counts that lock."""
        counting = super().get_queryset(request).filter(pk__in=lockout.recent().values("pk"))
        rows: QuerySet[Any] = counting.annotate(
            both=_failures("username", "ip_address"),
            of_address=_failures("ip_address"),
            of_name=_failures("username"),
        )
        return rows

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """The button for who may press it."""
        shown = tuple(self.list_display)
        return shown if may(request.user, UNLOCK.permission) else shown[:-1]

    def _came_from(self, request: HttpRequest, row: Any) -> str:
        """The list: the row is gone."""
        return self.list_address()

    @admin.display(description=gettext_lazy("last tried"), ordering="attempt_time")
    def tried(self, attempt: AccessAttempt) -> SafeString | str:
        """When it failed last."""
        return cells.moment(attempt.attempt_time)

    @admin.display(description=gettext_lazy("name"), ordering="username")
    def called(self, attempt: AccessAttempt) -> SafeString | str:
        """The name that was tried, whether there is such a user or not."""
        if attempt.username == lockout.TOKEN:
            return _("an API token")
        return cells.name(attempt.username or cells.EMPTY)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, attempt: Any) -> SafeString:
        """Locked out, and how widely; or not yet."""
        found = (attempt.both or 0, attempt.of_address or 0, attempt.of_name or 0)
        if lockout.measured(found, attempt.username) < settings.SIGN_IN_FAILURES:
            return cells.badge(_("not locked"), "default")
        most = settings.SIGN_IN_FAILURES * lockout.WIDER
        if attempt.of_address >= most:
            return cells.badge(_("address locked out"), "danger")
        if attempt.of_name >= most and attempt.username != lockout.TOKEN:
            return cells.badge(_("name locked out"), "danger")
        return cells.badge(_("locked out"), "danger")

    @admin.display(description=gettext_lazy("next"))
    def next(self, attempt: AccessAttempt) -> SafeString:
        """The way out."""
        return format_html(
            '<button type="submit" class="etl-button" formaction="{}">{}</button>',
            self.address(UNLOCK.name, attempt),
            UNLOCK.label,
        )
