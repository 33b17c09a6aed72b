"""What a value looks like on a page: badges, times, numbers, links; as safe HTML, no templates."""

from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, npgettext_lazy, pgettext

from pipelines.choices import RunKind
from pipelines.states import BADGES, PipelineStatus, RunStatus

EMPTY = "—"

#: Lengths of time as they stand before "ago": some languages decline them there.
_AGO: dict[str, Any] = {
    "year": npgettext_lazy("ago", "%(num)d year", "%(num)d years", "num"),
    "month": npgettext_lazy("ago", "%(num)d month", "%(num)d months", "num"),
    "week": npgettext_lazy("ago", "%(num)d week", "%(num)d weeks", "num"),
    "day": npgettext_lazy("ago", "%(num)d day", "%(num)d days", "num"),
    "hour": npgettext_lazy("ago", "%(num)d hour", "%(num)d hours", "num"),
    "minute": npgettext_lazy("ago", "%(num)d minute", "%(num)d minutes", "num"),
}


def pipeline_badge(status: str) -> SafeString:
    """Where a pipeline stands."""
    return badge(PipelineStatus(status).label, BADGES.get(status, "default"))


def run_badge(status: str) -> SafeString:
    """How a run stands or ended."""
    return badge(RunStatus(status).label, BADGES.get(status, "default"))


def asked(run: Any) -> str:
    """What asked for a run; a repair says that it is one."""
    trigger = str(run.get_trigger_display())
    if run.kind == RunKind.REPAIR:
        return _("%(trigger)s, repair") % {"trigger": trigger}
    return trigger


def badge(label: Any, colour: str) -> SafeString:
    """A word on a coloured ground; `colour` is one of those in `states.BADGES`."""
    return format_html('<span class="etl-badge etl-{}">{}</span>', colour, label)


def moment(at: datetime | None) -> SafeString | str:
    """How long ago, the absolute time on hover."""
    if at is None:
        return EMPTY
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), exactly(at), how_long_ago(at)
    )


def day(at: datetime | None) -> SafeString | str:
    """The date, the exact time on hover."""
    if at is None:
        return EMPTY
    date = formats.date_format(timezone.localtime(at), "Y-m-d")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), exactly(at), date
    )


def exactly(at: datetime) -> str:
    """To the second, with the zone."""
    form = pgettext("a format of Django's date filter", "Y-m-d H:i:s")
    return f"{formats.date_format(timezone.localtime(at), form)} {zone_of(at)}"


def zone_of(at: datetime) -> str:
    """What the reader's time zone is called at this time: MSK, CEST; UTC+05:45 where it has no
    name of its own.
    """
    local = timezone.localtime(at)
    name = local.tzname() or ""
    if name.isalpha():
        return name
    offset = local.strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:5]}"


def clock(at: datetime) -> str:
    """The time of day, to the second."""
    return formats.date_format(timezone.localtime(at), "H:i:s")


def how_long_ago(at: datetime) -> str:
    """In words; what is still to come too."""
    seconds = int((timezone.now() - at).total_seconds())
    if seconds < 0:
        return _("in %(time)s") % {"time": lasting(-seconds)}
    if seconds == 0:
        return _("just now")
    if seconds < 60:
        return ngettext("%(count)d second ago", "%(count)d seconds ago", seconds) % {
            "count": seconds
        }
    return _("%(time)s ago") % {"time": timesince(at, depth=1, time_strings=_AGO)}


def duration(started: datetime | None, finished: datetime | None) -> str:
    """From the start to the end, or to now."""
    if started is None:
        return EMPTY
    passed: timedelta = (finished or timezone.now()) - started
    return lasting(max(passed.total_seconds(), 0.0))


def lasting(seconds: float) -> str:
    """A length of time in at most two units, on one line."""
    return _lasting(seconds).replace(" ", "\N{NO-BREAK SPACE}")


def _lasting(seconds: float) -> str:
    if seconds < 1:
        return _("%(milliseconds)d ms") % {"milliseconds": round(seconds * 1000)}
    if seconds < 60:
        return _("%(seconds)s s") % {"seconds": formats.number_format(round(seconds, 1))}
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}


def number(value: int | None) -> str:
    """With the thousands apart."""
    return EMPTY if value is None else formats.number_format(value, force_grouping=True)


def shortened(text: str | None, most: int = 120) -> SafeString | str:
    """The beginning of a long text, all of it on hover."""
    if not text:
        return EMPTY
    shown = text if len(text) <= most else text[: most - 1].rstrip() + "…"
    return format_html('<span class="etl-sentence" title="{}">{}</span>', text, shown)


def name(text: Any) -> SafeString:
    """What people called it, however long."""
    return format_html('<span class="etl-name">{}</span>', text)


def under(content: Any, below: Any) -> SafeString:
    """A cell with a quieter second line."""
    return format_html('{}<span class="etl-under">{}</span>', content, below)


def code(text: Any) -> SafeString:
    """Text with its own lines and columns."""
    return format_html('<pre class="etl-code">{}</pre>', text)


def link(url: str, text: Any) -> SafeString:
    """A link to another page of ours."""
    return format_html('<a class="etl-link" href="{}">{}</a>', url, text)


def page_of(row: Any, page: str = "change") -> str:
    """The address of a row's page in the admin."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def list_of(model: Any) -> str:
    """The address of a model's list in the admin."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
