"""The base class of every page of the admin; what a single model shows is in the model's file."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as confirm_deletion
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, ngettext

from pipelines.admin.asking import AskingAdmin
from pipelines.admin.fields import CommaList, Lines
from pipelines.admin.theme import Textarea, TextInput, tick_box
from pipelines.admin.verbs import Refused
from pipelines.permissions import may
from pipelines.searching import MOST_SEARCHED, MOST_WORDS, is_too_long, shortened

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class Admin(AskingAdmin):
    """A model's pages.

    `table` says which verb of `permissions.VERBS` stands for Django's view, add, change and
    delete; without a table Django's own permissions hold, with one what it leaves out is nobody's.
    """

    table: Mapping[str, str] | None = None
    #: What the list says while there is no row at all.
    nothing_yet: "StrOrPromise" = ""
    #: The part of a row's page where people go on after saving; a browser would keep the old one.
    landing = ""
    actions: Sequence[Any] = ("delete_selected",)
    list_per_page = 25
    warn_unsaved_form = True
    formfield_overrides = {
        ArrayField: {"form_class": CommaList, "widget": TextInput, "show_hidden_initial": False},
        models.TextField: {"form_class": Lines, "widget": Textarea},
    }

    # Who may.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By the table."""
        if self.table is None:
            return super().has_view_permission(request, obj)
        return self._may(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """By the table."""
        if self.table is None:
            return super().has_add_permission(request)
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By the table."""
        if self.table is None:
            return super().has_change_permission(request, obj)
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By the table."""
        if self.table is None:
            return super().has_delete_permission(request, obj)
        return self._may(request, "delete")

    def _may(self, request: HttpRequest, what: str) -> bool:
        verb = (self.table or {}).get(what)
        return verb is not None and may(request.user, verb)

    # The list.

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A NUL, which no text in PostgreSQL can have, is as wrong a filter as any other."""
        if any("\0" in value for values in request.GET.lists() for value in values[1]):
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        if is_too_long(request.GET.get(SEARCH_VAR, "")):
            facts = {"words": MOST_WORDS, "most": MOST_SEARCHED}
            messages.warning(
                request,
                gettext("Only %(words)d words and %(most)d characters are searched for.") % facts,
            )
        return super().changelist_view(request, extra_context)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """What the list's own filters ask for: any other column could be guessed bit by bit."""
        return lookup in self._lookups() and super().lookup_allowed(lookup, value, request)

    def _lookups(self) -> set[str]:
        found = {"id__in", "pk__in"}
        for one in self.list_filter:
            field: Any = one[0] if isinstance(one, tuple | list) else one
            if isinstance(field, str):
                found |= {field, *(f"{field}__{lookup}" for lookup in _FILTERING)}
            else:
                found.add(field.parameter_name)
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Rows with every word, of which there may be so many."""
        return super().get_search_results(request, queryset, shortened(search_term))

    @admin.display(description=gettext_lazy("Select record"))
    def action_checkbox(self, obj: Any) -> SafeString:
        """The box that selects a row for an action."""
        return tick_box(obj, gettext("Select this object for an action - {}").format(obj))

    # Saving: people land on the row's own page, where the next step is, so one button is enough.

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The form's page."""
        context.update(show_save_and_continue=False, show_save_and_add_another=False)
        return super().render_change_form(request, context, *args, **kwargs)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """The new row's page."""
        return self._page_or_list(request, obj)

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """The row's page again."""
        return self._page_or_list(request, obj)

    def _page_or_list(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        if self.has_view_permission(request, obj):
            return HttpResponseRedirect(self.address("change", obj) + self.landing)
        return super().response_post_save_change(request, obj)

    # Deleting: a model's pages say what `delete_model` refuses, and what may be known before.

    def check_deletable(self, row: Any) -> None:
        """Raise Refused for a row that cannot be deleted now, before people are asked."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask and delete; a refusal is a sentence on the row's page."""
        row = self.get_object(request, unquote(object_id))
        try:
            if row is not None and self.has_delete_permission(request, row):
                self.check_deletable(row)
            return super().delete_view(request, object_id, extra_context)
        except Refused as refused:
            messages.error(request, refused.sentence)
            return HttpResponseRedirect(self.address("change", row))

    @admin.action(permissions=["delete"], description=gettext_lazy("Delete"))
    def delete_selected(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponse | None:
        """Ask first, then delete one by one, with a sentence for each that is refused."""
        if not request.POST.get("post"):
            return confirm_deletion(self, request, queryset)
        self.ask_many(request, queryset, act=self._delete_one, said=_deleted)
        return None

    def _delete_one(self, request: HttpRequest, row: Any) -> None:
        self.check_deletable(row)
        if not self.has_delete_permission(request, row):
            raise PermissionDenied
        with transaction.atomic():
            self.log_deletions(request, self.model._default_manager.filter(pk=row.pk))
            self.delete_model(request, row)


#: How Django's filters narrow a list.
_FILTERING = ("exact", "id__exact", "isnull", "in", "gte", "gt", "lt", "lte")


class ReadOnlyAdmin(Admin):
    """Pages of what only workers write."""

    actions: Sequence[Any] = ()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page; Django's history is of what people stored, and here they store nothing."""
        context.update(show_history=False)
        return super().render_change_form(request, context, *args, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody's."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody's."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody's."""
        return False


def _deleted(count: int) -> str:
    return ngettext("%(count)d was deleted.", "%(count)d were deleted.", count) % {"count": count}
