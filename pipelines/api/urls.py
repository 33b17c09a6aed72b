"""Addresses of the API, each with and without a slash at the end, so that no POST is redirected."""

from typing import Any

from django.urls import URLPattern, path, re_path, register_converter
from django.urls.converters import UUIDConverter

from pipelines.api.views import (
    connections,
    description,
    pipelines,
    preview,
    progress,
    reconciliations,
    repairs,
    site,
    tokens,
    verbs,
)


class AnyCaseUUID(UUIDConverter):
    """UUIDs in either case of letters; anything else is no address, so 404."""

    regex = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"


class ConnectionNameConverter:
    """Names that a connection can have."""

    regex = "[a-z0-9_-]{1,63}"

    def to_python(self, value: str) -> str:
        """The name."""
        return value

    def to_url(self, value: str) -> str:
        """The name."""
        return value


class TokenKeyConverter(ConnectionNameConverter):
    """The beginnings of tokens."""

    regex = "[0-9a-zA-Z]{1,25}"


register_converter(AnyCaseUUID, "pipeline_uuid")
register_converter(ConnectionNameConverter, "connection_name")
register_converter(TokenKeyConverter, "token_key")

app_name = "api"

PIPELINE = "pipelines/<pipeline_uuid:pipeline_id>"
RECONCILIATION = "reconciliations/<pipeline_uuid:reconciliation_id>"
CONNECTION = "connections/<connection_name:name>"


#: Also without the slash that all other addresses begin with.
root = site.Root.as_view()


def _both(route: str, view: Any, name: str) -> list[URLPattern]:
    # One callable for both, so that the browsable pages show it once in their path.
    answer = view.as_view()
    return [path(route, answer, name=name), path(f"{route}/", answer)]


urlpatterns = [
    path("", root, name="root"),
    *_both("pipelines", pipelines.PipelineList, "pipelines"),
    *_both(PIPELINE, pipelines.PipelineDetail, "pipeline"),
    *_both(f"{PIPELINE}/run", verbs.Run, "run"),
    *_both(f"{PIPELINE}/pause", verbs.Pause, "pause"),
    *_both(f"{PIPELINE}/cancel", verbs.Cancel, "cancel"),
    *_both(f"{PIPELINE}/reconcile", reconciliations.Reconcile, "reconcile"),
    *_both(f"{PIPELINE}/reconciliations", reconciliations.ReconciliationList, "reconciliations"),
    *_both(RECONCILIATION, reconciliations.ReconciliationDetail, "reconciliation"),
    *_both(f"{RECONCILIATION}/cancel", reconciliations.Cancel, "cancel-reconciliation"),
    *_both(f"{RECONCILIATION}/repair", repairs.Repair, "repair"),
    *_both(f"{PIPELINE}/status", progress.Status, "status"),
    *_both(f"{PIPELINE}/state", progress.State, "state"),
    *_both(f"{PIPELINE}/runs", progress.RunList, "runs"),
    *_both("preview", preview.Preview, "preview"),
    *_both("connections", connections.ConnectionList, "connections"),
    *_both(CONNECTION, connections.ConnectionDetail, "connection"),
    *_both(f"{CONNECTION}/test", connections.ConnectionTest, "test-connection"),
    *_both("tokens", tokens.TokenList, "tokens"),
    *_both("tokens/<token_key:token_id>", tokens.TokenDetail, "token"),
    *_both("health", site.Health, "health"),
    *_both("schema", description.Schema, "schema"),
    *_both("docs", description.Docs, "docs"),
    re_path("", site.Unknown.as_view()),
]
