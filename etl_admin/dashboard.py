"""The admin's first page and its sidebar; every other page is in `pipelines.admin`."""

from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from pipelines.admin import cells
from pipelines.admin.charts import day_chart
from pipelines.admin.overview import at_work, overdue
from pipelines.admin.runs_table import runs_table
from pipelines.admin.worker import alive
from pipelines.models import Connection, Pipeline, PipelineRun
from pipelines.permissions import may
from pipelines.states import BADGES, PipelineStatus, RunStatus

_LAST_RUNS = 10


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page's context: how many stand where, what ran last, what failed last."""
    context["title"] = _("Overview")
    if not may(request.user, "view"):
        return context
    counts = _counts()
    has_pipelines = any(count["count"] for count in counts)
    return {
        **context,
        "counts": counts,
        "has_pipelines": has_pipelines,
        "first_steps": None if has_pipelines else _first_steps(request),
        "workers": alive().count(),
        "workers_url": reverse("admin:pipelines_worker_changelist"),
        **(_runs() if may(request.user, "view runs") else {}),
    }


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The navigation; what a person may not see is not shown to them."""
    return [
        {
            "items": [
                _item(_("Overview"), "space_dashboard", "index", None),
                _item(_("Pipelines"), "conversion_path", "pipelines_pipeline_changelist", "view"),
                _item(_("Runs"), "history", "pipelines_pipelinerun_changelist", "view runs"),
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


def _item(title: Any, icon: str, page: str, verb: str | None) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{page}"),
        "permission": lambda request: verb is None or may(request.user, verb),
    }


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
    page = cells.list_of(PipelineRun)
    return {
        **day_chart(),
        "overdue": [
            {"pipeline": row, "url": cells.page_of(row), "since": cells.moment(row.last_success)}
            for row in overdue()
        ],
        "at_work": at_work(),
        "last_runs": runs_table(list(rows.order_by("-started_at", "-id")[:_LAST_RUNS]), named=True),
        "failed_runs": [
            {
                "run": run,
                "url": cells.page_of(run),
                "at": cells.moment(run.finished_at),
                "error": run.error_message,
            }
            for run in rows.filter(status=RunStatus.FAILED).order_by("-started_at")[:5]
        ],
        "runs_url": page,
        "failed_url": f"{page}?status__exact={RunStatus.FAILED}",
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
