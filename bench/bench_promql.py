"""The engine on 20,000 series: ``python bench/bench_promql.py``. Prints CPU-seconds, best of three.

50 targets with 400 series each, one hour at 15 s, every target scraped at its own second. Beside
them what Prometheus 3.16 takes for the same (whole process, same kind of machine).
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from model.labels import LabelColumn, LabelTable
from promql.engine import Engine
from storage.interface import Group, Hints, SeriesSet
from tests.fakes.store import MemoryStore

TARGETS, EACH, SCRAPES, INTERVAL_MS = 50, 400, 241, 15_000
BOUNDS = ["0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
END_MS = (SCRAPES - 1) * INTERVAL_MS


class Columns(MemoryStore):
    """Gives one dense group; histograms' buckets are every eighth series."""

    def __init__(self) -> None:
        super().__init__()
        size = TARGETS * EACH
        rng = np.random.default_rng(1)
        rise = rng.integers(0, 20, (size, SCRAPES)).astype(np.float64)
        buckets = np.cumsum(rise.reshape(-1, len(BOUNDS), SCRAPES), axis=1).reshape(size, SCRAPES)
        offsets = np.arange(TARGETS)[:, None] * (INTERVAL_MS // TARGETS)
        ts_ms = np.arange(SCRAPES, dtype=np.int64) * INTERVAL_MS + offsets
        rows = np.arange(size)
        target, number = rows // EACH, rows % EACH
        columns = {
            "__name__": _column(np.zeros(size, dtype=np.int64), ["requests_total"]),
            "instance": _column(target, [f"host-{i}:9100" for i in range(TARGETS)]),
            "job": _column(target % 5, [f"job-{i}" for i in range(5)]),
            "path": _column(number // len(BOUNDS), [f"/p/{i}" for i in range(EACH)]),
            "le": _column(number % len(BOUNDS), BOUNDS),
        }
        group = Group(
            rows.astype(np.int32), ts_ms, target.astype(np.int32), np.cumsum(buckets, axis=1), True
        )
        self.found = SeriesSet(LabelTable(size, columns), (group,))

    def select(self, matchers: object, mint: int, maxt: int, hints: Hints) -> SeriesSet:
        (group,) = self.found.groups
        low = int(np.searchsorted(group.ts_ms[-1], mint))
        high = int(np.searchsorted(group.ts_ms[0], maxt, side="right"))
        part = Group(
            group.rows, group.ts_ms[:, low:high], group.ts_row, group.values[:, low:high], True
        )
        return SeriesSet(self.found.labels, (part,))


def _column(codes: np.ndarray, values: list[str]) -> LabelColumn:
    return LabelColumn((codes + 1).astype(np.int32), ["", *values])


def best(run: Callable[[], object]) -> float:
    """Return the least CPU time of three runs."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Print the table."""
    engine, store = Engine(), Columns()

    def ranged(query: str) -> Callable[[], object]:
        return lambda: engine.range(store, query, 300_000, END_MS, INTERVAL_MS)

    def instant(query: str) -> Callable[[], object]:
        return lambda: engine.instant(store, query, END_MS)

    rows = [
        (
            "instant sum by (job) (rate([5m]))",
            instant("sum by (job) (rate(requests_total[5m]))"),
            "",
        ),
        ("instant topk(10)", instant("topk(10, requests_total)"), ""),
        (
            "range sum by (job) (rate([5m])), 1 h",
            ranged("sum by (job) (rate(requests_total[5m]))"),
            "0.113",
        ),
        (
            "range histogram_quantile, 1 h",
            ranged("histogram_quantile(0.9, sum by (job, le) (rate(requests_total[5m])))"),
            "0.292",
        ),
        ("range topk(10), 1 h", ranged("topk(10, requests_total)"), "0.054"),
        ("range max_over_time([5m]), 1 h", ranged("sum(max_over_time(requests_total[5m]))"), ""),
        ("range sum by (job), 1 h", ranged("sum by (job) (requests_total)"), ""),
    ]
    print(f"{TARGETS * EACH} series x {SCRAPES} samples\n{'query':45}{'CPU-s':>8}  Prometheus")
    for name, run, peer in rows:
        print(f"{name:45}{best(run):8.3f}  {peer}")
    mixed = [
        "sum by (job) (rate(requests_total[5m]))",
        "count(requests_total)",
        "max by (instance) (requests_total)",
        "histogram_quantile(0.9, sum by (le) (rate(requests_total[5m])))",
    ]
    total = best(lambda: [engine.instant(store, q, END_MS) for q in mixed * 5]) * 10
    print(
        f"{'200 mixed instant queries (20 run, times 10)':45}{total:8.3f}  0.48 (smaller selections)"
    )


if __name__ == "__main__":
    main()
