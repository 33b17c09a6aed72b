"""The history of changes of a row: a page of its own, and the last few for the row's page.

Only changes of what people define; what was asked of a pipeline is in the timelines of its runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from pipelines import changes
from pipelines.admin import cells
from pipelines.admin.base import Admin
from pipelines.admin.differences import Difference, between, connection_names
from pipelines.models import Pipeline

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

_PER_PAGE = 25


@dataclass(frozen=True, kw_only=True)
class Change:
    """A record as a template shows it; `differences` are those from the record before it.

    Of the first record they are all that was there. `restore_url` is empty where nothing can be
    brought back.
    """

    number: int
    at: datetime
    title: str
    who: str
    note: str = ""
    is_first: bool = False
    differences: list[Difference] = field(default_factory=list)
    restore_url: str = ""

    @property
    def when(self) -> "SafeString | str":
        """How long ago."""
        return cells.moment(self.at)


class HistoryAdmin(Admin):
    """Pages of rows whose changes are kept; the page at `history/` is ours, not Django's."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The changes, newest first, each with what it changed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self.gone(request)
        pages = Paginator(changes.newest_first(row).select_related("history_user"), _PER_PAGE)
        page = pages.get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of “%(name)s”") % {"name": row},
            "opts": self.opts,
            "original": row,
            "back": self.address("change", row),
            "page": page,
            "entries": self._entries(request, row, page),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/pipelines/history.html", context)

    def restore_address(self, request: HttpRequest, row: Any, record: Any) -> str:
        """Where this person can ask for what the record holds; empty: nowhere."""
        return ""

    def gone(self, request: HttpRequest) -> HttpResponse:
        """The list, for who asks for a row that is not there."""
        messages.warning(request, _("It does not exist any more."))
        return HttpResponseRedirect(self.list_address())

    def _entries(self, request: HttpRequest, row: Any, page: Any) -> list[Change]:
        """The changes of a page of records."""
        start = max(page.start_index() - 1, 0)
        # One more, for the last one on the page to be compared with.
        records = list(page.paginator.object_list[start : start + _PER_PAGE + 1])
        present = changes.values_of(row)
        addresses = [
            ""
            if changes.values_of(record) == present
            else self.restore_address(request, row, record)
            for record in records
        ]
        return _told(records, _PER_PAGE, addresses)


def latest_changes(pipeline: Pipeline, count: int = 5) -> dict[str, Any]:
    """The context `changes` of the fragment `admin/pipelines/pipeline/changes.html`."""
    rows = changes.newest_first(pipeline).select_related("history_user")
    return {
        "entries": _told(list(rows[: count + 1]), count),
        "url": cells.page_of(pipeline, "history"),
    }


def _told(records: Sequence[Any], count: int, addresses: Sequence[str] = ()) -> list[Change]:
    """The first `count` of these records; the one more, if there is one, is only compared with."""
    names = connection_names(records)
    older = [*records[1:], None][: len(records)]
    addresses = addresses or [""] * len(records)
    told = []
    for record, before, address in list(zip(records, older, addresses, strict=True))[:count]:
        found = between(before, record, names)
        told.append(
            Change(
                number=record.history_id,
                at=record.history_date,
                title=_title(record, found),
                who=_who(record),
                note=_note(record),
                is_first=before is None,
                differences=found,
                restore_url=address,
            )
        )
    return told


def _title(record: Any, found: Sequence[Difference]) -> str:
    if record.history_change_reason == changes.FIRST:
        return _("As it was when changes began to be kept")
    if record.history_type == "+":
        return _("Created")
    if at := changes.time_restored(record.history_change_reason):
        return _("Restored from %(when)s") % {"when": cells.exactly(at)}
    fields = [str(one.label) for one in found]
    if record.history_change_reason == changes.NEW_SECRET:
        fields.append(_("password"))
    if not fields:
        return _("Stored again")
    return _("Changed: %(fields)s") % {"fields": ", ".join(fields)}


def _note(record: Any) -> str:
    if record.history_change_reason == changes.NEW_SECRET:
        return _("Passwords are not kept here.")
    return ""


def _who(record: Any) -> str:
    if record.history_user is not None:
        return str(record.history_user)
    if record.history_change_reason == changes.FIRST:
        return cells.EMPTY
    return _("a deleted user, or a command")
