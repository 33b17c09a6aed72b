"""The soak: ten pipelines, three workers, busy writers, and a fault every few seconds.

SOAK_SECONDS, SOAK_ROWS, SOAK_FAULTS and SOAK_SEED make it shorter, or the same again.
"""

import os
import random
import threading
import time
from collections import Counter

import pytest
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Now

from pipelines import lifecycle
from pipelines.choices import Trigger
from pipelines.lifecycle import TransitionRefused
from pipelines.models import Connection, Pipeline, PipelineRun
from pipelines.states import RUN_REQUESTED
from tests.soak.mischief import Mischief
from tests.soak.tables import KINDS, Reader, Writer, make_pipeline, make_tables
from tests.waiting import until
from tests.whole.faults import oracle
from tests.whole.faults.ground import Ground

SECONDS = float(os.environ.get("SOAK_SECONDS", "1200"))
ROWS = int(os.environ.get("SOAK_ROWS", "2000000"))
FAULTS = int(os.environ.get("SOAK_FAULTS", "300"))
KINDS_OF_FAULTS = 8
WRITERS = 3
#: How a run may fail here: by what was done to it, and by nothing else.
EXPECTED = {
    "WorkerLost",
    "UnknownOutcome",
    "OperationalError",
    "AdminShutdown",
    "CrashShutdown",
    "CannotConnectNow",
    "DiskFull",
    "OutOfMemory",
    "SerializationFailure",
    "DeadlockDetected",
    "LockNotAvailable",
    "QueryCanceled",
    "InternalError_",
    "CheckViolation",
    "NumericValueOutOfRange",
    "StagingLost",
}


@pytest.mark.soak
def test_after_hundreds_of_faults_every_row_is_there_once(ground: Ground) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**9))
    print(f"SOAK_SEED={seed}", flush=True)
    ground.source.execute(
        "CREATE SEQUENCE public.numbers; ALTER SEQUENCE public.numbers OWNER TO source"
    )
    for kind in KINDS:
        make_tables(ground.source, kind)
    source = Connection.objects.get(name="fault_source")
    target = Connection.objects.get(name="fault_target")
    pipelines = [make_pipeline(kind, source, target) for kind in KINDS]
    writers = [Writer(ground.servers.source, seed + n) for n in range(WRITERS)]
    reader = Reader(ground.servers.target)
    mischief = Mischief(ground, pipelines, seed)
    for thread in (*writers, reader):
        thread.start()

    _trouble(mischief, random.Random(seed))
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(60)
    _finish(ground, mischief, pipelines)
    reader.stopping.set()
    reader.join(60)

    _judge(ground, pipelines)
    failures = Counter(
        PipelineRun.objects.exclude(error_class="").values_list("error_class", flat=True)
    )
    print(f"faults: {dict(mischief.done)}")
    print(f"rows: {_rows()}, runs: {PipelineRun.objects.count()}, failures: {dict(failures)}")
    print(f"transactions: {sum(writer.committed for writer in writers)}, looks: {reader.looks}")
    strange = PipelineRun.objects.exclude(error_class__in={"", *EXPECTED})
    assert list(strange.values_list("error_class", "error_message")) == []
    assert [writer.failure for writer in writers] == [None] * WRITERS
    assert reader.mixtures == []
    assert mischief.bad_ends == []
    assert _rows() >= ROWS
    assert mischief.done.total() >= FAULTS
    assert len(mischief.done) >= KINDS_OF_FAULTS
    assert mischief.stop_all() == [0, 0, 0]


def _trouble(mischief: Mischief, dice: random.Random) -> None:
    """Runs are asked for, and a fault strikes, until there was enough of everything."""
    began = said = time.monotonic()
    rest = threading.Event()
    while True:
        passed = time.monotonic() - began
        try:
            rows = _rows()
            if passed >= SECONDS and rows >= ROWS and mischief.done.total() >= FAULTS:
                return
            assert passed < 3 * SECONDS + 300, f"too slow: {rows} rows, {mischief.done}"
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(f"{passed:.0f} s: {rows} rows, {mischief.done.total()} faults", flush=True)
            _ask_for_all()
        except DatabaseError:
            connection.close()
        mischief.keep_three()
        rest.wait(dice.uniform(0.2, 1.5))
        mischief.strike()


def _ask_for_all() -> None:
    """Whatever rests runs again; whatever waits for its next try is tried now."""
    for pipeline in Pipeline.objects.exclude(status__in=("RUN_REQUESTED", "RUNNING")):
        try:
            lifecycle.request_run(pipeline.pk, by=None, trigger=Trigger.API)
        except TransitionRefused:
            continue
    Pipeline.objects.filter(status=RUN_REQUESTED).update(next_attempt_at=Now())
    lifecycle.wake()


def _rows() -> int:
    found: int | None = PipelineRun.objects.aggregate(rows=Sum("rows_read"))["rows"]
    return found or 0


def _finish(ground: Ground, mischief: Mischief, pipelines: list[Pipeline]) -> None:
    """No more faults: everything comes to rest, and one last run each must succeed."""
    for server in ground.servers.all():
        server.proxy.clear()
    connection.close()
    mischief.keep_three()
    for pipeline in pipelines:
        ground.until(pipeline, "IDLE", "FAILED", "PAUSED", seconds=180)
    for pipeline in pipelines:
        ground.ask(pipeline)
    for pipeline in pipelines:
        ground.until(pipeline, "IDLE", "FAILED", seconds=180)
        last = pipeline.runs.order_by("generation").last()
        assert last.status == "SUCCESS", (pipeline.name, last.error_message)


def _judge(ground: Ground, pipelines: list[Pipeline]) -> None:
    for kind, pipeline in zip(KINDS, pipelines, strict=True):
        oracle.same_rows(ground.source, kind.query, ground.target, pipeline)
        oracle.steps_without_gaps(ground.target, pipeline)
    oracle.nothing_left(ground.source, ground.target)
    until(lambda: not Pipeline.objects.lost().exists(), what="a claim was left behind")
