"""Asking for a comparison: the page that asks how closely, and counting many from the list.

What a comparison found is on its own page, in `reconciliation`.
"""

import math
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pipelines.admin import cells, servers
from pipelines.admin.compared import LEVELS
from pipelines.admin.theme import IntegerInput, Radio, Textarea
from pipelines.admin.verbs import Answer, Refused, Verb
from pipelines.choices import ReconciliationLevel
from pipelines.models import MOST_SAMPLE, USUAL_SAMPLE, Pipeline, Reconciliation
from runner.reconcile import Level

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

MOST_TOLERANCES = 100
#: What each level is worth, for who has to choose.
_EXPLAINED: "dict[str, StrOrPromise]" = {
    ReconciliationLevel.COUNT: gettext_lazy(
        "How many rows each side has. The quickest, but a row that has changed goes unnoticed."
    ),
    ReconciliationLevel.CHECKSUM: gettext_lazy(
        "Whether the rows are the same, and if not, in which ranges of keys. Each server sums up "
        "its own rows, and only the sums travel."
    ),
    ReconciliationLevel.ROWS: gettext_lazy(
        "Which rows are missing, extra or different, and in which columns. Where nothing differs "
        "it takes no longer than checksums."
    ),
}


class Tolerances(forms.Field):
    """Numbers by the names of columns, typed as lines like `price = 0.01`."""

    def prepare_value(self, value: Any) -> Any:
        """As people type it."""
        if isinstance(value, Mapping):
            return "\n".join(f"{name} = {number:g}" for name, number in value.items())
        return value

    def to_python(self, value: Any) -> dict[str, float]:
        """Column to tolerance. Raises ValidationError, which names the line."""
        lines = [line.strip() for line in (value or "").splitlines()]
        found = {}
        for number, line in enumerate(lines, 1):
            if line:
                name, amount = _tolerance(number, line)
                found[name] = amount
        if len(found) > MOST_TOLERANCES:
            sentence = _("Give at most %(most)d tolerances.") % {"most": MOST_TOLERANCES}
            raise forms.ValidationError(sentence)
        return found


def _tolerance(number: int, line: str) -> tuple[str, float]:
    name, _equals, text = line.rpartition("=")
    try:
        amount = float(text.strip().replace(",", "."))
    except ValueError:
        amount = 0.0
    if not name.strip() or not math.isfinite(amount) or amount <= 0:
        raise forms.ValidationError(
            _(
                "Line %(number)d is “%(line)s”. Write the name of a column and a number above 0, "
                "like “price = 0.01”."
            )
            % {"number": number, "line": line[:80]}
        )
    return name.strip(), amount


class QuestionForm(forms.Form):
    """How closely to compare; what is left out is as usual."""

    level = forms.ChoiceField(
        label=gettext_lazy("How closely"),
        choices=ReconciliationLevel.choices,
        required=False,
        widget=Radio,
    )
    sample = forms.IntegerField(
        label=gettext_lazy("Rows to show"),
        required=False,
        min_value=0,
        max_value=MOST_SAMPLE,
        widget=IntegerInput,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"),
            format_lazy(
                gettext_lazy("Give a whole number of rows, from 0 to {most}."), most=MOST_SAMPLE
            ),
        ),
        help_text=format_lazy(
            gettext_lazy(
                "So many of the differing rows of each kind are kept to look at, 0 to {most}. All "
                "of them are counted."
            ),
            most=MOST_SAMPLE,
        ),
    )
    tolerances = Tolerances(
        label=gettext_lazy("Tolerances"),
        required=False,
        widget=Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "price = 0.01"}),
        help_text=gettext_lazy(
            "A line for each column of numbers with a fraction: its name, =, and how far apart two "
            "values may be and still be equal."
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Counting looks at no values: what is wrong with the rest does not matter to it."""
        given = self.cleaned_data
        level = given.get("level") or self.get_initial_for_field(self.fields["level"], "level")
        if level == ReconciliationLevel.COUNT:
            for name in ("sample", "tolerances"):
                self.errors.pop(name, None)
                given[name] = None
        sample = given.get("sample")
        return given | {
            "level": level,
            "sample": USUAL_SAMPLE if sample is None else sample,
            "tolerances": given.get("tolerances") or {},
        }


def question(pages: Any, request: HttpRequest, pipeline: Pipeline) -> HttpResponse:
    """The page that asks how closely; its answer leads to the comparison's page."""
    sent = request.POST if request.method == "POST" else None
    form = QuestionForm(sent, initial=_initial(request, pipeline))
    if form.is_valid():
        try:
            act = partial(_compare, values=form.cleaned_data)
            return HttpResponseRedirect(pages.do(RECONCILE, request, pipeline, act).page)
        except servers.ComparisonFailed as failed:
            return HttpResponseRedirect(cells.page_of(failed.kept))
        except Refused as refused:
            form.add_error(None, str(refused.sentence))
    context = {
        **pages.admin_site.each_context(request),
        "title": _("Compare"),
        "opts": pages.opts,
        "original": pipeline,
        "back": pages.address("change", pipeline),
        "form": form,
        "levels": [_choice(radio) for radio in form["level"]],
        "has_key": _has_key(pipeline),
    }
    return TemplateResponse(request, "admin/pipelines/pipeline/compare.html", context)


def _choice(radio: Any) -> dict[str, Any]:
    """A level to choose: called by its word, and described by its sentence."""
    value, attributes = radio.data["value"], radio.data["attrs"]
    attributes["aria-labelledby"] = f"{attributes['id']}_word"
    attributes["aria-describedby"] = f"{attributes['id']}_sentence"
    return {
        "id": attributes["id"],
        "input": radio,
        "word": LEVELS[value],
        "sentence": _EXPLAINED[value],
    }


def _initial(request: HttpRequest, pipeline: Pipeline) -> dict[str, Any]:
    """As an earlier comparison was asked, or at a level, that the address names; else as closely
    as is possible."""
    level = ReconciliationLevel.ROWS if _has_key(pipeline) else ReconciliationLevel.CHECKSUM
    initial = {"level": level.value, "sample": USUAL_SAMPLE, "tolerances": {}}
    earlier = _earlier(pipeline, request.GET.get("again", ""))
    if earlier is not None:
        initial |= {
            "level": earlier.level,
            "sample": earlier.sample_size,
            "tolerances": earlier.tolerances,
        }
    wanted = request.GET.get("level")
    return initial | ({"level": wanted} if wanted in ReconciliationLevel.values else {})


def _earlier(pipeline: Pipeline, key: str) -> Reconciliation | None:
    try:
        rows = Reconciliation.objects.filter(pipeline=pipeline, pk=UUID(key))
    except ValueError:
        return None
    return rows.only("level", "sample_size", "tolerances").first()


def _has_key(pipeline: Pipeline) -> bool:
    """Whether it names key columns, or the last comparison found the table's own."""
    if pipeline.key_columns:
        return True
    rows = Reconciliation.objects.filter(pipeline=pipeline).exclude(source_count=None)
    return bool(rows.values_list("key", flat=True).first())


def _compare(request: HttpRequest, pipeline: Pipeline, *, values: Mapping[str, Any]) -> Answer:
    found = servers.compare(
        pipeline,
        by=request.user,
        level=Level(values["level"]),
        sample=values["sample"],
        tolerances=values["tolerances"],
    )
    return Answer(_("“%(name)s” is compared.") % {"name": pipeline.name}, page=cells.page_of(found))


# Of many.


def _count(request: HttpRequest, pipeline: Pipeline) -> Answer:
    """Count both sides; the answer waits for it, so all of them together have a limit."""
    _in_time(request)
    found = servers.compare(pipeline, by=request.user)
    facts = {
        "name": pipeline.name,
        "source": cells.number(found.source_count or 0),
        "target": cells.number(found.target_count or 0),
    }
    sentence = _("“%(name)s”: rows in the source %(source)s, in the target %(target)s.") % facts
    if found.difference == 0:
        return Answer(sentence)
    return Answer(sentence, (_("Source and target do not have as many rows."),))


def _in_time(request: Any) -> None:
    """Raise Refused once those before have taken as long as one may."""
    began = getattr(request, "counting_since", None)
    if began is None:
        request.counting_since = monotonic()
    elif monotonic() - began > settings.RECONCILE_SECONDS:
        seconds = math.ceil(settings.RECONCILE_SECONDS)
        raise Refused(
            ngettext(
                "It was not counted: those before it took %(count)d second. Ask for it alone.",
                "It was not counted: those before it took %(count)d seconds. Ask for it alone.",
                seconds,
            )
            % {"count": seconds}
        )


RECONCILE = Verb(
    name="reconcile",
    permission="reconcile",
    label=gettext_lazy("Compare"),
    icon="balance",
    act=_count,
    says_each=True,
    form=question,
)
