"""Bringing an earlier definition of a pipeline back: the question, the checks, the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import override

from pipelines import changes, lifecycle
from pipelines.admin import cells, servers
from pipelines.admin.differences import between, connection_names
from pipelines.admin.history import HistoryAdmin
from pipelines.admin.said import said
from pipelines.definition import DATA_FIELDS, is_editable
from pipelines.models import Connection, Pipeline
from pipelines.permissions import may
from pipelines.validation import check_definition
from runner.preflight import Findings, Rejected


@dataclass(frozen=True, kw_only=True)
class Version:
    """An earlier definition: all `values`, and the names of those that are others now."""

    values: Mapping[str, Any]
    changed: frozenset[str]

    @property
    def changes_data(self) -> bool:
        """True where other rows would arrive, or elsewhere."""
        return bool(self.changed & set(DATA_FIELDS))


class RestoringAdmin(HistoryAdmin):
    """Pages of pipelines, whose earlier definitions can be brought back."""

    def get_urls(self) -> list[URLPattern]:
        """An address for each record, before Django's own, which would take it for a key."""
        own = path(
            "<path:object_id>/history/<int:number>/restore/",
            self.admin_site.admin_view(self.restore_view),
            name=self._url_name("restore"),
        )
        return [own, *super().get_urls()]

    def restore_address(self, request: HttpRequest, row: Any, record: Any) -> str:
        """Where the question is, for who may edit."""
        if not may(request.user, "edit"):
            return ""
        name = f"{self.admin_site.name}:{self._url_name('restore')}"
        return reverse(name, args=[row.pk, record.history_id])

    def restore_view(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        """The question with what would change now; by POST it is done, or refused in sentences."""
        if not may(request.user, "edit"):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self.gone(request)
        record = changes.newest_first(row).select_related("history_user").filter(pk=number).first()
        if record is None:
            raise Http404
        try:
            if request.method == "POST":
                findings = restore(
                    row.pk, record, seen=request.POST.get("version", ""), by=request.user
                )
                return self._restored(request, row.pk, record, findings)
            version_of(_fresh(row.pk), record)
        except Rejected as rejected:
            return self._ask_to_restore(request, row.pk, record, _sentences(rejected))
        except Pipeline.DoesNotExist:
            return self.gone(request)
        return self._ask_to_restore(request, row.pk, record, [])

    def _ask_to_restore(
        self, request: HttpRequest, key: Any, record: Any, refusals: list[str]
    ) -> HttpResponse:
        pipeline = _fresh(key)
        names = connection_names([pipeline, record])
        context = {
            **self.admin_site.each_context(request),
            "title": _("Restore the definition of %(when)s?")
            % {"when": cells.exactly(record.history_date)},
            "opts": self.opts,
            "original": pipeline,
            "back": self.address("history", pipeline),
            "refusals": refusals,
            "differences": between(pipeline, record, names),
            "version": pipeline.updated_at.isoformat(),
        }
        return TemplateResponse(request, "admin/pipelines/restore.html", context)

    def _restored(
        self, request: HttpRequest, key: Any, record: Any, findings: Findings | None
    ) -> HttpResponse:
        pipeline = _fresh(key)
        facts = {"name": pipeline.name, "when": cells.exactly(record.history_date)}
        with override("en"):  # as all of Django's log is kept
            noted = _("Restored from %(when)s") % {"when": cells.exactly(record.history_date)}
        self.log_change(request, pipeline, noted)
        messages.success(request, _("“%(name)s” is defined again as on %(when)s.") % facts)
        if findings is not None:
            for sentence in servers.told(findings, changes.values_of(pipeline)):
                messages.info(request, sentence)
            for sentence in findings.warnings:
                messages.warning(request, said(sentence))
        return HttpResponseRedirect(self.address("change", pipeline))


def restore(key: Any, record: Any, *, seen: str, by: Any) -> Findings | None:
    """Define the pipeline as the record does; the lifecycle and the checkpoint stay.

    `seen` is the time of the definition that the question was asked of. Gives what the servers
    say, None where they need not be asked. Raises Rejected, storing nothing, and
    Pipeline.DoesNotExist.
    """
    pipeline = _fresh(key)
    version = version_of(pipeline, record)
    _refuse_outdated(pipeline, seen)
    findings = servers.inspect(version.values, by=by) if version.changes_data else None
    try:
        _store(
            pipeline, version, seen=seen, by=by, reason=changes.restored_from(record.history_date)
        )
    except lifecycle.TransitionRefused as refused:
        raise Rejected({"": [refused.sentence]}) from refused
    except IntegrityError:
        # A name taken or a connection deleted just now: checked once more, it is said so.
        version_of(_fresh(key), record)
        raise
    return findings


def version_of(pipeline: Pipeline, record: Any) -> Version:
    """The record's definition, when nothing speaks against it that is known without the servers.

    Raises Rejected.
    """
    kept = changes.values_of(record)
    values = kept | _connections(kept)
    changed = frozenset(name for name, value in values.items() if getattr(pipeline, name) != value)
    version = Version(values=values, changed=changed)
    if not changed:
        raise Rejected({"": [_("The pipeline is defined like that already.")]})
    if version.changes_data and not is_editable(pipeline.status):
        raise Rejected({"": [lifecycle.refusal(pipeline.pk, "edit").sentence]})
    if errors := check_definition(values, instance=pipeline):
        raise Rejected(errors)
    return version


def _connections(kept: Mapping[str, Any]) -> dict[str, Connection]:
    """The rows that the record means. Raises Rejected for those that are deleted."""
    fields = ("source_connection", "target_connection")
    found = Connection.objects.in_bulk([kept[field] for field in fields])
    if missing := [field for field in fields if kept[field] not in found]:
        sentence = _(
            "This definition uses a connection that was deleted. Edit the present one instead."
        )
        raise Rejected({field: [sentence] for field in missing})
    return {field: found[kept[field]] for field in fields}


def _store(pipeline: Pipeline, version: Version, *, seen: str, by: Any, reason: str) -> None:
    for name in version.changed:
        setattr(pipeline, name, version.values[name])
    with transaction.atomic():
        # Nobody changes it between this look and the change.
        _refuse_outdated(Pipeline.objects.select_for_update(no_key=True).get(pk=pipeline.pk), seen)
        lifecycle.edit(pipeline, set(version.changed), by=by, reason=reason)


def _refuse_outdated(pipeline: Pipeline, seen: str) -> None:
    if seen and _moment(seen) == pipeline.updated_at:
        return
    sentence = _(
        "Somebody changed this pipeline after you opened this page, and nothing is restored. "
        "Look at what would change now, and ask again."
    )
    raise Rejected({"": [sentence]})


def _moment(text: str) -> Any:
    try:
        return parse_datetime(text)
    except ValueError:
        return None


def _fresh(key: Any) -> Pipeline:
    rows = Pipeline.objects.select_related("source_connection", "target_connection")
    found: Pipeline = rows.get(pk=key)
    return found


def _sentences(rejected: Rejected) -> list[str]:
    """Each once."""
    return list(
        dict.fromkeys(said(str(one)) for found in rejected.errors.values() for one in found)
    )
