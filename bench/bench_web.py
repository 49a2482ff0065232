"""CPU time of the query API: JSON from arrays, and whole requests over HTTP.

    python bench/bench_web.py [--series 1000] [--steps 240]

Prints microseconds per point of a matrix by kind of value, and milliseconds per request.
"""

import argparse
import http.client
import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from model.labels import METRIC_NAME, Labels, LabelTable
from model.samples import NO_SAMPLE
from promql.engine import Engine
from promql.result import Matrix
from taskscope.clock import SystemClock
from tests.fakes.store import MemoryStore
from web.api.matrix import matrix
from web.app import create_app
from web.parts import Parts
from web.server import WebServer

START_MS = 1_767_225_600_000
STEP_MS = 15_000
REQUESTS = 300


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least CPU time of one call."""
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def matrices(series: int, steps: int) -> dict[str, npt.NDArray[np.float64]]:
    """Return values by kind, shape (series, steps)."""
    rng = np.random.default_rng(1)
    noise = rng.normal(10, 3, (series, steps))
    holes = noise.copy()
    holes[rng.random(noise.shape) < 0.1] = NO_SAMPLE[0]
    return {
        "counters": np.cumsum(rng.poisson(12, noise.shape), axis=1).astype(np.float64),
        "full mantissa": noise,
        "two decimals": np.round(noise, 2),
        "a tenth missing": holes,
        "tiny (1e-6)": noise * 1e-6,
        "all NaN": np.full(noise.shape, np.nan),
    }


def _joined(result: Matrix) -> bytes:
    return b"".join(matrix(result))


def encode(series: int, steps: int) -> None:
    """Print what a point costs."""
    labels = LabelTable.from_labels(
        [{"app": f"app-{i % 50}", "task_id": f"{i:064x}", "host": "node-1"} for i in range(series)]
    )
    times = START_MS + STEP_MS * np.arange(steps, dtype=np.int64)
    print(f"matrix of {series} series x {steps} steps{'us/point':>26}{'MB':>8}")
    for name, values in matrices(series, steps).items():
        result = Matrix(labels, times, values)
        size = sum(map(len, matrix(result)))
        seconds = cpu_seconds(partial(_joined, result), 5)
        print(f"  {name:<44}{seconds / values.size * 1e6:>8.3f}{size / 1e6:>8.1f}")
    plain = matrices(series, steps)["full mantissa"]

    def loops() -> str:
        rows = [
            [[t / 1000, repr(v)] for t, v in zip(times.tolist(), row, strict=True)]
            for row in plain.tolist()
        ]
        return json.dumps(rows)

    print(
        f"  {'(Python lists and json, full mantissa)':<44}{cpu_seconds(loops, 2) / plain.size * 1e6:>8.3f}"
    )


def requests() -> None:
    """Print what a request costs, server and client together in this process."""
    store = MemoryStore()
    now_ms = time.time_ns() // 1_000_000
    refs = store.series([Labels.of({METRIC_NAME: "up", "job": str(i)}) for i in range(10)])
    times = np.full(10, now_ms, dtype=np.int64)
    store.append_samples(refs, times, np.ones(10))
    parts = Parts(
        clock=SystemClock(),
        version="bench",
        exposition=lambda: b"",
        status=dict,
        queryable=store,
        engine=Engine(),
    )
    server = WebServer(create_app(parts, CollectorRegistry()), "127.0.0.1", 0)
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def ask(path: str) -> None:
        for _ in range(REQUESTS):
            connection.request("GET", path)
            connection.getresponse().read()

    print(f"{'request, one connection':<46}{'ms':>8}")
    for path in ("/-/healthy", "/api/v1/query?query=1", "/api/v1/query?query=sum(up)"):
        seconds = cpu_seconds(partial(ask, path), 3) / REQUESTS
        print(f"  {path:<44}{seconds * 1e3:>8.3f}")
    connection.close()
    server.stop()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--series", type=int, default=1000)
    arguments.add_argument("--steps", type=int, default=240)
    given = arguments.parse_args()
    encode(given.series, given.steps)
    requests()


if __name__ == "__main__":
    main()
