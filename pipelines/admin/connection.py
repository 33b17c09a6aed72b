"""Connections: the list, the form, the test, and which pipelines use one."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import connection as metadata
from django.db.models import Func, IntegerField, OuterRef, ProtectedError, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from pipelines import audit, changes, hosts
from pipelines.admin import cells, servers
from pipelines.admin.connection_form import FIELDS, ConnectionForm
from pipelines.admin.history import HistoryAdmin
from pipelines.admin.said import said
from pipelines.admin.verbs import Answer, Refused, Verb
from pipelines.choices import AuditAction, SslMode
from pipelines.models import Connection, Pipeline
from pipelines.permissions import may
from pipelines.validation import (
    password_columns,
    pipelines_of,
    target_schemas,
    used_by_sentence,
)
from runner.preflight import address_of

_SHOWN_PIPELINES = 50


def _test(request: HttpRequest, connection: Connection) -> Answer:
    report = servers.test(connection)
    audit.record(AuditAction.TEST, connection, by=request.user, ok=report.ok)
    if not report.ok:
        raise Refused(said(report.sentence))
    return Answer(said(report.sentence), tuple(map(said, report.warnings)))


TEST = Verb(
    name="test",
    permission="test connection",
    label=gettext_lazy("Test"),
    icon="network_check",
    act=_test,
    variant="primary",
)


@admin.register(Connection)
class ConnectionAdmin(HistoryAdmin):
    """The built-in connection is shown; its address is a setting."""

    table = {
        "view": "view connection",
        "add": "create connection",
        "change": "edit connection",
        "delete": "delete connection",
    }
    verbs = (TEST,)
    nothing_yet = gettext_lazy("A connection is a PostgreSQL database to read or to write.")
    form = ConnectionForm
    list_display = ("name", "server", "user_name", "tls", "schemas", "used_by")
    search_fields = ("name", "host", "dbname")
    search_help_text = gettext_lazy("Name, host or database")
    _fieldsets = (
        (None, {"fields": ("name",)}),
        (
            gettext_lazy("Server"),
            {"fields": ("host", "port", "dbname", "user", "sslmode")},
        ),
        (
            gettext_lazy("Password"),
            {"fields": ("password_source", "password", "password_reference")},
        ),
        (gettext_lazy("As a target"), {"fields": ("target_schemas",)}),
    )

    # Who may.

    def has_change_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """The built-in one's address is a setting."""
        return super().has_change_permission(request, obj) and not (obj and obj.is_built_in)

    def has_delete_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """The built-in one stays."""
        return super().has_delete_permission(request, obj) and not (obj and obj.is_built_in)

    # The list.

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        """With the number of pipelines that use each."""
        using = Pipeline.objects.filter(
            Q(source_connection=OuterRef("pk")) | Q(target_connection=OuterRef("pk"))
        )
        count = Func("pk", function="COUNT", output_field=IntegerField())
        used = Subquery(using.order_by().annotate(n=count).values("n"))
        rows: QuerySet[Connection] = super().get_queryset(request)
        return rows.annotate(used=used)

    @admin.display(description=gettext_lazy("address"), ordering="host")
    def server(self, connection: Connection) -> str:
        """Server and database."""
        if connection.is_built_in:
            return _("built in: WAREHOUSE_URL")
        return f"{connection.host}:{connection.port}/{connection.dbname}"

    @admin.display(description=gettext_lazy("user"), ordering="user")
    def user_name(self, connection: Connection) -> str:
        """The role."""
        return connection.user or cells.EMPTY

    @admin.display(description=gettext_lazy("TLS"), ordering="sslmode")
    def tls(self, connection: Connection) -> str:
        """The mode in libpq's word."""
        return cells.EMPTY if connection.is_built_in else connection.sslmode

    @admin.display(description=gettext_lazy("target schemas"))
    def schemas(self, connection: Connection) -> str:
        """Where pipelines may write."""
        return ", ".join(target_schemas(connection)) or _("never a target")

    @admin.display(description=gettext_lazy("pipelines"), ordering="used")
    def used_by(self, connection: Any) -> str:
        """How many use it."""
        return cells.number(connection.used)

    # The page.

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Connection | None:
        """Locked while it is changed: what the form checks is so when it is stored."""
        row: Connection | None = super().get_object(request, object_id, from_field)
        if row is not None and request.method == "POST" and metadata.in_atomic_block:
            Connection.objects.select_for_update().filter(pk=row.pk).first()
            row.refresh_from_db()
        return row

    @method_decorator(sensitive_post_parameters("password"))
    def changeform_view(self, *args: Any, **kwargs: Any) -> Any:
        """A page of an error shows no password that was typed."""
        return super().changeform_view(*args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        """The form, or for the built-in one and for onlookers what may be seen."""
        if obj is not None and obj.is_built_in:
            return [(None, {"fields": ("name", "schemas")})]
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": FIELDS})]
        return self._fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        """What of the built-in one is no field."""
        return ("schemas",) if obj is not None and obj.is_built_in else ()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The form below the test and the pipelines that use it."""
        if (original := context.get("original")) is not None:
            stored = Connection.objects.get(pk=original.pk)
            context["panel"] = {
                "buttons": self.buttons(request, stored),
                "built_in": _built_in_address(stored) if stored.is_built_in else None,
                "is_open": _is_open(stored),
                "pipelines": self._users_of(stored, request),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _users_of(self, connection: Connection, request: HttpRequest) -> list[Any] | None:
        if not may(request.user, "view"):
            return None
        rows = pipelines_of(connection).only("name")[:_SHOWN_PIPELINES]
        return [cells.link(cells.page_of(row), row) for row in rows]

    @method_decorator(sensitive_variables())
    def save_model(
        self, request: HttpRequest, obj: Connection, form: ConnectionForm, change: bool
    ) -> None:
        """Only what changed; an empty password field leaves the stored one."""
        values = {name: getattr(obj, name) for name in FIELDS}
        if password := form.cleaned_data.get("password"):
            values["password"] = password
        columns = password_columns(values, obj)
        if not change:
            obj.secret = columns.get("secret", "")
            changes.create(obj, by=request.user)
            return
        changed = {name: values[name] for name in form.changed_data if name in FIELDS} | columns
        if changed:
            changes.change_connection(obj, changed, by=request.user)

    # Deleting.

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Nothing goes with a connection; which of them are in use is said when it is tried."""
        names = [str(row) for row in objs]
        return names, {Connection._meta.verbose_name_plural: len(names)}, set(), []

    def check_deletable(self, row: Connection) -> None:
        """Not the built-in one, and not while a pipeline uses it."""
        if row.is_built_in:
            raise Refused(_("It is built in and stays."))
        if sentence := used_by_sentence(row, _("delete it")):
            raise Refused(sentence)

    def delete_model(self, request: HttpRequest, obj: Connection) -> None:
        """The database has the last word: a pipeline may have been made just now."""
        self.check_deletable(obj)
        try:
            changes.delete(obj, by=request.user)
        except ProtectedError as error:
            raise Refused(_("A pipeline uses this connection.")) from error


def _is_open(connection: Connection) -> bool:
    """True when rows and the password may cross a network for everybody to read."""
    is_encrypted = connection.sslmode not in (SslMode.DISABLE, SslMode.PREFER)
    return not (connection.is_built_in or is_encrypted or hosts.is_this_machine(connection.host))


def _built_in_address(connection: Connection) -> str:
    place = address_of(connection)
    source = "WAREHOUSE_URL" if settings.WAREHOUSE_URL else _("the embedded server")
    return _(
        "This connection is built in. Its address comes from %(source)s: "
        "database “%(dbname)s” on %(host)s:%(port)s as “%(user)s”."
    ) % {
        "source": source,
        "dbname": place.dbname,
        "host": place.host,
        "port": place.port,
        "user": place.user,
    }
