"""Random histories, held against a dict: what went in is what comes out, whatever happened between."""

import random
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE_BITS, STALE_BITS, Floats, ScrapeBatch
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.points import point_bits

SETTINGS = TsdbSettings(
    retention_ms=0,
    reserve_bytes=65_536,
    block_ms=600_000,
    block_delay_ms=60_000,
    lane_samples=3000,
    idle_ms=120_000,
    forget_ms=1_800_000,
    segment_bytes=1 << 16,
    cache_bytes=1 << 20,
    maintain_seconds=3600.0,
)
STEP_MS = 5_000
ODD_BITS = [STALE_BITS, NO_SAMPLE_BITS, 0x7FF8000000000001, 0x7FF0000000000000, -(2**63)]


class History:
    """A store, the dict it is compared with, and what may happen to both."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = FakeClock()
        self.directory = directory
        self.model: dict[Labels, dict[int, int]] = {}
        self.pools = [
            [
                Labels.of(
                    {"__name__": f"m{i % 4}", "instance": f"h{t}", "i": str(i), f"l{t % 2}": "x"}
                )
                for i in range(70)
            ]
            for t in range(3)
        ]
        self.targets = [pool[:50] for pool in self.pools]
        self.db = self.open()

    def open(self) -> Tsdb:
        db = Tsdb(self.directory, SETTINGS, self.clock, CollectorRegistry())
        db.start()
        return db

    def values(self, size: int) -> Floats:
        kind = self.rng.random()
        if kind < 0.6:
            values = np.array([float(self.rng.randrange(1000)) for _ in range(size)])
        else:
            values = np.array(
                [self.rng.choice([0.5, 2.25, 1e300, 1 / 3, 7.0]) for _ in range(size)]
            )
        if self.rng.random() < 0.3:
            for _ in range(self.rng.randrange(1, 4)):
                values.view(np.int64)[self.rng.randrange(size)] = self.rng.choice(ODD_BITS)
        return values

    def put(self, labels: Labels, ts: int, bits: int) -> None:
        if bits != NO_SAMPLE_BITS:
            self.model.setdefault(labels, {})[ts] = bits

    def scrape(self) -> None:
        target = self.rng.randrange(len(self.targets))
        labels = self.targets[target]
        now = self.clock.now_ns() // 1_000_000
        ts = now - (self.rng.randrange(0, 4) * STEP_MS if self.rng.random() < 0.05 else 0)
        values = self.values(len(labels))
        self.db.append(ScrapeBatch(self.db.layout(labels), ts, values))
        for one, bits in zip(labels, values.view(np.int64).tolist(), strict=True):
            self.put(one, ts, bits)

    def late(self) -> None:
        pool = self.rng.choice(self.pools)
        size = self.rng.randrange(1, 60)
        labels = [self.rng.choice(pool) for _ in range(size)]
        now = self.clock.now_ns() // 1_000_000
        back = self.rng.choice([10, 200, 400_000_000])
        ts = np.array([max(0, now - self.rng.randrange(back) * STEP_MS) for _ in range(size)])
        values = np.array([float(self.rng.randrange(100)) for _ in range(size)])
        self.db.append_samples(self.db.series(labels), ts, values)
        for one, at, bits in zip(labels, ts.tolist(), values.view(np.int64).tolist(), strict=True):
            self.put(one, at, bits)

    def change(self) -> None:
        target = self.rng.randrange(len(self.targets))
        size = self.rng.randrange(1, 70)
        self.targets[target] = self.rng.sample(self.pools[target], size)

    def delete(self) -> None:
        now = self.clock.now_ns() // 1_000_000
        low = self.rng.choice([0, now - 900_000, now - 100_000])
        high = self.rng.choice([now + 1000, now - 50_000, now - 700_000])
        name = f"m{self.rng.randrange(4)}"
        matchers = [
            Matcher("__name__", MatchOp.EQUAL, name),
            Matcher("instance", MatchOp.EQUAL, "h1"),
        ]
        self.db.delete_series([matchers], low, high)
        for labels, samples in self.model.items():
            if labels.get("__name__") == name and labels.get("instance") == "h1":
                for ts in [ts for ts in samples if low <= ts <= high]:
                    del samples[ts]

    def restart(self) -> None:
        self.db.stop()
        self.db = self.open()

    def check(self) -> None:
        now = self.clock.now_ns() // 1_000_000
        low = self.rng.choice([0, now - 3_000_000, now - 60_000])
        high = self.rng.choice([now, now + 1000, now - 100_000])
        matchers = self.rng.choice(
            [
                [],
                [Matcher("instance", MatchOp.EQUAL, "h1")],
                [
                    Matcher("__name__", MatchOp.REGEX, "m[12]"),
                    Matcher("l0", MatchOp.NOT_EQUAL, "x"),
                ],
                [Matcher("l1", MatchOp.EQUAL, ""), Matcher("i", MatchOp.NOT_REGEX, "1.*|2")],
            ]
        )
        found = point_bits(self.db.select(matchers, low, high, Hints()))
        wanted = {}
        for labels, samples in self.model.items():
            inside = sorted((t, b) for t, b in samples.items() if low <= t <= high)
            if inside and all(_passes(m, labels) for m in matchers):
                wanted[labels] = inside
        assert found.keys() == wanted.keys()
        for labels, inside in wanted.items():
            assert found[labels] == inside, labels


def _passes(matcher: Matcher, labels: Labels) -> bool:
    value = labels.get(matcher.name)
    answers = {
        "h1": value == "h1",
        "m[12]": value in {"m1", "m2"},
        "x": value != "x",
        "": value == "",
        "1.*|2": not (value.startswith("1") or value == "2"),
    }
    return answers[matcher.value]


@pytest.mark.parametrize(
    "seed",
    [
        *range(3),
        *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 12)),
        *(pytest.param(n, marks=[pytest.mark.slow, pytest.mark.long]) for n in range(12, 40)),
    ],
)
def test_random_history(tmp_path: Path, seed: int) -> None:
    """Scrapes, late samples, deletions, changing targets, blocks, merges and restarts never lose or change a sample."""
    history = History(tmp_path / "tsdb", seed)
    rng = history.rng
    for _ in range(700):
        event = rng.random()
        if event < 0.80:
            history.scrape()
        elif event < 0.86:
            history.late()
        elif event < 0.88:
            history.change()
        elif event < 0.93:
            history.db.maintain()
        elif event < 0.94:
            history.restart()
        elif event < 0.975:
            history.check()
        elif event < 0.98:
            history.delete()
        else:
            history.clock.advance(rng.choice([30, 300, 1200]))
        history.clock.advance(STEP_MS / 1000 / 3)
    history.check()
    history.restart()
    for _ in range(8):
        history.check()
    history.db.stop()
