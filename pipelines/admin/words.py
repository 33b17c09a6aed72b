"""Words of the pages for what the lifecycle and the worker record in words of their own."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

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
    "finish": _("Finished"),
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
}
