"""Verbs as buttons on a page, addresses that take a POST, and actions on many rows of a list.

Permissions by the one table, every change by POST, every refusal a sentence.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import override

from pipelines import limits
from pipelines.admin import entries
from pipelines.admin.theme import ThemedAdmin
from pipelines.admin.verbs import Answer, Button, Refused, Verb
from pipelines.permissions import may

#: With hundreds of rows selected the first refusals say enough.
_MOST_REFUSALS = 20


class AskingAdmin(ThemedAdmin):
    """Pages on which verbs can be asked of rows."""

    verbs: tuple[Verb, ...] = ()

    # Of one row.

    def get_urls(self) -> list[URLPattern]:
        """An address for each verb, before Django's own, which would take them for keys."""
        own = [
            path(
                f"<path:object_id>/{verb.name}/",
                self.admin_site.admin_view(partial(self._answer, verb)),
                name=self._url_name(verb.name),
            )
            for verb in self.verbs
        ]
        return [*own, *super().get_urls()]

    def buttons(self, request: HttpRequest, row: Any) -> list[Button]:
        """The verbs that this person may ask of this row now."""
        return [
            Button(
                name=verb.name,
                label=verb.label,
                icon=verb.icon,
                url=self.address(verb.name, row),
                asks=verb.asks,
                variant=verb.variant,
            )
            for verb in self.verbs
            if may(request.user, verb.permission) and verb.fits(row)
        ]

    def address(self, page: str, row: Any) -> str:
        """The path of a verb, or of Django's `change`, for a row."""
        return reverse(f"{self.admin_site.name}:{self._url_name(page)}", args=[row.pk])

    def list_address(self) -> str:
        """The path of the list."""
        return reverse(f"{self.admin_site.name}:{self._url_name('changelist')}")

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _answer(self, verb: Verb, request: HttpRequest, object_id: str) -> HttpResponse:
        if not may(request.user, verb.permission):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            messages.warning(request, _("It does not exist any more."))
            return HttpResponseRedirect(self.list_address())
        if verb.form is not None:
            return verb.form(self, request, row)
        if request.method == "POST":
            self._ask(verb, request, row)
            return HttpResponseRedirect(self._came_from(request, row))
        if verb.question:
            return self._question(verb, request, row)
        return HttpResponseRedirect(self.address("change", row))

    def _ask(self, verb: Verb, request: HttpRequest, row: Any) -> None:
        try:
            answer = self.do(verb, request, row)
        except Refused as refused:
            messages.error(request, refused.sentence)
            return
        messages.success(request, answer.sentence)
        for warning in answer.warnings:
            messages.warning(request, warning)

    def do(
        self,
        verb: Verb,
        request: HttpRequest,
        row: Any,
        act: Callable[[HttpRequest, Any], Answer] | None = None,
    ) -> Answer:
        """Do it (by `act` where a form said how), unless it is asked too often, and note in the
        row's history who did. Raises Refused."""
        try:
            limits.spend(request.user, verb.permission)
        except limits.LimitReached as reached:
            raise Refused(reached.sentence) from reached
        answer = (act or verb.act)(request, row)
        # In English, as Django keeps its own: who reads it has a language of their own.
        with override("en"):
            label = str(verb.label)
        self.log_change(request, row, label)
        return answer

    def _question(self, verb: Verb, request: HttpRequest, row: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": verb.label,
            "opts": self.opts,
            "original": row,
            "back": self.address("change", row),
            "verb": verb,
        }
        return TemplateResponse(request, verb.question, context)

    def _came_from(self, request: HttpRequest, row: Any) -> str:
        """The list with its filters, or the first page, when the button was pressed there; else
        the row's page."""
        referer = request.headers.get("Referer", "")
        is_ours = url_has_allowed_host_and_scheme(
            referer, {request.get_host()}, require_https=request.is_secure()
        )
        parts = urlsplit(referer)
        homes = (self.list_address(), reverse(f"{self.admin_site.name}:index"))
        if is_ours and parts.path in homes:
            return parts._replace(scheme="", netloc="", fragment="").geturl()
        return self.address("change", row)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The row's history, which is kept in English."""
        response = super().history_view(request, object_id, extra_context)
        shown = getattr(response, "context_data", {})
        entries.translate(shown.get("action_list", ()), self.model)
        return response

    # Of many rows.

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The verbs that this person may ask of many rows, beside Django's own actions."""
        asked: dict[str, Any] = {
            verb.name: (
                partial(_on_many, partial(self.do, verb), verb.said),
                verb.name,
                verb.label,
            )
            for verb in self.verbs
            if verb.is_for_many and may(request.user, verb.permission)
        }
        return {**asked, **super().get_actions(request)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list; an action that this person may not ask for is 403, not overlooked."""
        wanted = set(request.POST.getlist("action")) - {""}
        if wanted and not wanted & {*self.get_actions(request)}:
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def ask_many(
        self,
        request: HttpRequest,
        rows: Iterable[Any],
        *,
        act: Callable[[HttpRequest, Any], Any],
        said: Callable[[int], str] | None,
    ) -> None:
        """Do it row by row; one message for what was done (without `said` for each answer), one
        for each refusal."""
        done, refusals = 0, []
        for row in rows:
            try:
                answer = act(request, row)
                done += 1
                if said is None:
                    _tell(request, answer)
            except Refused as refused:
                said_of = {"name": row, "sentence": refused.sentence}
                refusals.append(_("“%(name)s”: %(sentence)s") % said_of)
        if done and said is not None:
            messages.success(request, said(done))
        for sentence in refusals[:_MOST_REFUSALS]:
            messages.error(request, sentence)
        if more := len(refusals[_MOST_REFUSALS:]):
            messages.error(request, _("And %(count)d more were refused.") % {"count": more})


def _tell(request: HttpRequest, answer: Answer) -> None:
    """In one message: good news and bad ones of the same row are read together."""
    sentences = " ".join(map(str, (answer.sentence, *answer.warnings)))
    tell = messages.warning if answer.warnings else messages.success
    tell(request, sentences)


def _on_many(
    act: Callable[[HttpRequest, Any], Any],
    said: Callable[[int], str] | None,
    pages: AskingAdmin,
    request: HttpRequest,
    rows: Iterable[Any],
) -> None:
    pages.ask_many(request, rows, act=act, said=said)
