"""Which fields define a pipeline, and what of them is frozen into a run; no writing here."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipelines.models import Pipeline
from pipelines.states import BUSY, PipelineStatus

#: What decides which rows arrive where: not changed while a run is requested or active.
DATA_FIELDS = (
    "type",
    "mode",
    "source_query",
    "target_table",
    "source_connection",
    "target_connection",
    "incremental_key",
    "key_columns",
)
#: The rest of the definition, changeable at any time; a run in progress keeps what it froze.
FREE_FIELDS = (
    "name",
    "description",
    "enabled",
    "batch_size",
    "publish",
    "allow_empty",
    "allow_cascade",
    "max_shrink_percent",
    "null_policy",
    "late_margin",
    "delete_missing",
    "delete_column",
    "max_delete_percent",
)
FIELDS = DATA_FIELDS + FREE_FIELDS

#: A checkpoint means nothing under another value of these; the query's text may be edited.
_POSITION_FIELDS = (
    "mode",
    "incremental_key",
    "key_columns",
    "target_table",
    "source_connection",
    "target_connection",
)


def freeze(pipeline: Pipeline) -> dict[str, Any]:
    """The definition as JSON for the run that is claimed now: names of connections, no secrets."""
    frozen = {name: getattr(pipeline, name) for name in FIELDS}
    frozen["source_connection"] = pipeline.source_connection.name
    frozen["target_connection"] = pipeline.target_connection.name
    return frozen


def position_hash(frozen: Mapping[str, Any]) -> str:
    """Changes when the checkpoint must be cleared. `frozen` is what `freeze` gave."""
    relevant = json.dumps([frozen[name] for name in _POSITION_FIELDS], ensure_ascii=False)
    return hashlib.sha256(relevant.encode()).hexdigest()


def is_editable(status: str) -> bool:
    """True while the fields that define the data may change."""
    return PipelineStatus(status) not in BUSY
