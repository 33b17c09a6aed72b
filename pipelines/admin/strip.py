"""The last results of a pipeline as a strip of bars; one query for all rows of a list."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipelines.admin import cells
from pipelines.models import Pipeline, PipelineRun
from pipelines.states import BADGES, RunStatus

MOST = 20

# For each pipeline the newest entries of the index (pipeline, generation), oldest first.
_LAST = """
SELECT p.id, r.status, r.started_at, r.finished_at
FROM unnest(%s::uuid[]) AS p (id) CROSS JOIN LATERAL (
    SELECT generation, status, started_at, finished_at FROM pipelines_pipelinerun
    WHERE pipeline_id = p.id ORDER BY generation DESC LIMIT %s) r
ORDER BY p.id, r.generation
"""


class Ended(NamedTuple):
    """A run, as far as its bar tells of it; `finished_at` is None while it goes on."""

    status: str
    started_at: datetime
    finished_at: datetime | None


def last_results(keys: Sequence[UUID]) -> dict[UUID, list[Ended]]:
    """The last 20 results of each pipeline, the oldest first."""
    found: dict[UUID, list[Ended]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_LAST, [list(keys), MOST])
        for key, *columns in cursor.fetchall():
            found[key].append(Ended(*columns))
    return found


def strip(pipeline: Pipeline, results: Sequence[Ended], *, is_link: bool) -> SafeString | str:
    """A bar for each result, told apart by height and colour, and what they are in words."""
    if not results:
        return ""
    bars = mark_safe("".join(_bars(results)))  # noqa: S308  # labels are escaped, the rest is numbers
    words = _in_words(results)
    if not is_link:
        return format_html(
            '<span class="etl-strip" role="img" aria-label="{}">{}</span>', words, bars
        )
    return format_html(
        '<a id="etl-strip-{0}" class="etl-strip" href="{1}?pipeline__id__exact={0}" '
        'aria-label="{2}">{3}</a>',
        pipeline.pk,
        cells.list_of(PipelineRun),
        words,
        bars,
    )


def _bars(results: Sequence[Ended]) -> Iterator[str]:
    # A page has hundreds of these: nothing is looked up twice, and no template is asked.
    zone = timezone.get_current_timezone()
    starts = {
        status: f'<i class="etl-bar-{BADGES.get(status, "default")}" title="'
        + escape(RunStatus(status).label)
        for status in {ended.status for ended in results}
    }
    for ended in results:
        at = f"{ended.started_at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        took = cells.duration(ended.started_at, ended.finished_at)
        yield f'{starts[ended.status]}, {took}, {at}"></i>'


def _in_words(results: Sequence[Ended]) -> str:
    counted = Counter(ended.status for ended in results)
    each = ", ".join(
        _("%(result)s: %(count)d") % {"result": RunStatus(status).label, "count": counted[status]}
        for status in RunStatus.values
        if status in counted
    )
    sentence = ngettext("Last result. %(each)s", "Last %(count)d results. %(each)s", len(results))
    return sentence % {"count": len(results), "each": each}
