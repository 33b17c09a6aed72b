"""Words of the pages for what is recorded in words of its own: events, phases, names of rights."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Permission
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from pipelines.permissions import ADMINISTRATOR, EDITOR, OPERATOR, VIEWER

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: The events of `states.MOVES`, and what is recorded beside them.
EVENTS: "dict[str, StrOrPromise]" = {
    "run": _("Run requested"),
    "run again": _("Run requested again: due now"),
    "disable": _("Disabled: the request was taken back"),
    "pause": _("Pause requested"),
    "cancel": _("Cancelled"),
    "cancel asked": _("Cancel requested"),
    "claim": _("A worker took it"),
    "pause unclaimed": _("Paused before a worker took it"),
    "rescue": _("Taken over from a lost worker"),
    "rescue paused": _("Paused; its worker was lost"),
    "finish": pgettext_lazy("an event", "Finished"),
    "cancelled": _("Cancelled by the worker"),
    "paused": _("Paused"),
    "fail": _("Failed"),
    "retry": _("Failed, will be tried again"),
    "fail paused": _("Failed, then paused as asked"),
    "hand back": _("Handed back by a worker that stopped"),
    "checkpoint reset": _("Checkpoint reset"),
}

#: What a running worker says that it is doing.
PHASES: "dict[str, StrOrPromise]" = {
    "connect": _("connecting"),
    "preflight": _("checking the definition"),
    "fence": _("taking over the target"),
    "load": _("loading"),
    "publish": _("publishing"),
    "deletes": _("looking for deleted rows"),
    "compare": _("comparing with the source"),
    "repair": _("repairing"),
}

#: The modes in a word; `choices` explains them in a sentence.
MODES: "dict[str, StrOrPromise]" = {"full": _("full"), "incremental": _("incremental")}

_GROUPS: "dict[str, StrOrPromise]" = {
    VIEWER: _("viewer"),
    OPERATOR: _("operator"),
    EDITOR: _("editor"),
    ADMINISTRATOR: _("administrator"),
}
#: Models that have no page, and so no name of their own.
_MODELS: "dict[str, StrOrPromise]" = {
    "installation": _("installation"),
    "pipelinestate": _("checkpoint"),
    "runline": _("line of a run's log"),
    "runsample": _("progress of a run"),
}
#: Django's four permissions of each model, by the beginning of their codenames.
_RIGHTS: "dict[str, StrOrPromise]" = {
    "add": _("may add"),
    "change": _("may change"),
    "delete": _("may delete"),
    "view": _("may view"),
}


def group(name: Any) -> str:
    """A group's name; those that people made are called as they called them."""
    return str(_GROUPS.get(str(name), name))


def permission(row: Permission) -> str:
    """Which model it is of, and what it lets one do; stored in English, in Django's words."""
    action = row.codename.partition("_")[0]
    is_plain = row.codename == f"{action}_{row.content_type.model}"
    known = _RIGHTS.get(action) if is_plain else None
    model = _MODELS.get(row.content_type.model, row.content_type.name)
    return f"{model}: {known or gettext(row.name)}"
