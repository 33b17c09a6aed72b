"""What can be asked of a pipeline in the admin: a verb of the lifecycle behind each button."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pipelines import lifecycle
from pipelines.admin.comparing import RECONCILE
from pipelines.admin.verbs import Answer, Refused, Verb
from pipelines.choices import Mode, Trigger
from pipelines.models import Pipeline
from pipelines.states import (
    ACTIVE,
    FAILED,
    IDLE,
    PAUSE_REQUESTED,
    PAUSED,
    REFUSED,
    RESTING,
    RUN_REQUESTED,
    RUNNING,
    PipelineStatus,
    moves,
)


def refusing(ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a verb of the lifecycle; what it refuses is said to people."""
    try:
        return ask(*args, **kwargs)
    except lifecycle.TransitionRefused as refused:
        raise Refused(refused.sentence) from refused
    except Pipeline.DoesNotExist as gone:
        raise Refused(_("The pipeline was deleted meanwhile.")) from gone


def _waits_for_retry(pipeline: Pipeline) -> bool:
    return pipeline.status == RUN_REQUESTED and pipeline.next_attempt_at > timezone.now()


def _run(request: HttpRequest, pipeline: Pipeline) -> Answer:
    refusing(lifecycle.request_run, pipeline.pk, by=request.user, trigger=Trigger.ADMIN)
    return Answer(_("A run of “%(name)s” is requested.") % {"name": pipeline.name})


def _pause(request: HttpRequest, pipeline: Pipeline) -> Answer:
    now = refusing(lifecycle.request_pause, pipeline.pk, by=request.user)
    if now == PAUSED:
        return Answer(_("“%(name)s” is paused.") % {"name": pipeline.name})
    return Answer(_("A pause of “%(name)s” is requested.") % {"name": pipeline.name})


def _cancel(request: HttpRequest, pipeline: Pipeline) -> Answer:
    now = refusing(lifecycle.request_cancel, pipeline.pk, by=request.user)
    if now in ACTIVE:
        return Answer(_("The run of “%(name)s” is being cancelled.") % {"name": pipeline.name})
    return Answer(_("“%(name)s” is cancelled.") % {"name": pipeline.name})


def _enable(request: HttpRequest, pipeline: Pipeline) -> Answer:
    _switch(request, pipeline, enabled=True)
    return Answer(_("“%(name)s” is enabled.") % {"name": pipeline.name})


def _disable(request: HttpRequest, pipeline: Pipeline) -> Answer:
    _switch(request, pipeline, enabled=False)
    return Answer(_("“%(name)s” is disabled.") % {"name": pipeline.name})


def _switch(request: HttpRequest, pipeline: Pipeline, *, enabled: bool) -> None:
    pipeline.enabled = enabled
    refusing(lifecycle.edit, pipeline, {"enabled"}, by=request.user)


def _reset(request: HttpRequest, pipeline: Pipeline) -> Answer:
    refusing(lifecycle.reset_checkpoint, pipeline.pk, by=request.user)
    return Answer(
        _("The checkpoint of “%(name)s” is reset: its next run reads everything.")
        % {"name": pipeline.name}
    )


RUN = Verb(
    name="run",
    permission="run",
    label=gettext_lazy("Run"),
    icon="play_arrow",
    act=_run,
    fits=lambda row: row.enabled and (row.status in RESTING or _waits_for_retry(row)),
    said=lambda count: (
        ngettext(
            "A run of %(count)d pipeline is requested.",
            "Runs of %(count)d pipelines are requested.",
            count,
        )
        % {"count": count}
    ),
    variant="primary",
)
PAUSE = Verb(
    name="pause",
    permission="pause",
    label=gettext_lazy("Pause"),
    icon="pause",
    act=_pause,
    fits=lambda row: row.status in moves("pause").sources and row.cancel_requested_at is None,
    said=lambda count: (
        ngettext(
            "A pause of %(count)d pipeline is requested.",
            "Pauses of %(count)d pipelines are requested.",
            count,
        )
        % {"count": count}
    ),
)
CANCEL = Verb(
    name="cancel",
    permission="cancel",
    label=gettext_lazy("Cancel"),
    icon="stop",
    act=_cancel,
    fits=lambda row: row.status not in REFUSED["cancel"] and row.cancel_requested_at is None,
    said=lambda count: (
        ngettext(
            "%(count)d pipeline is cancelled or being cancelled.",
            "%(count)d pipelines are cancelled or being cancelled.",
            count,
        )
        % {"count": count}
    ),
)
ENABLE = Verb(
    name="enable",
    permission="edit",
    label=gettext_lazy("Enable"),
    icon="toggle_on",
    act=_enable,
    fits=lambda row: not row.enabled,
    said=lambda count: (
        ngettext("%(count)d pipeline is enabled.", "%(count)d pipelines are enabled.", count)
        % {"count": count}
    ),
)
DISABLE = Verb(
    name="disable",
    permission="edit",
    label=gettext_lazy("Disable"),
    icon="toggle_off",
    act=_disable,
    fits=lambda row: row.enabled,
    said=lambda count: (
        ngettext("%(count)d pipeline is disabled.", "%(count)d pipelines are disabled.", count)
        % {"count": count}
    ),
)
RESET = Verb(
    name="reset",
    permission="reset",
    label=gettext_lazy("Reset checkpoint"),
    icon="restart_alt",
    act=_reset,
    fits=lambda row: row.mode == Mode.INCREMENTAL and row.status not in ACTIVE,
    question="admin/pipelines/pipeline/reset.html",
)

VERBS = (RUN, PAUSE, CANCEL, RECONCILE, ENABLE, DISABLE, RESET)

#: The one button of a row on the list: what people most likely want of it next.
NEXT = {
    IDLE: RUN,
    FAILED: RUN,
    PAUSED: RUN,
    RUN_REQUESTED: CANCEL,
    RUNNING: PAUSE,
    PAUSE_REQUESTED: CANCEL,
}


def next_verb(pipeline: Pipeline) -> Verb | None:
    """What stands in the list's last column; None: nothing to ask now."""
    verb = NEXT[PipelineStatus(pipeline.status)] if pipeline.enabled else ENABLE
    return verb if verb.fits(pipeline) else None
