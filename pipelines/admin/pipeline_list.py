"""The cells of the list of pipelines that move while it is looked at; the list is in `pipeline`."""

from typing import Any
from uuid import UUID

from django.utils.html import format_html
from django.utils.safestring import SafeString

from pipelines.admin import cells
from pipelines.admin.said import said
from pipelines.models import Pipeline

#: As many rows as a page of the list has.
MOST_WATCHED = 50


def place(column: str, pipeline: Pipeline) -> str:
    """The id of the element that holds a row's cell."""
    return f"etl-{column}-{pipeline.pk}"


def placed(column: str, pipeline: Pipeline, content: Any) -> SafeString:
    """A cell that can be replaced by itself."""
    return format_html('<div id="{}">{}</div>', place(column, pipeline), content)


def last_run(pipeline: Any) -> SafeString | str:
    """Its result, when it began and how long it took, or has taken until now."""
    if pipeline.last_run_id is None:
        return cells.EMPTY
    return format_html(
        '<span title="{}">{}</span><span class="etl-under">{}, {}</span>',
        said(pipeline.last_run_error),
        cells.run_badge(pipeline.last_run_status),
        cells.moment(pipeline.last_run_started_at),
        cells.duration(pipeline.last_run_started_at, pipeline.last_run_finished_at),
    )


def button(pipeline: Pipeline, label: Any, url: str) -> SafeString:
    """The row's next verb."""
    return format_html(
        '<button type="submit" class="etl-button" formaction="{}" aria-label="{}: {}">{}</button>',
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
