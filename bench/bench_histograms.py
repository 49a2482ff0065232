"""Queries over native histograms beside Prometheus, and over series that do not stand in plain panels.

    python bench/bench_histograms.py [--reps 4] [--no-peer]

An hour at 15 s. Native histograms of 20 buckets (500 series) go by remote write into our server and
into Prometheus (from ``PEERS_BIN``), and into a store of this process, as they are in memory and from
a block; rounds take turns, answers are compared first. Then 2,000 float series in this process: plain,
with start timestamps, with a deletion that no compaction has followed, and with samples that came
twice; each beside plain ones that came the same way. CPU time; medians.
"""

import argparse
import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from bench import bench_query as servers
from bench.bench_tsdb import BenchClock
from bench.bench_tsdb_bytes import Histograms, encoded, histograms, pool_of
from model.clock import Clock
from model.histogram.pool import HistogramColumn
from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch, no_samples
from promql.engine import Engine
from storage.remote.client import RemoteWriteClient
from storage.remote.encode import encode_labels
from storage.remote.wire import SERIES_TAG, delimited
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings

STEP_MS = 15_000
STEPS = 241
SPAN_MS = (STEPS - 1) * STEP_MS
BEFORE = 21  # samples before the first step: the first window is full
TARGET = 50
QUERIES = [
    "histogram_quantile(0.99, sum(rate(h[5m])))",
    "histogram_quantile(0.99, sum by (job) (rate(h[5m])))",
    "sum(histogram_count(rate(h[5m])))",
    "histogram_avg(rate(h[5m]))",
]
FLOATS = ["sum(rate(x_total[5m]))", "sum by (job) (x_total)", "max_over_time(x_total[5m])"]


def labels_of(name: str, series: int) -> list[Labels]:
    """Return label sets: TARGET series to an instance, five jobs."""
    return [
        Labels.of(
            {
                "__name__": name,
                "handler": f"/api/{i % TARGET}",
                "instance": f"10.0.0.{i // TARGET}:9100",
                "job": f"job-{i // TARGET % 5}",
            }
        )
        for i in range(series)
    ]


# ---------------------------------------------------------------- stores of this process


@contextlib.contextmanager
def store(end: int) -> Iterator[tuple[Tsdb, BenchClock]]:
    """Open a store whose clock stands an hour before the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-histograms-"))
    clock = BenchClock()
    clock.now = end - SPAN_MS - BEFORE * STEP_MS
    settings = TsdbSettings(maintain_seconds=3600.0, retention_ms=0)
    as_clock: Clock = clock
    db = Tsdb(folder, settings, as_clock, CollectorRegistry())
    db.start()
    try:
        yield db, clock
    finally:
        db.stop()
        shutil.rmtree(folder)


def times(end: int) -> range:
    """Return the times of the samples."""
    return range(end - SPAN_MS - BEFORE * STEP_MS, end + 1, STEP_MS)


def fill(db: Tsdb, clock: BenchClock, end: int, put: Callable[[int, int], None]) -> None:
    """Put in one column for each time."""
    for number, now in enumerate(times(end)):
        clock.now = now
        put(number, now)
    db.flush()


def into_block(db: Tsdb, clock: BenchClock) -> None:
    """Let everything be written as a block."""
    clock.now += 6 * 3_600_000
    db.maintain()
    clock.now -= 6 * 3_600_000


def asked(db: Tsdb, query: str, end: int, *, instant: bool) -> float:
    """Return the CPU-seconds of one query."""
    engine = Engine()
    began = time.process_time()
    if instant:
        engine.instant(db, query, end)
    else:
        engine.range(db, query, end - SPAN_MS, end, STEP_MS)
    return time.process_time() - began


def median_of(db: Tsdb, query: str, end: int, reps: int, *, instant: bool) -> float:
    """Return the middle of some runs; two before are not counted."""
    runs = [asked(db, query, end, instant=instant) for _ in range(reps + 2)]
    return statistics.median(runs[2:])


def histograms_put(db: Tsdb, data: Histograms) -> Callable[[int, int], None]:
    """Return what appends one histogram of every series, as a remote write request brings them."""
    size = data.sums.shape[1]
    refs = db.series(labels_of("h", size))
    index = np.arange(size, dtype=np.int32)

    def put(number: int, now: int) -> None:
        pool = pool_of(data.buckets[number], data.sums[number])
        column = HistogramColumn(index, pool)
        db.append_samples(refs, np.full(size, now), no_samples(size), histograms=column)

    return put


# ---------------------------------------------------------------- histograms


def requests(data: Histograms, end: int) -> Iterator[bytes]:
    """Yield a remote write request for each time."""
    labels = [encode_labels(one) for one in labels_of("h", data.sums.shape[1])]
    for now, buckets, sums in zip(times(end), data.buckets, data.sums, strict=False):
        yield b"".join(
            delimited(SERIES_TAG, one + delimited(0x22, encoded(counts, total, now)))
            for one, counts, total in zip(labels, buckets, sums, strict=True)
        )


@contextlib.contextmanager
def both_servers(data: Histograms, end: int) -> Iterator[dict[str, servers.Server]]:
    """Run our server and Prometheus over the same histograms."""
    folder = Path(tempfile.mkdtemp(prefix="bench-histograms-"))
    sides: dict[str, servers.Server] = {}
    bodies = list(requests(data, end))
    try:
        for name in ("ours", "peer"):
            side = servers.ours(folder / "ours") if name == "ours" else servers.prometheus(folder)
            sides[name] = side
            client = RemoteWriteClient(f"http://127.0.0.1:{side.port}/api/v1/write")
            for body in bodies:
                client.post(body)
            client.close()
        yield sides
    finally:
        for side in sides.values():
            side.stop()
        shutil.rmtree(folder, ignore_errors=True)


def over_http(
    server: servers.Server, query: str, end: int, *, instant: bool
) -> tuple[float, bytes]:
    """Return the CPU-seconds of one query and the answer."""
    began = server.cpu()
    if instant:
        body = server.ask("/query", query=query, time=end / 1000)
    else:
        start = (end - SPAN_MS) / 1000
        body = server.ask("/query_range", query=query, start=start, end=end / 1000, step=15)
    return server.cpu() - began, body


def beside_prometheus(data: Histograms, end: int, reps: int) -> dict[str, dict[str, float]]:
    """Return CPU-seconds by query and side."""
    found: dict[str, dict[str, float]] = {}
    with both_servers(data, end) as sides:
        for instant in (False, True):
            for query in QUERIES:
                runs: dict[str, list[float]] = {name: [] for name in sides}
                bodies = {}
                for _ in range(reps + 2):
                    for name, side in sides.items():
                        spent, bodies[name] = over_http(side, query, end, instant=instant)
                        runs[name].append(spent)
                said = servers.difference(bodies["ours"], bodies["peer"])
                if said:
                    print(f"{query}: {said}")
                found[f"{query} {instant}"] = {n: statistics.median(r[2:]) for n, r in runs.items()}
    return found


def show_histograms(end: int, reps: int, *, peer: bool) -> None:
    """Print the table of histograms."""
    data = trimmed_to(histograms(500))
    found = beside_prometheus(data, end, reps) if peer else {}
    head = ["in memory", "in a block", "HTTP", "Prometheus", "ratio", "HTTP"]
    print(f"{'500 native histograms, ms':56}" + "".join(f"{word:>11}" for word in head))
    with store(end) as (db, clock), store(end) as (kept, kept_clock):
        fill(db, clock, end, histograms_put(db, data))
        fill(kept, kept_clock, end, histograms_put(kept, data))
        into_block(kept, kept_clock)
        for instant in (False, True):
            for query in QUERIES:
                mine = median_of(db, query, end, reps, instant=instant)
                block = median_of(kept, query, end, reps, instant=instant)
                sides = found.get(f"{query} {instant}", {"ours": np.nan, "peer": np.nan})
                kind = "instant" if instant else "range"
                row = [mine, block, sides["ours"], sides["peer"]]
                ratios = [mine / sides["peer"], sides["ours"] / sides["peer"]]
                print(
                    f"{kind:8}{query:48}"
                    + "".join(f"{1000 * x:11.1f}" for x in row)
                    + "".join(f"{x:11.2f}" for x in ratios),
                    flush=True,
                )


def trimmed_to(data: Histograms) -> Histograms:
    """Return as many scrapes as go in."""
    return Histograms(data.buckets[: STEPS + BEFORE], data.sums[: STEPS + BEFORE])


# ---------------------------------------------------------------- floats


def floats_put(db: Tsdb, series: int, end: int, kind: str) -> Callable[[int, int], None]:
    """Return what appends one sample of every series: by ``scrape``, or one by one with or without ``start``."""
    labels = labels_of("x_total", series)
    values = np.cumsum(np.random.default_rng(5).poisson(12, (STEPS + BEFORE, series)), axis=0)
    if kind == "scrape":
        layouts = [db.layout(labels[at : at + TARGET]) for at in range(0, series, TARGET)]

        def scrape(number: int, now: int) -> None:
            for layout, at in zip(layouts, range(0, series, TARGET), strict=True):
                row = values[number, at : at + TARGET].astype(np.float64)
                db.append(ScrapeBatch(layout, now, row))

        return scrape
    refs = db.series(labels)
    started = times(end)[0] - 1000 * np.arange(1, series + 1)

    def put(number: int, now: int) -> None:
        starts = started if kind == "start" else None
        row = values[number].astype(np.float64)
        db.append_samples(refs, np.full(series, now), row, start_ms=starts)
        if kind == "twice" and number % 4 == 0:
            some = refs[::10]
            db.append_samples(some, np.full(len(some), now - 5000), row[::10])

    return put


def show_floats(end: int, reps: int, series: int) -> None:
    """Print the table of floats."""
    print(f"\n{f'{series} float series, ms':40}{'plain':>10}{'this':>10}{'ratio':>8}")
    kinds = [
        ("with start timestamps", "late", "start", False, False),
        ("with start timestamps, in a block", "late", "start", True, False),
        ("deleted for 1 %, in a block", "scrape", "scrape", True, True),
        ("deleted for 1 %, in memory", "scrape", "scrape", False, True),
        ("some with samples between", "late", "twice", False, False),
    ]
    for title, plain, special, block, delete in kinds:
        with store(end) as (db, clock), store(end) as (other, other_clock):
            fill(db, clock, end, floats_put(db, series, end, plain))
            fill(other, other_clock, end, floats_put(other, series, end, special))
            if block:
                into_block(db, clock)
                into_block(other, other_clock)
            if delete:
                matchers = [
                    Matcher("handler", MatchOp.EQUAL, "/api/0"),
                    Matcher("instance", MatchOp.REGEX, "10.0.0.1.:9100|10.0.0.2.:9100"),
                ]
                other.delete_series([matchers], end - 2_000_000, end - 1_000_000)
            for query in FLOATS:
                for instant in (False, True):
                    one = median_of(db, query, end, reps, instant=instant)
                    two = median_of(other, query, end, reps, instant=instant)
                    kind = "instant" if instant else "range"
                    row = f"{1000 * one:10.2f}{1000 * two:10.2f}{two / one:8.2f}"
                    print(f"{title + ', ' + kind:44}{query:30}{row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=4)
    parser.add_argument("--floats", type=int, default=2000)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    end = int(time.time()) // 15 * STEP_MS
    if args.only != "floats":
        show_histograms(end, args.reps, peer=not args.no_peer)
    if args.only != "histograms":
        show_floats(end, args.reps, args.floats)


if __name__ == "__main__":
    main()
