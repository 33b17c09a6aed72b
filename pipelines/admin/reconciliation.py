"""Comparisons: read-only, the list of all and the page of one, which shows itself being made."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipelines import lifecycle
from pipelines.admin import cells, compared, key_ranges, row_differences
from pipelines.admin.base import ReadOnlyAdmin
from pipelines.admin.frozen import definition_facts
from pipelines.admin.repairing import REPAIR
from pipelines.admin.said import said
from pipelines.admin.verbs import Answer, Refused, Verb
from pipelines.api.serializers.reconciliations import rows_for
from pipelines.choices import ReconciliationStatus
from pipelines.models import Pipeline, Reconciliation
from pipelines.permissions import may

#: The fields of a definition that decide what is compared.
_COMPARED = (
    "source_connection",
    "target_connection",
    "target_table",
    "key_columns",
    "mode",
    "incremental_key",
    "null_policy",
)
_LATEST = 200
_LATEST_PIPELINES = 10
_MOST_REPAIRS = 5


def _cancel(request: HttpRequest, row: Reconciliation) -> Answer:
    try:
        now = lifecycle.cancel_reconciliation(row.pk, by=request.user)
    except Reconciliation.DoesNotExist as gone:
        raise Refused(_("It does not exist any more.")) from gone
    if now.is_open:
        return Answer(_("The comparison is being cancelled."))
    if now.status == ReconciliationStatus.CANCELLED:
        return Answer(_("The comparison is cancelled."))
    raise Refused(_("The comparison has ended already."))


CANCEL = Verb(
    name="cancel",
    permission="cancel reconciliation",
    label=gettext_lazy("Cancel"),
    icon="stop",
    act=_cancel,
    fits=lambda row: row.is_open and row.cancel_requested_at is None,
)


class LatestPipelines(admin.RelatedFieldListFilter):
    """The pipelines that were compared last, and the chosen one; others are found by name."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        """At most ten, and the chosen one."""
        newest = Reconciliation.objects.order_by("-requested_at").values_list("pipeline", flat=True)
        keys = list(dict.fromkeys(newest[:_LATEST]))[:_LATEST_PIPELINES]
        if self.lookup_val:
            keys.append(UUID(str(self.lookup_val[-1])))
        return list(Pipeline.objects.filter(pk__in=keys).values_list("pk", "name"))


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """What who compares writes, and people only ask for."""

    table = {"view": "view reconciliations"}
    verbs = (REPAIR, CANCEL)
    list_display = ("asked", "pipeline_link", "closely", "result", "found", "took", "asker")
    list_filter = ("status", "level", "requested_at", ("pipeline", LatestPipelines))
    list_select_related = ("pipeline", "requested_by")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    nothing_yet = gettext_lazy("Nothing was compared yet. Open a pipeline and press Compare.")
    search_fields = ("pipeline__name",)
    search_help_text = gettext_lazy("Pipeline")
    ordering = ("-requested_at", "-id")

    # The list.

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reconciliation]:
        """Newest first; a list needs no rows."""
        rows: QuerySet[Reconciliation] = super().get_queryset(request)
        if getattr(request.resolver_match, "kwargs", {}).get("object_id"):
            return rows.select_related("pipeline", "requested_by", "worker")
        return rows.defer("definition", "rows", "ranges", "notes", "pipeline__source_query")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list; it names no other total than the one that was counted."""
        found: Any = super().get_changelist_instance(request)
        if not (found.query or found.has_active_filters):
            found.full_result_count = found.result_count
        return found

    @admin.display(description=gettext_lazy("requested"), ordering="requested_at")
    def asked(self, row: Reconciliation) -> SafeString | str:
        """When it was asked for."""
        return cells.moment(row.requested_at)

    @admin.display(description=gettext_lazy("pipeline"), ordering="pipeline__name")
    def pipeline_link(self, row: Reconciliation) -> SafeString:
        """What was compared."""
        return cells.link(cells.page_of(row.pipeline), cells.name(row.pipeline))

    @admin.display(description=gettext_lazy("level"), ordering="level")
    def closely(self, row: Reconciliation) -> Any:
        """How closely, in a word."""
        return compared.LEVELS[row.level]

    @admin.display(description=gettext_lazy("result"), ordering="status")
    def result(self, row: Reconciliation) -> SafeString:
        """How it stands or ended."""
        return compared.badge(row)

    @admin.display(description=gettext_lazy("found"))
    def found(self, row: Reconciliation) -> SafeString | str:
        """What it found, or why it did not."""
        if row.error_message:
            return cells.shortened(said(row.error_message), 80)
        return compared.in_short(row)

    @admin.display(description=gettext_lazy("took"))
    def took(self, row: Reconciliation) -> str:
        """From its start to its end, or to now."""
        return cells.duration(row.started_at, row.finished_at)

    @admin.display(description=gettext_lazy("asked by"), ordering="requested_by__username")
    def asker(self, row: Reconciliation) -> str:
        """Who asked for it."""
        return str(row.requested_by or cells.EMPTY)

    # The page.

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """What it found, as far as this person may see it; while it is open, how far it is."""
        row: Reconciliation = context["original"]
        sees_keys, sees_values = may(request.user, "reconcile"), may(request.user, "preview")
        context.update(
            title=_("Comparison of %(name)s") % {"name": row.pipeline.name},
            subtitle=None,
            comparison=row,
            badge=compared.badge(row),
            sentence=compared.sentence(row),
            error=said(row.error_message),
            advice=compared.advice(row) if sees_keys else "",
            pipeline_link=cells.link(cells.page_of(row.pipeline), row.pipeline),
            buttons=self.buttons(request, row),
            again=_again(row) if sees_keys and not row.is_open else [],
            progress=compared.progress(row),
            figures=compared.figures(row),
            notes=[said(note) for note in row.notes],
            strip=key_ranges.strip(row, sees_keys=sees_keys),
            tables=list(
                row_differences.tables(row, rows_for(row, request.user), sees_values=sees_values)
            )
            if sees_keys
            else [],
            sees_keys=sees_keys,
            sees_values=sees_values,
            differing=compared.total(row),
            facts=list(compared.facts(row)),
            repairs=_repairs(row),
            query=row.definition.get("source_query", ""),
            definition=list(definition_facts(row.definition, _COMPARED)),
            **_neighbours(row),
        )
        return super().render_change_form(request, context, *args, **kwargs)


def _again(row: Reconciliation) -> list[dict[str, Any]]:
    """Where to ask the same again, and where more would be found."""
    address = cells.page_of(row.pipeline, "reconcile")
    same = {"url": f"{address}?{urlencode({'again': row.pk})}", "label": _("Compare again")}
    level = compared.closer(row)
    if not level:
        return [same]
    query = urlencode({"again": row.pk, "level": level})
    return [{"url": f"{address}?{query}", "label": _("Compare rows")}, same]


def _repairs(row: Reconciliation) -> list[Any]:
    """The runs that repaired what it found, newest first, as links with how they ended."""
    runs = row.repairs.order_by("-started_at")[:_MOST_REPAIRS]
    return [
        {"link": cells.link(cells.page_of(run), cells.moment(run.started_at)), "run": run}
        | {"badge": cells.run_badge(run.status), "written": cells.number(run.rows_written)}
        for run in runs
    ]


def _neighbours(row: Reconciliation) -> dict[str, str]:
    """The pages of the pipeline's comparisons before and after this one."""
    others = Reconciliation.objects.filter(pipeline=row.pipeline_id).only("pk")
    before = others.filter(requested_at__lt=row.requested_at).order_by("-requested_at").first()
    after = others.filter(requested_at__gt=row.requested_at).order_by("requested_at").first()
    found = {"previous": before, "next": after}
    return {name: cells.page_of(other) for name, other in found.items() if other is not None}
