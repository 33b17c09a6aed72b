"""Full reload, publish included, against psql piped into psql and against the floor."""

from statistics import median

from bench.figures import Figure
from bench.ground import Ground, make_source, make_target
from bench.pipes import find_psql, floor, text_pipe
from bench.work import MeasurementError, pipeline, run, seconds, warm_worker


def measure(ground: Ground, *, rows: int, rounds: int) -> list[Figure]:
    """Alternating runs of each kind; medians and their ratios."""
    psql = find_psql(ground)
    print(f"Full reload of {rows:,} rows, {rounds} rounds, {psql.version}", flush=True)
    make_source(ground, rows)
    make_target(ground, "items")
    large = pipeline("large batches", target="items", batch_size=50_000)
    small = pipeline("small batches", target="items", batch_size=5_000)
    measured: dict[str, list[float]] = {}
    with warm_worker(ground):
        for _round in range(rounds):
            for name, once in {
                "text pipe": lambda: text_pipe(ground, psql),
                "50,000": lambda: _reload(ground, large, rows),
                "floor": lambda: floor(ground, psql),
                "5,000": lambda: _reload(ground, small, rows),
            }.items():
                measured.setdefault(name, []).append(once())
            print("  " + ", ".join(f"{n} {t[-1]:.2f} s" for n, t in measured.items()), flush=True)
    return _figures({name: median(times) for name, times in measured.items()})


def _reload(ground: Ground, pipeline: object, rows: int) -> float:
    ground.settle()
    ended = run(pipeline)
    if (ended.publish, ended.rows_written) != ("swap", rows):
        raise MeasurementError(f"Published by {ended.publish}, {ended.rows_written} rows.")
    return seconds(ended)


def _figures(took: dict[str, float]) -> list[Figure]:
    pipe, least = took["text pipe"], took["floor"]
    return [
        Figure(
            what=f"full reload, batches of {size}, against {name}",
            value=took[size] / against,
            most=most,
            detail=f"{took[size]:.2f} s / {against:.2f} s",
        )
        for size, name, against, most in (
            ("50,000", "a text pipe of psql", pipe, 0.5),
            ("5,000", "a text pipe of psql", pipe, 0.6),
            ("50,000", "the floor (binary pipe, then the key)", least, 1.5),
            ("5,000", "the floor (binary pipe, then the key)", least, None),
        )
    ]
