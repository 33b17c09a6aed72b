"""Which pipelines use a connection, and what cannot be done with it meanwhile."""

from typing import Any

from django.utils.translation import gettext as _

from pipelines.models import Connection, Pipeline


def pipelines_of(connection: Connection) -> Any:
    """The pipelines that read from it or write to it."""
    return (
        Pipeline.objects.filter(source_connection=connection)
        | Pipeline.objects.filter(target_connection=connection)
    ).order_by("name")


def used_by_sentence(connection: Connection, what: str) -> str:
    """Why `what` cannot be done while pipelines use it; empty when none does."""
    names = list(pipelines_of(connection).values_list("name", flat=True)[:4])
    if not names:
        return ""
    quoted = [_("“%(name)s”") % {"name": name} for name in names[:3]]
    shown = ", ".join([*quoted, "…"] if names[3:] else quoted)
    sentence = _(
        "Pipelines use this connection (%(names)s). Point them to another one, then %(what)s."
    )
    return sentence % {"names": shown, "what": what}
