"""The admin's first page and its sidebar; every other page is in `pipelines.admin`."""

from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from pipelines.admin import cells, failing
from pipelines.admin.charts import day_chart
from pipelines.admin.overview import at_work, overdue, workers
from pipelines.admin.runs_table import runs_table
from pipelines.models import Connection, Pipeline, PipelineRun, Worker
from pipelines.permissions import may
from pipelines.states import BADGES, BUSY, RUN_REQUESTED, PipelineStatus

_LAST_RUNS = 10


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page's context: how many stand where, what fails and why, what runs and where.

    What the page asks for again while something is going on comes without the chart, which stays.
    """
    context["title"] = _("Overview")
    if not may(request.user, "view"):
        return context
    counts = _counts()
    has_pipelines = any(count["count"] for count in counts)
    is_update = request.headers.get("HX-Request") == "true"
    return {
        **context,
        "counts": counts,
        "has_pipelines": has_pipelines,
        "first_steps": None if has_pipelines else _first_steps(request),
        "is_busy": any(count["count"] for count in counts if count["status"] in BUSY),
        "next_try": _next_try(),
        "failing": failing.panel(request),
        **(_runs() if may(request.user, "view runs") else {}),
        **(day_chart() if may(request.user, "view runs") and not is_update else {}),
    }


def _next_try() -> str:
    """When the next of those is tried that wait for it; empty where one could be taken now."""
    rows = Pipeline.objects.filter(status=RUN_REQUESTED, enabled=True)
    due = rows.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()
    return cells.how_long_ago(due) if due is not None and due > timezone.now() else ""


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The navigation; what a person may not see is not shown to them."""
    return [
        {
            "items": [
                _item(_("Overview"), "space_dashboard", "index", None),
                _item(_("Pipelines"), "conversion_path", "pipelines_pipeline_changelist", "view")
                | _failing_badge(request),
                _item(_("Runs"), "history", "pipelines_pipelinerun_changelist", "view runs"),
                _item(
                    _("Comparisons"),
                    "balance",
                    "pipelines_reconciliation_changelist",
                    "view reconciliations",
                ),
                _item(
                    _("Connections"),
                    "database",
                    "pipelines_connection_changelist",
                    "view connection",
                ),
                _item(_("Workers"), "memory", "pipelines_worker_changelist", "view runs"),
            ]
        },
        {
            "title": _("Access"),
            "separator": True,
            "items": [
                _page(_("Users"), "person", "auth_user_changelist", "auth.view_user"),
                _page(_("Groups"), "group", "auth_group_changelist", "auth.view_group"),
                _item(_("API tokens"), "key", "knox_authtoken_changelist", None),
                _item(
                    _("Failed sign-ins"), "lock", "axes_accessattempt_changelist", "end lock-out"
                ),
                _item(_("Audit"), "policy", "pipelines_auditrecord_changelist", "view audit"),
            ],
        },
    ]


def zone_script(request: HttpRequest) -> str:
    """The script that tells us the reader's time zone; it never asks for a form's answer again."""
    address = static("pipelines/zone.js")
    return address if request.method == "GET" else f"{address}#answer"


def _item(title: Any, icon: str, page: str, verb: str | None) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{page}"),
        "permission": lambda request: verb is None or may(request.user, verb),
    }


def _failing_badge(request: HttpRequest) -> dict[str, Any]:
    """How many pipelines fail, beside their list. Hidden while it is empty; there all the same,
    so that the first page can bring it up to date."""
    if not may(request.user, "view"):
        return {}
    count = failing.how_many()
    sentence = ngettext("%(count)d pipeline is failing", "%(count)d pipelines are failing", count)
    shown = format_html(
        '<span title="{0}"><span aria-hidden="true">{1}</span>'
        '<span class="etl-spoken">{0}</span></span>',
        sentence % {"count": count},
        count,
    )
    return {"badge": format_html('<span id="etl-failing">{}</span>', shown if count else "")}


def _page(title: Any, icon: str, page: str, permission: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{page}"),
        "permission": lambda request: request.user.has_perm(permission),
    }


def _counts() -> list[dict[str, Any]]:
    found = dict(Pipeline.objects.order_by().values_list("status").annotate(number=Count("pk")))
    page = cells.list_of(Pipeline)
    return [
        {
            "status": status,
            "label": status.label,
            "count": found.get(status.value, 0),
            "colour": BADGES[status],
            "url": f"{page}?status__exact={status.value}",
        }
        for status in PipelineStatus
    ]


def _runs() -> dict[str, Any]:
    rows = PipelineRun.objects.select_related("pipeline").defer(
        "definition", "pipeline__source_query"
    )
    return {
        "overdue": [
            {"pipeline": row, "url": cells.page_of(row), "since": cells.moment(row.last_success)}
            for row in overdue()
        ],
        "at_work": at_work(),
        "last_runs": runs_table(list(rows.order_by("-started_at", "-id")[:_LAST_RUNS]), named=True),
        "runs_url": cells.list_of(PipelineRun),
        **workers(),
        "workers_url": cells.list_of(Worker),
    }


def _first_steps(request: HttpRequest) -> list[dict[str, Any]]:
    """What a newcomer does, in order; a step that this person may not do has no button."""
    has_connection = Connection.objects.count() > 1
    return [
        {
            "title": _("Add a connection"),
            "text": _(
                "A PostgreSQL database to read from or to write to. The built-in connection "
                "“default” is there already; with it alone you can go on to the next step."
            ),
            "done": has_connection,
            "button": _("Add connection"),
            "url": reverse("admin:pipelines_connection_add")
            if may(request.user, "create connection")
            else "",
        },
        {
            "title": _("Create a pipeline"),
            "text": _("Write a query, and name the table that shall hold its result."),
            "done": False,
            "button": _("Create pipeline"),
            "url": reverse("admin:pipelines_pipeline_add") if may(request.user, "create") else "",
        },
        {
            "title": _("Press Run"),
            "text": _("A worker takes it from there, and this page shows how it went."),
            "done": False,
        },
    ]
