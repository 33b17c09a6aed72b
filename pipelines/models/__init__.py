"""What the control plane keeps, a file per subject; no behaviour here."""

from pipelines.models.account import TokenName, Usage
from pipelines.models.audit import AuditRecord
from pipelines.models.connection import DEFAULT_CONNECTION, Connection, Installation
from pipelines.models.pipeline import MAX_BATCH_SIZE, Pipeline
from pipelines.models.reconciliation import MOST_SAMPLE, USUAL_SAMPLE, Reconciliation
from pipelines.models.run import PipelineRun, RunEvent, RunLine, RunSample
from pipelines.models.state import PipelineState
from pipelines.models.worker import Worker

__all__ = [
    "DEFAULT_CONNECTION",
    "MAX_BATCH_SIZE",
    "MOST_SAMPLE",
    "USUAL_SAMPLE",
    "AuditRecord",
    "Connection",
    "Installation",
    "Pipeline",
    "PipelineRun",
    "PipelineState",
    "Reconciliation",
    "RunEvent",
    "RunLine",
    "RunSample",
    "TokenName",
    "Usage",
    "Worker",
]
