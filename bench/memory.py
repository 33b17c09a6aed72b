"""The most memory that a worker process ever holds, and whether it grows with the rows."""

from bench.figures import Figure
from bench.ground import Ground, make_source, make_target
from bench.work import pipeline, run, warm_worker

_MEGABYTE = 1_000_000
_SIZES = (100_000, 3_000_000)


def measure(ground: Ground, *, rows: int, rounds: int) -> list[Figure]:
    """A full reload of each size by a process of its own; `rows` and `rounds` play no part."""
    print("Peak memory of a worker process", flush=True)
    peaks = {size: _peak(ground, size) for size in _SIZES}
    small, large = (peaks[size] for size in _SIZES)
    return [
        Figure(
            what=f"peak memory of a worker, full reload of {size:,} rows",
            value=peaks[size] / _MEGABYTE,
            most=120,
            unit="MB",
            detail=f"VmHWM {peaks[size]:,} bytes",
        )
        for size in _SIZES
    ] + [
        Figure(
            what=f"peak memory, {_SIZES[1]:,} rows against {_SIZES[0]:,}",
            value=large / small,
            most=1.1,
            detail=f"{large / _MEGABYTE:.1f} MB / {small / _MEGABYTE:.1f} MB",
        )
    ]


def _peak(ground: Ground, rows: int) -> int:
    make_source(ground, rows)
    make_target(ground, "items")
    with warm_worker(ground) as worker:
        run(pipeline("reload", target="items", batch_size=50_000))
        peak = worker.peak_memory()
    print(f"  {rows:,} rows: {peak / _MEGABYTE:.1f} MB", flush=True)
    return peak
