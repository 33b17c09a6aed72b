"""The audit in the admin: a list to search and filter, and a page per record; read-only."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipelines import audit
from pipelines.admin import cells
from pipelines.admin.base import ReadOnlyAdmin
from pipelines.choices import AuditAction
from pipelines.models import AuditRecord

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: What deserves a second look stands out; nothing else has a colour.
_COLOURS: dict[str, str] = {
    AuditAction.SIGN_IN_FAILED: "warning",
    AuditAction.LOCK_OUT: "danger",
    AuditAction.DELETE: "danger",
    AuditAction.RESET: "warning",
    AuditAction.SECRET: "warning",
    AuditAction.RIGHTS: "warning",
    AuditAction.PASSWORD: "warning",
}

#: Kinds of objects, as `audit.thing_of` names them.
_KINDS: "dict[str, StrOrPromise]" = {
    "pipeline": gettext_lazy("pipeline"),
    "connection": gettext_lazy("connection"),
    "user": gettext_lazy("user"),
    "group": gettext_lazy("group"),
    "token": gettext_lazy("API token"),
    "lock-out": gettext_lazy("lock-out"),
}
#: Where the row of a kind of object is, if it still is.
_MODELS = {
    "pipeline": "pipelines.Pipeline",
    "connection": "pipelines.Connection",
    "user": "auth.User",
    "group": "auth.Group",
}
#: What is kept beside old and new values.
_DETAILS: "dict[str, StrOrPromise]" = {
    "refused": gettext_lazy("Refused"),
    "ok": gettext_lazy("Went well"),
    "source_connection": gettext_lazy("Source connection"),
    "source_query": gettext_lazy("Source query"),
    "name_of_token": gettext_lazy("Name of the token"),
    "days": gettext_lazy("Valid for, in days"),
}
_FIELDS: "dict[str, StrOrPromise]" = {
    "groups": gettext_lazy("groups"),
    "permissions": gettext_lazy("rights of their own"),
}


class KindFilter(admin.SimpleListFilter):
    """What it was done to."""

    title = gettext_lazy("object")
    parameter_name = "object"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every kind there is."""
        return list(_KINDS.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The chosen kind."""
        return queryset.filter(object_type=self.value()) if self.value() else queryset


class WhoFilter(admin.SimpleListFilter):
    """Who did it: users as they are called now; others are found by the search."""

    title = gettext_lazy("who")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Users that did something which is still kept."""
        users = apps.get_model("auth.User").objects.order_by("username")
        known = AuditRecord.objects.exclude(user=None).values("user").distinct()
        return [(str(user.pk), user.get_username()) for user in users.filter(pk__in=known)[:200]]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The chosen one's."""
        key = self.value() or ""
        return queryset.filter(user=int(key)) if key.isdecimal() and len(key) < 10 else queryset


@admin.register(AuditRecord)
class AuditAdmin(ReadOnlyAdmin):
    """What nobody changes or deletes, not even a superuser."""

    table = {"view": "view audit"}
    nothing_yet = gettext_lazy("Nobody has done anything so far.")
    list_display = ("moment", "what", "who", "thing", "way")
    list_filter = ("action", WhoFilter, KindFilter, "via", "at")
    search_fields = ("user_name", "object_name", "address", "token")
    search_help_text = gettext_lazy("Who, object, address, or the first letters of an API token")
    # Counting a table that only grows is not worth the wait.
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Addresses are searched as text, and the keys of objects exactly."""
        found, has_duplicates = super().get_search_results(request, queryset, search_term)
        if search_term:
            found |= queryset.filter(Q(object_id=search_term.strip()))
        return found, has_duplicates

    # The list.

    @admin.display(description=gettext_lazy("when"), ordering="at")
    def moment(self, record: AuditRecord) -> SafeString | str:
        """When it was done."""
        return cells.moment(record.at)

    @admin.display(description=gettext_lazy("what"), ordering="action")
    def what(self, record: AuditRecord) -> SafeString:
        """What was done."""
        return _badge(record)

    @admin.display(description=gettext_lazy("who"), ordering="user_name")
    def who(self, record: AuditRecord) -> SafeString | str:
        """Who did it."""
        return cells.name(record.user_name) if record.user_name else cells.EMPTY

    @admin.display(description=gettext_lazy("object"), ordering="object_name")
    def thing(self, record: AuditRecord) -> SafeString | str:
        """What it was done to."""
        if not record.object_type:
            return cells.EMPTY
        return cells.under(cells.name(record.object_name), _kind(record))

    @admin.display(description=gettext_lazy("from where"), ordering="address")
    def way(self, record: AuditRecord) -> SafeString:
        """From which address, by way of what."""
        return cells.under(record.address or cells.EMPTY, _way(record))

    # The page.

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Everything that is known of it."""
        record: AuditRecord = context["original"]
        context.update(
            title=capfirst(str(record.get_action_display())),
            subtitle=None,
            badge=_badge(record),
            facts=list(_facts(record)),
            changed=list(_changed(record)),
            is_cut=_is_cut(record),
            refused=record.details.get("refused", ""),
        )
        return super().render_change_form(request, context, *args, **kwargs)


def _badge(record: AuditRecord) -> SafeString:
    return cells.badge(record.get_action_display(), _COLOURS.get(record.action, "default"))


def _kind(record: AuditRecord) -> "StrOrPromise":
    return _KINDS.get(record.object_type, record.object_type)


def _way(record: AuditRecord) -> str:
    way = str(record.get_via_display())
    return f"{way}: {record.token}…" if record.token else way


def _facts(record: AuditRecord) -> Iterator[tuple[Any, Any]]:
    yield _("When"), cells.exactly(record.at)
    yield _("Who"), record.user_name or cells.EMPTY
    yield _("From where"), record.address or cells.EMPTY
    yield _("By way of"), _way(record)
    if record.object_type:
        yield _("Object"), _object(record)
        yield _("Kind of object"), _kind(record)
    if record.object_id:
        yield _("Key"), record.object_id
    for name, value in record.details.items():
        if name in _DETAILS and name != "refused":
            shown = cells.code(value) if name == "source_query" else _said(value)
            yield _DETAILS[name], shown


def _object(record: AuditRecord) -> SafeString | str:
    """Its name, with a link to the row while there is one."""
    model = _MODELS.get(record.object_type)
    row = None
    if model and record.object_id:
        row = apps.get_model(model).objects.filter(pk=record.object_id).first()
    try:
        return cells.link(cells.page_of(row), record.object_name) if row else record.object_name
    except NoReverseMatch:
        return record.object_name


def _changed(record: AuditRecord) -> Iterator[dict[str, Any]]:
    for name, (old, new) in record.details.get("changed", {}).items():
        yield {"label": _label(record, name), "old": _said(old), "new": _said(new)}


def _is_cut(record: AuditRecord) -> bool:
    """Whether some value is only the beginning of what it was."""
    values = [value for pair in record.details.get("changed", {}).values() for value in pair]
    return any(isinstance(value, str) and len(value) == audit.LONGEST for value in values)


def _label(record: AuditRecord, name: str) -> Any:
    if name in _FIELDS:
        return capfirst(str(_FIELDS[name]))
    model = _MODELS.get(record.object_type)
    try:
        field: Any = apps.get_model(model)._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        field = None
    return capfirst(str(field.verbose_name)) if field is not None else name


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or cells.EMPTY
    return cells.EMPTY if value in (None, "") else str(value)
