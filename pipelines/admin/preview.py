"""Validate and Preview: what a form says, shown before it is stored; nothing is stored here."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pipelines import audit, limits
from pipelines.admin import servers
from pipelines.admin.pipeline_form import PipelineForm
from pipelines.admin.said import said
from pipelines.busy import Busy
from pipelines.definition import FIELDS
from pipelines.models import Pipeline
from pipelines.permissions import may
from pipelines.validation import Errors, warnings_for
from runner import preflight

#: The name of the field, or of the address's parameter, that says which pipeline the form is of.
PIPELINE = "pipeline"
#: What a definition is called, and whether it is on, says nothing of what it would do.
_UNSEEN = {"name", "description", "enabled"}
_MARKS = {True: ("✓", "success"), False: ("!", "warning"), None: ("?", "default")}


class PreviewForm(PipelineForm):
    """The form with our own rules alone: it asks no server, and a preview takes no lock."""

    def _ask_servers(self, values: Mapping[str, Any]) -> None:
        pass

    def _refuse_locked(self) -> None:
        pass

    def _refuse_outdated(self) -> None:
        pass


class _Kind(NamedTuple):
    """One of the two buttons; `asks` is which of the servers' answers it wants."""

    name: str
    button: Any
    title: Any
    asks: Callable[[Mapping[str, Any]], preflight.Preview]
    overlooks: frozenset[str] = frozenset()


_VALIDATE = _Kind(
    "validate", gettext_lazy("Validate"), gettext_lazy("Validation"), servers.validate
)
_PREVIEW = _Kind(
    "preview",
    gettext_lazy("Preview"),
    gettext_lazy("Preview"),
    servers.preview,
    overlooks=frozenset(_UNSEEN),
)


def urls(pages: Any) -> list[URLPattern]:
    """The addresses of both, for PipelineAdmin `pages`."""
    return [
        path(
            f"{kind.name}/",
            pages.admin_site.admin_view(partial(_answer, pages, kind)),
            name=f"pipelines_pipeline_{kind.name}",
        )
        for kind in (_PREVIEW, _VALIDATE)
    ]


def buttons(request: HttpRequest, pipeline: Pipeline | None) -> list[dict[str, Any]]:
    """The context `look_buttons` of preview_buttons.html: those that this person may press.

    `pipeline` is None for one that is not stored yet.
    """
    key = "" if pipeline is None else str(pipeline.pk)
    query = f"?{urlencode({PIPELINE: key})}" if key else ""
    return [
        {
            "label": kind.button,
            "url": reverse(f"admin:pipelines_pipeline_{kind.name}") + query,
            "is_preview": kind is _PREVIEW,
        }
        for kind in (_VALIDATE, _PREVIEW)
        if _may(request, kind, key)
    ]


def _answer(pages: Any, kind: _Kind, request: HttpRequest) -> HttpResponse:
    """A fragment for htmx, a page for a form that is sent without it."""
    key = request.POST.get(PIPELINE) or request.GET.get(PIPELINE) or ""
    if not _may(request, kind, key):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    stored = pages.get_object(request, key) if key else None
    if key and stored is None:
        context = _refusal({_("Pipeline"): [_("It was deleted meanwhile.")]})
    else:
        context = _unless_too_much(pages, kind, request, stored)
    context |= {"title": kind.title, "opts": pages.opts, "is_preview": kind is _PREVIEW}
    if "HX-Request" in request.headers:
        return TemplateResponse(request, "admin/pipelines/pipeline/preview.html", context)
    context |= pages.admin_site.each_context(request)
    return TemplateResponse(request, "admin/pipelines/pipeline/preview_page.html", context)


def _may(request: HttpRequest, kind: _Kind, key: str) -> bool:
    if kind is _PREVIEW:
        return may(request.user, "preview")
    return may(request.user, "edit" if key else "create")


def _unless_too_much(pages: Any, kind: _Kind, request: HttpRequest, stored: Any) -> dict[str, Any]:
    """The result, or that it is asked too often or by too many at a time."""
    try:
        limits.spend(request.user, "preview")
        return _result(pages, kind, request, stored)
    except (limits.LimitReached, Busy) as refused:
        return {"is_valid": False, "is_refused": True, "sentence": refused.sentence}


def _result(pages: Any, kind: _Kind, request: HttpRequest, stored: Any) -> dict[str, Any]:
    thing = stored and audit.thing_of(stored)
    # Made by the pages, so that it has the fields and widgets of the form that was sent.
    make = pages.get_form(request, stored, change=stored is not None, form=PreviewForm)
    form = make(request.POST, instance=stored)
    wrong = {name: list(found) for name, found in form.errors.items() if name not in kind.overlooks}
    if wrong:
        return _refusal(_labelled(form, wrong))
    # What the form has no field for, or cannot change now, is as it is stored.
    values = {name: getattr(form.instance, name) for name in FIELDS}
    values |= {name: value for name, value in form.cleaned_data.items() if name in FIELDS}
    if kind is _PREVIEW:
        audit.record_preview(thing, values, by=request.user)
    try:
        found = kind.asks(values)
    except preflight.Rejected as rejected:
        return _refusal(_labelled(form, _translated(rejected.errors)))
    return _shown(found, _sketch(form, values))


def _sketch(form: Any, values: Mapping[str, Any]) -> Pipeline:
    """A row that is not stored, to ask who else writes to its table."""
    return Pipeline(pk=form.instance.pk, **values)


def _labelled(form: Any, errors: Errors) -> Errors:
    """By what people call the field."""
    labels = {name: str(field.label) for name, field in form.fields.items()}
    return {labels.get(name, ""): sentences for name, sentences in errors.items()}


def _translated(errors: Errors) -> Errors:
    return {name: [said(sentence) for sentence in found] for name, found in errors.items()}


def _refusal(errors: Errors) -> dict[str, Any]:
    count = sum(map(len, errors.values()))
    sentence = ngettext(
        "It cannot run like this: %(count)d thing is wrong.",
        "It cannot run like this: %(count)d things are wrong.",
        count,
    ) % {"count": count}
    return {"is_valid": False, "sentence": sentence, "errors": errors}


def _shown(found: preflight.Preview, pipeline: Pipeline) -> dict[str, Any]:
    told, findings = preflight.tell(_in_words(found)), found.findings
    return {
        "is_valid": True,
        "sentence": _("Both servers were asked: this can run."),
        "found": found,
        "told": told,
        "plan_colour": {"light": "success", "moderate": "info", "heavy": "warning"}.get(
            str(found.plan.weight) if found.plan else "", "default"
        ),
        "facts": [(fact, *_MARKS[fact.holds]) for fact in told.key],
        "cut": _cut(found),
        "promise": said(findings.promise),
        "warnings": [*map(said, findings.warnings), *warnings_for(pipeline)],
    }


def _in_words(found: preflight.Preview) -> preflight.Preview:
    """With the sentences that the runner has in it in the reader's language."""
    return replace(
        found,
        obstacles=tuple(map(said, found.obstacles)),
        rows_trouble=_trouble(found.rows_trouble),
        plan_trouble=_trouble(found.plan_trouble),
    )


def _trouble(trouble: Any) -> Any:
    return trouble and replace(trouble, sentence=said(trouble.sentence))


def _cut(found: preflight.Preview) -> str:
    """What was left out of the values, if anything was."""
    if not any((value or "").endswith("…") for row in found.rows or () for value in row):
        return ""
    return _("Long values end in “…”: at most %(most)d characters of each are shown.") % {
        "most": preflight.VALUE_LENGTH
    }
