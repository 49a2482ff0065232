"""Appends until it is killed: what was acknowledged goes into a ledger. Run by test_crash.py and by the chaos run.

Arguments: directory of the store, ledger, time of the first scrape (ms), and optionally ``place:n``: the
process kills itself when it reaches that failpoint for the n-th time. Values say what wrote them: a
scrape's value is its time in seconds plus the series' number, a late sample's is a running number,
which a late histogram has in its first bucket.
Every third round the writer also deletes a range of one metric.
"""

import itertools
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, Exemplar, ScrapeBatch
from storage import failpoint
from storage.tsdb import backlog, head
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.histograms import Histogram, column_of

NARROW = {"WIDTH": 14, "KEPT": 4}  # columns: a target is sealed, and that logged, every few scrapes
SERIES = 120
LATE = 7  # series of a target that get late samples
LATE_FLOATS = 4  # those behind get histograms
EXEMPLARY = Labels.of({"__name__": "exemplary"})
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


def deleted_matchers(target: int) -> list[Matcher]:
    """Return what a deletion of one target takes: its last metric, which never gets late samples."""
    name, instance = f"m{(SERIES - 1) // 12}", f"h{target}"
    return [
        Matcher("__name__", MatchOp.EQUAL, name),
        Matcher("instance", MatchOp.EQUAL, instance),
    ]


def histogram(number: int, ts: int) -> Histogram:
    """Return the histogram that says what wrote it; a gauge, so that its hint stays."""
    buckets = {0: float(number), 1 + ts // STEP_MS % 5: 1.0}
    return Histogram(buckets, {3: 2.0}, sum=number / 3, hint="gauge")


def die_at(place: str, times: int) -> Callable[[str], None]:
    """Return a hook that kills the process when a place is reached for the n-th time."""
    left = [times]

    def hook(reached: str) -> None:
        if reached == place:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def main(directory: str, ledger: str, first_ms: str, die: str = "") -> None:
    """Append for ever."""
    for module, (name, value) in itertools.product((head, backlog), NARROW.items()):
        setattr(module, name, value)
    clock = FakeClock(int(first_ms))
    if die:
        place, _, times = die.partition(":")
        failpoint.arm(die_at(place, int(times)))
    db = Tsdb(Path(directory), SETTINGS, clock, CollectorRegistry())
    db.start()
    rng = random.Random(first_ms)
    every = [labels_of(target) for target in range(3)]
    with Path(ledger).open("a", encoding="utf-8") as out:

        def note(line: str) -> None:
            out.write(line + "\n")
            out.flush()

        number = 0
        while True:
            clock.advance(STEP_MS / 1000)
            now = clock.now_ns() // 1_000_000
            for target, labels in enumerate(every):
                part = labels[: rng.choice([SERIES, SERIES, SERIES, 60])] if target else labels
                values = now / 1000 + np.arange(len(part), dtype=np.float64)
                ticket = db.append(ScrapeBatch(db.layout(part), now, values))
                if rng.random() < 0.3:
                    ticket.wait()
                    note(f"scrape {target} {len(part)} {now}")
            if rng.random() < 0.5:
                number += 1
                target, ts = rng.randrange(3), now - rng.randrange(1, 90) * STEP_MS - 1
                refs = db.series(every[target][:LATE])
                written = np.full(LATE, float(number))
                written[LATE_FLOATS:] = NO_SAMPLE[0]
                hist = histogram(number, ts)
                column = column_of([0.0] * LATE_FLOATS + [hist] * (LATE - LATE_FLOATS))
                starts = np.where(np.arange(LATE) < LATE_FLOATS, 0, ts - number)
                note(f"try {target} {number} {ts}")
                db.append_samples(
                    refs, np.full(LATE, ts), written, start_ms=starts, histograms=column
                ).wait()
                note(f"late {target} {number} {ts}")
                exemplar = Exemplar(Labels(), number, now)
                db.append_exemplars(db.series([EXEMPLARY]), [exemplar]).wait()
                note(f"exemplar {target} {number} {now}")
                if number == 1:
                    print("ready", flush=True)
            if rng.random() < 0.02:
                target, low = rng.randrange(3), now - rng.randrange(1, 90) * STEP_MS
                note(f"deleting {target} {low} {now}")
                db.delete_series([deleted_matchers(target)], low, now)
                note(f"deleted {target} {low} {now}")


if __name__ == "__main__":
    main(*sys.argv[1:])
