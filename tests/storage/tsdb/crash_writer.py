"""Appends until it is killed: what was acknowledged goes into a ledger. Run by test_crash.py.

Arguments: directory of the store, ledger, time of the first scrape (ms). Values say what wrote them:
a scrape's value is its time in seconds plus the series' number, a late sample's (and the count of the
first bucket of a late histogram) is a running number. So is the newest exemplar.
"""

import random
import sys
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from model.labels import Labels
from model.samples import NO_SAMPLE, Exemplar, ScrapeBatch
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.histograms import Histogram, column_of

SERIES = 120
LATE_FLOATS, LATE_HISTOGRAMS = 7, 3
LATE = LATE_FLOATS + LATE_HISTOGRAMS
NUMBERED = Labels.of({"__name__": "numbered"})
STEP_MS = 15_000
SETTINGS = TsdbSettings(
    retention_ms=0,
    reserve_bytes=65_536,
    block_ms=600_000,
    block_delay_ms=30_000,
    lane_samples=400,
    commit_ms=5,
    fsync_ms=50,
    segment_bytes=1 << 15,
    maintain_seconds=0.01,
)


def labels_of(target: int) -> list[Labels]:
    """Return the series of one target."""
    return [
        Labels.of({"__name__": f"m{i // 12}", "i": str(i), "instance": f"h{target}"})
        for i in range(SERIES)
    ]


def histogram(number: int, ts: int) -> Histogram:
    """Return the histogram that says what wrote it; GAUGE, so that its hint stays."""
    buckets = {0: float(number), 1 + ts % 5: 1.0}
    return Histogram(buckets, {3: 2.0}, sum=number / 3, hint="gauge")


def main(directory: str, ledger: str, first_ms: str) -> None:
    """Append for ever."""
    clock = FakeClock(int(first_ms))
    db = Tsdb(Path(directory), SETTINGS, clock, CollectorRegistry())
    db.start()
    rng = random.Random(first_ms)
    every = [labels_of(target) for target in range(3)]
    with Path(ledger).open("a", encoding="utf-8") as out:
        number = 0
        while True:
            clock.advance(STEP_MS / 1000)
            now = clock.now_ns() // 1_000_000
            for target, labels in enumerate(every):
                part = labels[: rng.choice([SERIES, SERIES, SERIES, 60])]
                values = now / 1000 + np.arange(len(part), dtype=np.float64)
                ticket = db.append(ScrapeBatch(db.layout(part), now, values))
                if rng.random() < 0.3:
                    ticket.wait()
                    out.write(f"scrape {target} {len(part)} {now}\n")
                    out.flush()
            if rng.random() < 0.5:
                number += 1
                target, ts = rng.randrange(3), now - rng.randrange(1, 90) * STEP_MS - 1
                refs = db.series(every[target][:LATE])
                written = np.full(LATE, float(number))
                written[LATE_FLOATS:] = NO_SAMPLE[0]
                column = column_of([0.0] * LATE_FLOATS + [histogram(number, ts)] * LATE_HISTOGRAMS)
                starts = np.full(LATE, ts - number)
                out.write(f"try {target} {number} {ts}\n")
                out.flush()
                db.append_samples(
                    refs, np.full(LATE, ts), written, start_ms=starts, histograms=column
                ).wait()
                db.append_exemplars(
                    db.series([NUMBERED]), [Exemplar(Labels(), float(number), now)]
                ).wait()
                out.write(f"late {target} {number} {ts}\n")
                out.flush()
                if number == 1:
                    print("ready", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
