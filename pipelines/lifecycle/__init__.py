"""One verb per transition of a pipeline, each one guarded UPDATE plus its event.

Nothing else writes a lifecycle column. The moves are those of `states.MOVES`.
"""

from pipelines.lifecycle.claims import (
    adopt_generation,
    claim,
    ended,
    pause_unclaimed,
    postpone_rescue,
    replace_lost_run,
    rescue_cancelled,
    rescue_paused,
)
from pipelines.lifecycle.guard import refusal, wake
from pipelines.lifecycle.people import (
    delete,
    edit,
    request_cancel,
    request_pause,
    request_run,
    reset_checkpoint,
    withdraw_request,
)
from pipelines.lifecycle.reconciliations import (
    answer_reconciliation,
    ask,
    cancel_reconciliation,
    cancelled_reconciliation,
    claim_reconciliation,
    fail_reconciliation,
    hand_back_reconciliation,
    renew_reconciliation,
)
from pipelines.lifecycle.repairs import (
    RepairRefused,
    check_repairable,
    left_to_repair,
    request_repair,
    rows_to_change,
    tolerances_of,
)
from pipelines.lifecycle.values import (
    Claim,
    Failure,
    Result,
    Superseded,
    TransitionRefused,
)
from pipelines.lifecycle.workers import (
    cancelled,
    fail,
    finish,
    hand_back,
    paused,
    retry_or_pause,
    started,
)

__all__ = [
    "Claim",
    "Failure",
    "RepairRefused",
    "Result",
    "Superseded",
    "TransitionRefused",
    "adopt_generation",
    "answer_reconciliation",
    "ask",
    "cancel_reconciliation",
    "cancelled",
    "cancelled_reconciliation",
    "check_repairable",
    "claim",
    "claim_reconciliation",
    "delete",
    "edit",
    "ended",
    "fail",
    "fail_reconciliation",
    "finish",
    "hand_back",
    "hand_back_reconciliation",
    "left_to_repair",
    "pause_unclaimed",
    "paused",
    "postpone_rescue",
    "refusal",
    "renew_reconciliation",
    "replace_lost_run",
    "request_cancel",
    "request_pause",
    "request_repair",
    "request_run",
    "rescue_cancelled",
    "rescue_paused",
    "reset_checkpoint",
    "retry_or_pause",
    "rows_to_change",
    "started",
    "tolerances_of",
    "wake",
    "withdraw_request",
]
