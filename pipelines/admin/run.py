"""Runs: read-only, the list of all and the page of one with its timeline and definition."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from pipelines.admin import cells
from pipelines.admin.base import ReadOnlyAdmin
from pipelines.admin.charts import run_chart
from pipelines.admin.frozen import definition_facts
from pipelines.admin.run_list import CappedPaginator, LatestPipelines, search
from pipelines.admin.said import said
from pipelines.admin.words import EVENTS, PHASES
from pipelines.choices import Publish, RunKind
from pipelines.models import PipelineRun, RunEvent
from pipelines.permissions import may
from pipelines.searching import shortened
from pipelines.states import BUSY, PipelineStatus, RunStatus

_MOST_EVENTS = 200


@admin.register(PipelineRun)
class RunAdmin(ReadOnlyAdmin):
    """What only workers write."""

    table = {"view": "view runs"}
    list_display = (
        "began",
        "pipeline_link",
        "result",
        "took",
        "read",
        "written",
        "asked",
        "error",
    )
    list_filter = (
        "status",
        "kind",
        "trigger",
        "started_at",
        ("pipeline", LatestPipelines),
    )
    list_select_related = ("pipeline",)
    paginator = CappedPaginator
    # Either would count all runs, however many there are.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    nothing_yet = gettext_lazy("Nothing has run yet. Open a pipeline and press Run.")
    search_fields = ("pipeline__name", "error_message")
    search_help_text = gettext_lazy("Pipeline or error")
    ordering = ("-started_at", "-id")

    # The list.

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineRun]:
        """Newest first; a list needs no definitions."""
        rows: QuerySet[PipelineRun] = super().get_queryset(request)
        return rows.defer("definition", "pipeline__source_query")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list; it names no other total than the one that was counted."""
        found: Any = super().get_changelist_instance(request)
        if found.paginator.is_capped or not (found.query or found.has_active_filters):
            found.full_result_count = found.result_count
        return found

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        """By result and rows only the runs of one pipeline: to sort all, all would be read."""
        is_of_one = "pipeline__id__exact" in request.GET
        more = ("result", "read", "written") if is_of_one else ()
        return ("began", "pipeline_link", *more)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PipelineRun], search_term: str
    ) -> tuple[QuerySet[PipelineRun], bool]:
        """Runs of pipelines with such a name, or with such an error."""
        return search(queryset, shortened(search_term)), False

    @admin.display(description=gettext_lazy("started"), ordering="started_at")
    def began(self, run: PipelineRun) -> SafeString | str:
        """When it was claimed."""
        return cells.moment(run.started_at)

    @admin.display(description=gettext_lazy("pipeline"), ordering="pipeline__name")
    def pipeline_link(self, run: PipelineRun) -> SafeString:
        """Whose run it is."""
        return cells.link(cells.page_of(run.pipeline), cells.name(run.pipeline))

    @admin.display(description=gettext_lazy("result"), ordering="status")
    def result(self, run: PipelineRun) -> SafeString:
        """How it ended."""
        return cells.run_badge(run.status)

    @admin.display(description=gettext_lazy("took"))
    def took(self, run: PipelineRun) -> str:
        """From the claim to the end, or to now."""
        return cells.duration(run.started_at, run.finished_at)

    @admin.display(description=gettext_lazy("rows read"), ordering="rows_read")
    def read(self, run: PipelineRun) -> str:
        """What the source sent."""
        return cells.number(run.rows_read)

    @admin.display(description=gettext_lazy("rows written"), ordering="rows_written")
    def written(self, run: PipelineRun) -> str:
        """What changed in the target."""
        return cells.number(run.rows_written)

    @admin.display(description=gettext_lazy("trigger"))
    def asked(self, run: PipelineRun) -> str:
        """What asked for it; a repair says that it is one."""
        return cells.asked(run)

    @admin.display(description=gettext_lazy("error"))
    def error(self, run: PipelineRun) -> SafeString | str:
        """Why it failed."""
        return cells.shortened(said(run.error_message), 80)

    # The page.

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Everything that is known of the run."""
        run: PipelineRun = context["original"]
        context.update(
            title=_("Run of %(name)s") % {"name": run.pipeline.name},
            subtitle=None,
            run=run,
            error=said(run.error_message),
            badge=cells.run_badge(run.status),
            pipeline_link=cells.link(cells.page_of(run.pipeline), run.pipeline),
            figures=list(_figures(run)),
            facts=list(_facts(run)),
            events=list(_timeline(run)),
            is_live=run.status == RunStatus.RUNNING,
            lines=[
                {"at": cells.clock(line.at), "level": line.level, "text": said(line.text)}
                for line in run.lines.all()
            ],
            **_neighbours(run),
            **run_chart(run),
            again=self._again(request, run),
            query=run.definition.get("source_query", ""),
            definition=list(definition_facts(run.definition)),
        )
        return super().render_change_form(request, context, *args, **kwargs)

    def _again(self, request: HttpRequest, run: PipelineRun) -> str:
        """Where to ask for another run, for whom and while that is possible."""
        pipeline = run.pipeline
        is_open = pipeline.enabled and pipeline.status not in BUSY and may(request.user, "run")
        return cells.page_of(pipeline, "run") if is_open else ""


def _neighbours(run: PipelineRun) -> dict[str, str]:
    """The pages of the pipeline's runs before and after this one."""
    others = PipelineRun.objects.filter(pipeline=run.pipeline_id).only("pk")
    before = others.filter(generation__lt=run.generation).order_by("-generation").first()
    after = others.filter(generation__gt=run.generation).order_by("generation").first()
    found = {"previous": before, "next": after}
    return {name: cells.page_of(other) for name, other in found.items() if other is not None}


def _figures(run: PipelineRun) -> Iterator[tuple[str, str]]:
    yield _("Rows read"), cells.number(run.rows_read)
    yield _("Rows written"), cells.number(run.rows_written)
    yield _("Batches"), cells.number(run.batches)
    yield _("Took"), cells.duration(run.started_at, run.finished_at)


def _facts(run: PipelineRun) -> Iterator[tuple[str, Any]]:
    yield pgettext("a run", "Run"), run.pk
    yield _("Kind"), run.get_kind_display()
    if run.reconciliation_id:
        page = cells.page_of(run.reconciliation)
        yield _("Repairs"), cells.link(page, _("what a comparison found"))
    yield _("Asked by"), run.requested_by or cells.EMPTY
    yield _("Trigger"), run.get_trigger_display()
    yield _("Requested"), cells.moment(run.requested_at)
    yield _("Started"), cells.moment(run.started_at)
    yield _("Finished"), cells.moment(run.finished_at)
    if run.status == RunStatus.RUNNING:
        yield _("Now"), PHASES.get(run.phase, run.phase) or cells.EMPTY
        yield _("Last progress"), cells.moment(run.progress_at)
    if run.error_message:
        yield _("Failed while"), PHASES.get(run.phase, run.phase) or cells.EMPTY
        yield _("Batches before"), cells.number(run.batches)
        yield _("Error class"), run.error_class or cells.EMPTY
        yield _("SQLSTATE"), run.sqlstate or cells.EMPTY
    worker = run.worker
    yield _("Worker"), cells.link(cells.page_of(worker), worker) if worker else cells.EMPTY
    yield _("Attempt"), run.attempt
    yield _("Generation"), run.generation
    if run.resumed:
        yield _("Resumed"), _("It went on from the checkpoint of an earlier run.")
    if run.publish and run.kind == RunKind.LOAD:
        yield _("Published by"), dict(Publish.choices).get(run.publish, run.publish)
    if run.promise:
        yield _("Late commits"), said(run.promise)


def _timeline(run: PipelineRun) -> Iterator[dict[str, Any]]:
    """The run's own events, and what people asked of the pipeline meanwhile."""
    asked = Q(pipeline=run.pipeline_id, run=None, at__gte=run.requested_at or run.started_at)
    if run.finished_at is not None:
        asked &= Q(at__lte=run.finished_at)
    events = [
        event
        for which in (Q(run=run), asked)
        for event in RunEvent.objects.filter(which)
        .select_related("by", "worker")
        .order_by("at", "id")[:_MOST_EVENTS]
    ]
    for event in sorted(events, key=lambda event: (event.at, event.pk)):
        yield {
            "at": cells.exactly(event.at),
            "text": EVENTS.get(event.event, event.event),
            "by": event.by or event.worker or "",
            "badge": _status(event.to_status),
            "message": said(event.message),
        }


def _status(status: str) -> SafeString | str:
    return cells.pipeline_badge(status) if status in PipelineStatus else ""
