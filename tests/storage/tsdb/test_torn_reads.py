"""Readers beside writers: every value read is the one that was written for its series and time."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch, is_no_sample
from storage.interface import TS_PAD, Hints, SeriesSet
from storage.tsdb.db import Tsdb
from tests.fakes.clock import FakeClock
from tests.storage.tsdb.opened import SETTINGS, START_MS

TARGETS, SERIES = 20, 50
STEP_MS = 1000
SPREAD = 2.0**32  # between the values of two series at one time


def labels_of(target: int) -> list[Labels]:
    """Return the series of one target."""
    return [
        Labels.of({"__name__": f"m{i % 5}", "n": str(target * SERIES + i)}) for i in range(SERIES)
    ]


class Beside:
    """A store, a writer that never rests, and readers that look at every value they get."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock(START_MS)
        settings = replace(
            SETTINGS, block_ms=200_000, block_delay_ms=5_000, maintain_seconds=0.05, idle_ms=30_000
        )
        self.db = Tsdb(directory, settings, self.clock, CollectorRegistry())
        self.done = threading.Event()
        self.read = 0
        self.samples = 0
        self.torn: list[str] = []
        self._lock = threading.Lock()

    def write(self) -> None:
        """Scrape all targets again and again; one of them rests now and then, so that its rows are freed."""
        layouts = [self.db.layout(labels_of(target)) for target in range(TARGETS)]
        numbers = np.arange(TARGETS * SERIES, dtype=np.float64).reshape(TARGETS, SERIES)
        round_ = 0
        while not self.done.is_set():
            self.clock.advance(STEP_MS / 1000)
            now = self.clock.now_ns() // 1_000_000
            round_ += 1
            for target, layout in enumerate(layouts):
                if (round_ // 40) % TARGETS != target:
                    values = numbers[target] * SPREAD + (now - START_MS)
                    self.db.append(ScrapeBatch(layout, now, values))
            if round_ % 20 == 0:
                time.sleep(0)

    def look(self, seed: int) -> None:
        """Read until the end; check all."""
        rng = np.random.default_rng(seed)
        while not self.done.is_set():
            now = self.clock.now_ns() // 1_000_000
            back = int(rng.choice([STEP_MS, 5 * STEP_MS, 100 * STEP_MS]))
            some = [Matcher("__name__", MatchOp.EQUAL, f"m{rng.integers(5)}")]
            found = self.db.select(some if rng.random() < 0.5 else [], now - back, now, Hints())
            series, samples, wrong = _checked(found)
            with self._lock:
                self.read += series
                self.samples += samples
                self.torn.extend(wrong)


def _checked(found: SeriesSet) -> tuple[int, int, list[str]]:
    numbers = found.labels.columns["n"] if found.labels.size else None
    samples = 0
    wrong: list[str] = []
    for group in found.groups:
        assert numbers is not None
        texts = np.array(numbers.values)[numbers.codes[group.rows]]
        ts = group.ts_ms[group.ts_row]
        there = (ts != TS_PAD) & ~is_no_sample(group.values)
        expected = texts.astype(np.float64)[:, None] * SPREAD + (ts - START_MS)
        bad = there & (group.values != expected)
        wrong.extend(f"{group.values[at]} at {ts[at]}" for at in zip(*np.nonzero(bad), strict=True))
        samples += int(there.sum())
    return found.labels.size, samples, wrong


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        (300_000, 6.0),
        pytest.param(
            10_000_000, 300.0, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]
        ),
    ],
)
def test_no_read_is_torn(tmp_path: Path, wanted: int, seconds: float) -> None:
    """While columns are written, sealed, moved and freed, no series that is read shows another's value or time."""
    beside = Beside(tmp_path / "tsdb")
    beside.db.start()
    threads = [threading.Thread(target=beside.write)]
    threads += [threading.Thread(target=beside.look, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    while beside.read < wanted and time.monotonic() < until and not beside.torn:
        time.sleep(0.05)
    beside.done.set()
    for thread in threads:
        thread.join()
    beside.db.stop()

    assert beside.torn == []
    assert beside.read > wanted / 100, "the readers did not get to read"
    print(f"{beside.read} series and {beside.samples} samples read, none torn")
