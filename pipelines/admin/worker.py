"""Workers: read-only, and which of them are alive."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from pipelines.admin import cells
from pipelines.admin.base import ReadOnlyAdmin
from pipelines.models import Pipeline, Worker

# An idle worker says that it lives before each look for work, a busy one with each renewal.
_GRACE = timedelta(seconds=5)


def _is_alive() -> Q:
    silence = max(settings.RUNNER_POLL_SECONDS, settings.RUNNER_LEASE_SECONDS)
    return Q(last_seen_at__gt=Now() - timedelta(seconds=silence) - _GRACE)


def alive() -> QuerySet[Worker]:
    """Workers that were seen not long ago, by the database's clock."""
    return Worker.objects.filter(_is_alive())


class AliveFilter(admin.SimpleListFilter):
    """Alive or gone."""

    title = _("state")
    parameter_name = "alive"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Both."""
        return [("1", _("alive")), ("0", _("gone"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Worker]) -> QuerySet[Worker]:
        """The chosen ones."""
        wanted = {"1": _is_alive(), "0": ~_is_alive()}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(wanted)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """A row for each process that was started; those that ended stay a while."""

    table = {"view": "view runs"}
    nothing_yet = _("No worker was started so far. Start one: python manage.py runpipelines")
    list_display = ("label", "pid", "state", "running", "started", "seen")
    list_filter = (AliveFilter,)
    search_fields = ("label", "pid")
    search_help_text = _("Host or process id")
    fields = ("label", "pid", "state", "running", "started", "seen")
    readonly_fields = ("state", "running", "started", "seen")
    ordering = ("-last_seen_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """With what each holds."""
        held = Prefetch("pipelines", queryset=Pipeline.objects.only("name", "worker"))
        is_alive = ExpressionWrapper(_is_alive(), output_field=BooleanField())
        rows: QuerySet[Worker] = super().get_queryset(request)
        return rows.annotate(is_alive=is_alive).prefetch_related(held)

    @admin.display(description=_("state"))
    def state(self, worker: Any) -> SafeString:
        """Alive, or not seen for too long."""
        if worker.is_alive:
            return cells.badge(_("alive"), "success")
        return cells.badge(_("gone"), "default")

    @admin.display(description=pgettext_lazy("what a worker runs", "runs"))
    def running(self, worker: Worker) -> SafeString | str:
        """The pipeline that it holds."""
        held = [(cells.link(cells.page_of(row), row),) for row in worker.pipelines.all()]
        return format_html_join(", ", "{}", held) or cells.EMPTY

    @admin.display(description=_("started"), ordering="started_at")
    def started(self, worker: Worker) -> SafeString | str:
        """When the process began."""
        return cells.moment(worker.started_at)

    @admin.display(description=_("last seen"), ordering="last_seen_at")
    def seen(self, worker: Worker) -> SafeString | str:
        """When it last said that it lives."""
        return cells.moment(worker.last_seen_at)
