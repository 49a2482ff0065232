"""CPU time, disk space and query times of the embedded series store.

    python bench/bench_tsdb.py [--targets 50] [--series 1000] [--scrapes 480]

Appends scrapes of a realistic mix (counters, byte gauges, ratios with two places, constants, CPU
seconds) with the write-ahead log on, seals them, writes a block, and asks questions.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch
from storage.interface import Hints, SeriesSet
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings

START_MS = 1_767_225_600_000
STEP_MS = 15_000
SEEDS = 10  # targets with measurements of their own; the others repeat them
Matrix = npt.NDArray[np.float64]


class BenchClock:
    """A clock that says what it is told."""

    now = START_MS

    def now_ns(self) -> int:
        return self.now * 1_000_000

    def monotonic(self) -> float:
        return self.now / 1000


def measurements(scrapes: int, series: int, seed: int) -> Matrix:
    """Return one target's values, shape (scrapes, series), in five kinds of equal share."""
    rng = np.random.default_rng(seed)
    shape = (scrapes, series)
    kinds = np.empty((5, *shape))
    kinds[0] = np.cumsum(rng.poisson(12, shape), axis=0)
    kinds[1] = 4096 * np.cumsum(rng.integers(-40, 41, shape), axis=0) + 2**28
    kinds[2] = np.round(50 + np.cumsum(rng.normal(0, 0.8, shape), axis=0), 2)
    kinds[3] = rng.integers(0, 1000, series)
    kinds[4] = np.round(np.cumsum(rng.random(shape) * 0.2, axis=0), 6)
    mixed: Matrix = kinds[np.arange(series) // 10 % 5, :, np.arange(series)].T
    return mixed


def target_labels(target: int, series: int) -> list[Labels]:
    """Return the label sets of one target: ten series to a metric."""
    common = {"job": "bench", "instance": f"10.0.0.{target}:9100", "cluster": "main"}
    return [
        Labels.of({"__name__": f"bench_{i // 10}_total", "code": str(i % 10), **common})
        for i in range(series)
    ]


def best(times: int, run: Callable[[], SeriesSet]) -> tuple[float, SeriesSet]:
    """Return the shortest wall time in ms, and the answer."""
    took = []
    found = run()
    for _ in range(times):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return min(took) * 1000, found


def size_of(directory: Path) -> int:
    """Return the bytes of all files below."""
    return sum(p.stat().st_size for p in directory.rglob("*") if p.is_file())


def row(name: str, figure: str) -> None:
    print(f"{name:<58}{figure:>18}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--scrapes", type=int, default=480)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-tsdb-"))
    try:
        run(directory / "scrapes", options.targets, options.series, options.scrapes)
        own_timestamps(directory / "samples")
    finally:
        shutil.rmtree(directory)


def run(directory: Path, targets: int, series: int, scrapes: int) -> None:
    clock = BenchClock()
    settings = TsdbSettings(maintain_seconds=3600)
    db = Tsdb(directory, settings, clock, CollectorRegistry())
    db.start()
    seeds = [measurements(scrapes, series, seed) for seed in range(SEEDS)]
    began = time.process_time()
    layouts = [db.layout(target_labels(t, series)) for t in range(targets)]
    registered = time.process_time() - began
    batches = [
        ScrapeBatch(layouts[t], START_MS + s * STEP_MS + t * 31, seeds[t % SEEDS][s])
        for s in range(scrapes)
        for t in range(targets)
    ]
    samples = len(batches) * series
    began = time.process_time()
    for batch in batches:
        clock.now = batch.ts_ms
        db.append(batch)
    db.flush()
    appended = time.process_time() - began
    print(
        f"{targets} targets x {series} series x {scrapes} scrapes = {samples / 1e6:.1f} M samples"
    )
    row("register a series", f"{registered / targets / series * 1e6:.2f} us")
    row("append + WAL + sealing", f"{appended / samples * 1e6:.3f} CPU-s/M")
    row("WAL", f"{size_of(directory / 'wal') / samples:.2f} B/sample")
    queries(db, clock.now, "head")
    db.stop()

    db = Tsdb(directory, settings, clock, CollectorRegistry())
    began = time.process_time()
    db.start()
    row("replay", f"{(time.process_time() - began) / samples * 1e6:.3f} CPU-s/M")
    clock.now += 3 * 3_600_000
    began = time.process_time()
    db.maintain()
    written = time.process_time() - began
    row("write blocks", f"{written / samples * 1e6:.3f} CPU-s/M")
    row("append + WAL + sealing + blocks", f"{(appended + written) / samples * 1e6:.3f} CPU-s/M")
    row("blocks", f"{size_of(directory / 'blocks') / samples:.2f} B/sample")
    queries(db, clock.now - 3 * 3_600_000, "blocks")
    db.stop()


def own_timestamps(directory: Path) -> None:
    """Append 10,000 series in requests of 2,000 samples, as remote write does."""
    db = Tsdb(directory, TsdbSettings(maintain_seconds=3600), BenchClock(), CollectorRegistry())
    db.start()
    refs = db.series([one for target in range(10) for one in target_labels(target, 1000)])
    values = measurements(100, 10_000, 0)
    began = time.process_time()
    for scrape in range(100):
        for first in range(0, 10_000, 2000):
            part = slice(first, first + 2000)
            ts = np.full(2000, START_MS + scrape * STEP_MS + first)
            db.append_samples(refs[part], ts, values[scrape, part])
    db.flush()
    took = time.process_time() - began
    row("append with own timestamps (remote write), 10,000 series", f"{took:.3f} CPU-s/M")
    db.stop()


def queries(db: Tsdb, now: int, where: str) -> None:
    """Ask for 20,000 series of five minutes, one metric of five minutes, one metric of all time."""
    wide = [Matcher("__name__", MatchOp.REGEX, "bench_[1-4][0-9]_total")]
    narrow = [Matcher("__name__", MatchOp.EQUAL, "bench_12_total")]
    for name, matchers, start in (
        ("five minutes", wide, now - 300_000),
        ("five minutes", narrow, now - 300_000),
        ("all time", narrow, 0),
    ):
        took, found = best(4, lambda m=matchers, s=start: db.select(m, s, now, Hints()))  # type: ignore[misc] # defaults bind the loop's values
        size = sum(g.values.size for g in found.groups)
        row(
            f"select from {where}: {found.labels.size} series, {name}, {size} points, "
            f"{len(found.groups)} groups",
            f"{took:.2f} ms",
        )


if __name__ == "__main__":
    main()
