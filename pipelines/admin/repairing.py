"""Asking for a repair: the page that says how many rows would change and has that confirmed.

What a comparison found is on its own page, in `reconciliation`.
"""

from functools import partial
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from pipelines import lifecycle
from pipelines.admin import cells
from pipelines.admin.pipeline_verbs import refusing
from pipelines.admin.theme import IntegerInput
from pipelines.admin.verbs import Answer, Refused, Verb
from pipelines.choices import Mode, ReconciliationLevel, ReconciliationStatus, Trigger
from pipelines.models import Reconciliation
from pipelines.states import RunStatus

_MOST = 2**53


class Change(NamedTuple):
    """How many rows a repair would change in one way; `is_nothing` when there are none."""

    label: str
    number: str
    hint: str
    is_nothing: bool


class ConfirmForm(forms.Form):
    """How many rows may change at most."""

    max_rows = forms.IntegerField(
        label=gettext_lazy("Rows that may change at most"),
        min_value=1,
        max_value=_MOST,
        widget=IntegerInput,
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"),
            gettext_lazy("Give a whole number of rows, above 0."),
        ),
        help_text=gettext_lazy(
            "Rows are compared anew first. If more than this differ by then, nothing is changed."
        ),
    )


def confirm(pages: Any, request: HttpRequest, found: Reconciliation) -> HttpResponse:
    """The page that has the number of rows confirmed; then the pipeline's, which shows the run."""
    sent = request.POST if request.method == "POST" else None
    total = lifecycle.rows_to_change(found)
    form = ConfirmForm(sent, initial={"max_rows": total})
    refusal = _refusal(found)
    if not refusal and form.is_valid():
        act = partial(_repair, limit=form.cleaned_data["max_rows"])
        try:
            messages.success(request, pages.do(REPAIR, request, found, act).sentence)
            return HttpResponseRedirect(cells.page_of(found.pipeline))
        except Refused as refused:
            form.add_error(None, str(refused.sentence))
    context = {
        **pages.admin_site.each_context(request),
        "title": REPAIR.label,
        "opts": pages.opts,
        "original": found,
        "pipeline": found.pipeline,
        "back": pages.address("change", found),
        "form": form,
        "refusal": refusal,
        "changes": _changes(found),
        "whole": found.pipeline.mode == Mode.FULL,
        "button": _button(total),
    }
    return TemplateResponse(request, "admin/pipelines/reconciliation/repair.html", context)


def _refusal(found: Reconciliation) -> str:
    """Why no number of rows could be confirmed; empty where one can be."""
    try:
        lifecycle.check_repairable(found, found.pipeline)
    except lifecycle.RepairRefused as refused:
        return refused.sentence
    return ""


def _repair(request: HttpRequest, found: Reconciliation, *, limit: int) -> Answer:
    try:
        refusing(
            lifecycle.request_repair,
            found.pk,
            limit=limit,
            by=request.user,
            trigger=Trigger.ADMIN,
        )
    except lifecycle.RepairRefused as refused:
        raise Refused(refused.sentence) from refused
    except Reconciliation.DoesNotExist as gone:
        raise Refused(_("It does not exist any more.")) from gone
    return Answer(_("A repair of “%(name)s” is requested.") % {"name": found.pipeline.name})


def _changes(found: Reconciliation) -> list[Change]:
    named = (
        (_("To insert"), found.missing, _("They are missing in the target.")),
        (_("To update"), found.different, _("They get the source's values.")),
        (_("To delete"), found.extra, _("The source does not have them.")),
    )
    return [
        Change(label, cells.number(count or 0), hint, not count) for label, count, hint in named
    ]


def _button(total: int) -> str:
    return ngettext("Repair %(count)s row", "Repair %(count)s rows", total) % {
        "count": cells.number(total)
    }


def _can_be_repaired(found: Reconciliation) -> bool:
    """Once it has been repaired, only another comparison can tell what is left."""
    return bool(
        found.status == ReconciliationStatus.WARNING
        and found.level == ReconciliationLevel.ROWS
        and found.key
        and lifecycle.rows_to_change(found)
        and not found.repairs.filter(status=RunStatus.SUCCESS).exists()
    )


def _never(_request: HttpRequest, _found: Reconciliation) -> Answer:
    raise Refused(_("Confirm how many rows may change at most."))


REPAIR = Verb(
    name="repair",
    permission="run",
    label=pgettext_lazy("to do it", "Repair"),
    icon="build",
    act=_never,
    fits=_can_be_repaired,
    form=confirm,
    variant="primary",
)
