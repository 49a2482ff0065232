"""A query over 30 days, before and after blocks are merged: CPU-seconds, cold and warm.

    python bench/bench_merge.py [--days 30] [--targets 10] [--step 60]

Each target has 50 series of 5 metrics; the query reads one metric of all targets.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import HOUR_MS, TsdbSettings
from tests.fakes.clock import FakeClock

SERIES = 50
QUIET = {"maintain_seconds": 3600.0, "reserve_bytes": 0, "retention_ms": 0, "fsync_ms": 3_600_000}


def fill(db: Tsdb, clock: FakeClock, args: argparse.Namespace) -> None:
    """Scrape all targets for so many days."""
    rng = np.random.default_rng(1)
    layouts = [
        db.layout(
            [
                Labels.of({"__name__": f"m{i // 10}", "i": str(i), "instance": f"h{target}"})
                for i in range(SERIES)
            ]
        )
        for target in range(args.targets)
    ]
    values = np.zeros(SERIES)
    for number in range(args.days * 86400 // args.step):
        clock.advance(args.step)
        now = clock.now_ns() // 1_000_000
        values = values + rng.integers(0, 9, SERIES)
        for layout in layouts:
            db.append(ScrapeBatch(layout, now, values))
        if number % (3600 // args.step) == 0:
            db.maintain()


def query(db: Tsdb, clock: FakeClock, days: int) -> tuple[float, int]:
    """Return the CPU time of the query and how many samples it read."""
    now = clock.now_ns() // 1_000_000
    began = time.process_time()
    found = db.select(
        [Matcher("__name__", MatchOp.EQUAL, "m3")], now - days * 24 * HOUR_MS, now, Hints()
    )
    return time.process_time() - began, sum(group.values.size for group in found.groups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--targets", type=int, default=10)
    parser.add_argument("--step", type=int, default=60)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as scratch:
        clock = FakeClock()
        unmerged = TsdbSettings(longest_block_ms=1, **QUIET)  # type: ignore[arg-type]
        merged = TsdbSettings(**QUIET)  # type: ignore[arg-type]
        for name, settings in (("before", unmerged), ("after", merged)):
            db = Tsdb(Path(scratch), settings, clock, CollectorRegistry())
            db.start()
            if name == "before":
                fill(db, clock, args)
            else:
                began, blocks = time.process_time(), 0
                while db.stats().blocks != blocks:
                    blocks = db.stats().blocks
                    db.maintain()
                print(f"merging took {time.process_time() - began:.2f} CPU-s")
            db.stop()
            db = Tsdb(Path(scratch), settings, clock, CollectorRegistry())
            db.start()
            cold, samples = query(db, clock, args.days)
            warm = min(query(db, clock, args.days)[0] for _ in range(5))
            stats = db.stats()
            print(
                f"{name:7} {stats.blocks:4d} blocks, {stats.block_bytes / 1e6:6.2f} MB; {samples / 1e6:.1f} M samples: "
                f"cold {cold * 1000:6.0f} ms, warm {warm * 1000:6.0f} ms of CPU"
            )
            db.stop()


if __name__ == "__main__":
    main()
