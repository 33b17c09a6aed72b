"""The cells of the list of pipelines that move while it is looked at; the list is in `pipeline`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from pipelines.admin import cells, strip
from pipelines.admin.said import said
from pipelines.models import Pipeline
from pipelines.states import RunStatus

#: A page of the list has no more rows; with all of them shown, an address could not name them.
MOST_WATCHED = 50


def place(column: str, pipeline: Pipeline) -> str:
    """The id of the element that holds a row's cell."""
    return f"etl-{column}-{pipeline.pk}"


def placed(column: str, pipeline: Pipeline, content: Any) -> SafeString:
    """A cell that can be replaced by itself."""
    return format_html('<div id="{}">{}</div>', place(column, pipeline), content)


def standing(pipeline: Pipeline) -> SafeString:
    """Its status, and whether it may be run at all."""
    badge = cells.pipeline_badge(pipeline.status)
    if pipeline.enabled:
        return badge
    return format_html('{}<span class="etl-under">{}</span>', badge, _("disabled"))


def with_results(rows: Sequence[Any], *, is_link: bool) -> None:
    """Give each of these rows, of one page, its strip of the last results."""
    results = strip.last_results([row.pk for row in rows])
    for row in rows:
        row.strip = strip.strip(row, results.get(row.pk, []), is_link=is_link)


def last_run(pipeline: Any) -> SafeString | str:
    """Its result, when it began and how long it took, or has taken until now; and the results
    before it."""
    if pipeline.last_run_id is None:
        return cells.EMPTY
    return format_html(
        '<div class="etl-last"><span title="{}">{}</span>{}</div>'
        '<span class="etl-under">{}, {}</span>',
        said(pipeline.last_run_error),
        cells.run_badge(pipeline.last_run_status),
        getattr(pipeline, "strip", ""),
        cells.moment(pipeline.last_run_started_at),
        cells.duration(pipeline.last_run_started_at, pipeline.last_run_finished_at),
    )


def rows(pipeline: Any) -> SafeString | str:
    """What the newest run has written; while it goes on also what it has read, since a full load
    writes at its end."""
    written = cells.number(pipeline.last_run_rows_written)
    if pipeline.last_run_status != RunStatus.RUNNING:
        return written
    read = _("read: %(rows)s") % {"rows": cells.number(pipeline.last_run_rows_read)}
    return format_html('{}<span class="etl-under">{}</span>', written, read)


def button(pipeline: Pipeline, label: Any, url: str) -> SafeString:
    """The row's next verb."""
    return format_html(
        '<button type="submit" id="etl-ask-{}" class="etl-button" formaction="{}" '
        'aria-label="{}: {}">{}</button>',
        pipeline.pk,
        url,
        label,
        pipeline.name,
        label,
    )


def keys_of(text: str) -> list[UUID]:
    """The keys in a list separated by commas; what is none is passed over."""
    found = []
    for part in text.split(",")[:MOST_WATCHED]:
        try:
            found.append(UUID(part))
        except ValueError:
            continue
    return found
