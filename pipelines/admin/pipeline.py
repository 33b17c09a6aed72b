"""Pipelines: the list with its verbs, and the page where one is defined, asked and watched."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from pipelines import changes, lifecycle
from pipelines.admin import (
    cells,
    duplicating,
    pipeline_list,
    pipeline_page,
    preview,
    servers,
)
from pipelines.admin.failing import FailingFilter
from pipelines.admin.history import latest_changes
from pipelines.admin.pipeline_fields import FIELDSETS
from pipelines.admin.pipeline_form import Overtaken, PipelineForm
from pipelines.admin.pipeline_verbs import NEXT, VERBS, next_verb, refusing
from pipelines.admin.restore import RestoringAdmin
from pipelines.admin.said import said
from pipelines.admin.verbs import Refused
from pipelines.admin.words import MODES
from pipelines.definition import FIELDS
from pipelines.models import DEFAULT_CONNECTION, Connection, Pipeline
from pipelines.permissions import may
from pipelines.states import ACTIVE, BUSY

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@admin.register(Pipeline)
class PipelineAdmin(RestoringAdmin):
    """Definitions are stored by `lifecycle.edit`; nothing here writes a lifecycle column."""

    table = {"view": "view", "add": "create", "change": "edit", "delete": "delete"}
    verbs = VERBS
    nothing_yet = _("A pipeline is a query, and the table that holds its result.")
    form = PipelineForm
    landing = "#general"
    list_before_template = "admin/pipelines/pipeline/list_watch.html"
    readonly_preprocess_fields = {"source_query": cells.code}
    search_fields = ("name", "description", "target_table")
    search_help_text = _("Name, description or target table")
    list_filter = (
        "status",
        FailingFilter,
        "enabled",
        "mode",
        "type",
        ("source_connection", admin.RelatedOnlyFieldListFilter),
        ("target_connection", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("target_connection",)
    fieldsets = FIELDSETS

    def get_urls(self) -> list[URLPattern]:
        """Beside Django's: what the page asks for while something is going on."""
        live = path(
            "<path:object_id>/live/",
            self.admin_site.admin_view(self.live_view),
            name=self._url_name("live"),
        )
        rows = path(
            "rows/", self.admin_site.admin_view(self.rows_view), name=self._url_name("rows")
        )
        return [rows, live, *preview.urls(self), *super().get_urls()]

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The panels of the page as they are now, without the form."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None and request.headers.get("HX-Request") == "true":
            return HttpResponse(headers={"HX-Refresh": "true"})  # the page says that it is gone
        if row is None:
            raise Http404
        context = pipeline_page.facts(request, row.pk, self.buttons)
        return render(request, "admin/pipelines/pipeline/live.html", context)

    # The list.

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns; the last one has the row's next verb where this person may ask it."""
        shown = ["called", "standing", "mode_word", "target", "last_run", "rows"]
        if not any(may(request.user, verb.permission) for verb in NEXT.values()):
            return shown
        return [*shown, self._next_column(request)]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list; the rows that it shows are what the page asks about again."""
        found: Any = super().get_changelist_instance(request)
        # Read here once; the template goes over the same rows.
        found.result_list = list(found.result_list)
        pipeline_list.with_results(found.result_list, is_link=may(request.user, "view runs"))
        found.watch_url = self._watch_url([row.pk for row in found.result_list])
        return found

    def _watch_url(self, keys: list[UUID]) -> str:
        """Where the list asks how its rows stand; empty while nothing is going on."""
        busy = set(
            Pipeline.objects.filter(pk__in=keys, status__in=BUSY).values_list("pk", flat=True)
        )
        if not busy:
            return ""
        # With very many rows on a page those that move.
        keys = sorted(keys, key=lambda key: key not in busy)[: pipeline_list.MOST_WATCHED]
        address = reverse(f"{self.admin_site.name}:{self._url_name('rows')}")
        return f"{address}?{urlencode({'of': ','.join(map(str, keys))})}"

    def rows_view(self, request: HttpRequest) -> HttpResponse:
        """What changes while the list is looked at, for the rows that it shows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        keys = pipeline_list.keys_of(request.GET.get("of", ""))
        rows = list(self.get_queryset(request).filter(pk__in=keys))
        pipeline_list.with_results(rows, is_link=may(request.user, "view runs"))
        context = {
            "cells": [
                {"id": pipeline_list.place(column, row), "content": content}
                for row in rows
                for column, content in self._moving(request, row).items()
            ],
            "watch_url": self._watch_url([row.pk for row in rows]),
        }
        return render(request, "admin/pipelines/pipeline/rows.html", context)

    def _moving(self, request: HttpRequest, pipeline: Any) -> dict[str, Any]:
        """The contents of the cells that change while a run goes on."""
        return {
            "standing": pipeline_list.standing(pipeline),
            "last_run": pipeline_list.last_run(pipeline),
            "rows": pipeline_list.rows(pipeline),
            "next": self._next(request, pipeline),
        }

    def _next(self, request: HttpRequest, pipeline: Pipeline) -> SafeString | str:
        verb = next_verb(pipeline)
        if verb is None or not may(request.user, verb.permission):
            return ""
        return pipeline_list.button(pipeline, verb.label, self.address(verb.name, pipeline))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pipeline]:
        """With the facts of the newest run."""
        # The plugin does not know that the model's manager is made of our queryset.
        rows: QuerySet[Pipeline] = super().get_queryset(request).with_last_run()  # type: ignore[attr-defined]
        return rows

    @admin.display(description=_("name"), ordering="name")
    def called(self, pipeline: Pipeline) -> SafeString:
        """Its name, broken where it is too long for the column."""
        return cells.name(pipeline.name)

    @admin.display(description=_("status"), ordering="status")
    def standing(self, pipeline: Pipeline) -> SafeString:
        """Where it stands."""
        return pipeline_list.placed("standing", pipeline, pipeline_list.standing(pipeline))

    @admin.display(description=_("mode"), ordering="mode")
    def mode_word(self, pipeline: Pipeline) -> "StrOrPromise":
        """The mode in one word; its choice explains it in a sentence."""
        return MODES.get(pipeline.mode, pipeline.mode)

    @admin.display(description=_("target"), ordering="target_table")
    def target(self, pipeline: Pipeline) -> SafeString:
        """The table, and the connection where it is not the built-in one."""
        name = pipeline.target_connection.name
        where = "" if name == DEFAULT_CONNECTION else name
        return format_html(
            '{}<span class="etl-under">{}</span>',
            cells.name(pipeline.target_table),
            where,
        )

    @admin.display(description=_("last run"), ordering="last_run_started_at")
    def last_run(self, pipeline: Any) -> SafeString:
        """Its result, when it began and how long it took, or has taken until now."""
        return pipeline_list.placed("last_run", pipeline, pipeline_list.last_run(pipeline))

    @admin.display(description=_("rows written"), ordering="last_run_rows_written")
    def rows(self, pipeline: Any) -> SafeString:
        """What it changed in the target."""
        return pipeline_list.placed("rows", pipeline, pipeline_list.rows(pipeline))

    def _next_column(self, request: HttpRequest) -> Any:
        @admin.display(description=_("next"))
        def next_step(pipeline: Pipeline) -> SafeString:
            return pipeline_list.placed("next", pipeline, self._next(request, pipeline))

        return next_step

    # The page.

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new pipeline begins with the built-in connection on both sides, or as a copy."""
        if copied := duplicating.initial(request.GET):
            return copied
        built_in = Connection.objects.filter(name=DEFAULT_CONNECTION).first()
        return {"source_connection": built_in, "target_connection": built_in}

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The form, which knows who asks the servers."""
        form: Any = super().get_form(request, *args, **kwargs)
        form.user = request.user
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form; who was overtaken between the check and the store is checked once more."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (lifecycle.TransitionRefused, IntegrityError, Overtaken):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The form between where the pipeline stands and its last runs."""
        original = context.get("original")
        if original is not None:
            context.update(pipeline_page.facts(request, original.pk, self.buttons))
        if original is not None and self.has_view_permission(request, original):
            context["changes"] = latest_changes(original)
        if original is None or self.has_change_permission(request, original):
            context["look_buttons"] = preview.buttons(request, original)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Pipeline, form: PipelineForm, change: bool
    ) -> None:
        """A new row as it is; of an old one only what of its definition was changed.

        Raises Overtaken when somebody stored another definition while the servers were asked.
        """
        if change:
            stored = Pipeline.objects.select_for_update(no_key=True).filter(pk=obj.pk)
            if stored.values_list("updated_at", flat=True).first() != obj.updated_at:
                raise Overtaken
            lifecycle.edit(obj, set(form.changed_data) & set(FIELDS), by=request.user)
        else:
            changes.create(obj, by=request.user)
        if form.findings is not None:
            for sentence in servers.told(form.findings, form.cleaned_data):
                messages.info(request, sentence)
            for sentence in form.findings.warnings:
                messages.warning(request, said(sentence))

    # Deleting.

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Counts of what goes too; there may be too many runs to list them."""
        return pipeline_page.deletion(list(objs))

    def check_deletable(self, row: Pipeline) -> None:
        """Not while a worker may be writing."""
        if row.status in ACTIVE:
            raise Refused(lifecycle.refusal(row.pk, "delete").sentence)

    def delete_model(self, request: HttpRequest, obj: Pipeline) -> None:
        """By the lifecycle, which refuses while a run is active."""
        refusing(lifecycle.delete, obj.pk, by=request.user)
