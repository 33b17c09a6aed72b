"""The panel of a pipeline's page about its last comparison."""

from typing import Any

from django.http import HttpRequest

from pipelines.admin import cells, compared
from pipelines.admin.said import said
from pipelines.models import Pipeline, Reconciliation
from pipelines.permissions import may


def compared_last(request: HttpRequest, pipeline: Pipeline) -> dict[str, Any] | None:
    """The panel's context; None for who may not see comparisons."""
    if not may(request.user, "view reconciliations"):
        return None
    rows = Reconciliation.objects.filter(pipeline=pipeline.pk)
    last = rows.defer("definition", "rows", "ranges").first()
    may_ask = may(request.user, "reconcile")
    question = cells.page_of(pipeline, "reconcile") if may_ask else ""
    if last is None:
        return {"last": None, "is_open": False, "question": question}
    return {
        "last": last,
        "is_open": last.is_open,
        "question": question,
        "badge": compared.badge(last),
        "level": compared.LEVELS[last.level],
        "sentence": said(last.error_message) or compared.sentence(last),
        "in_short": compared.in_short(last) if compared.total(last) else "",
        "progress": compared.progress(last),
        "at": cells.moment(last.finished_at or last.requested_at),
        "url": cells.page_of(last),
        "all_url": f"{cells.list_of(Reconciliation)}?pipeline__id__exact={pipeline.pk}",
    }
