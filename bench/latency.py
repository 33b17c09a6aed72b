"""From the request of a run to its claim by a worker that waits for work."""

import time
from statistics import median, quantiles

from bench.figures import Figure
from bench.ground import QUERY, Ground, make_source, make_target
from bench.work import MeasurementError, pipeline, run, warm_worker

_REQUESTS = 100
# After a run the worker looks for more work first; so long it surely waits again.
_IDLE_SECONDS = 0.2


def measure(ground: Ground, *, rows: int, rounds: int) -> list[Figure]:
    """100 requests, one after the other; by the database's clock. `rows` and `rounds` play no
    part."""
    print(f"From request to claim, {_REQUESTS} requests", flush=True)
    make_source(ground, 1000)
    make_target(ground, "items")
    ours = pipeline("small", target="items", source_query=f"{QUERY} LIMIT 10")
    waits = []
    with warm_worker(ground):
        for _request in range(_REQUESTS):
            time.sleep(_IDLE_SECONDS)
            ended = run(ours)
            if ended.requested_at is None:
                raise MeasurementError("The run does not tell when it was requested.")
            waits.append((ended.started_at - ended.requested_at).total_seconds() * 1000)
    last = quantiles(waits, n=20)[-1]
    print(f"  median {median(waits):.1f} ms, p95 {last:.1f} ms", flush=True)
    return [
        Figure(
            what=f"from request to claim, idle worker, median of {_REQUESTS}",
            value=median(waits),
            most=50,
            unit="ms",
            detail=f"p95 {last:.1f} ms",
        )
    ]
