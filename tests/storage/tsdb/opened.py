"""A store with its clock, for tests."""

from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.points import points

START_MS = 1_767_225_600_000  # a multiple of two hours
SETTINGS = TsdbSettings(maintain_seconds=3600.0, reserve_bytes=65_536)
UP = Labels.of({"__name__": "up", "job": "a"})
LOAD = Labels.of({"__name__": "load", "job": "a"})


class Opened:
    """A store with its clock; opens again on the same directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock(START_MS)
        self.settings = SETTINGS
        self.db = self._open()

    def _open(self) -> Tsdb:
        self.registry = CollectorRegistry()
        db = Tsdb(self.directory, self.settings, self.clock, self.registry)
        db.start()
        return db

    def again(self) -> None:
        """Stop and start."""
        self.db.stop()
        self.db = self._open()

    def scrape(self, seconds: int, step: int = 15) -> None:
        """Scrape for some time; values are the scrape's time in seconds."""
        for _ in range(0, seconds, step):
            self.clock.advance(step)
            now = self.clock.now_ns() // 1_000_000
            layout = self.db.layout([UP, LOAD])
            self.db.append(ScrapeBatch(layout, now, np.array([1.0, now / 1000])))

    def times(self, start: int = 0) -> list[int]:
        """Return the times of the samples of ``load``, in seconds after the start."""
        matchers = [Matcher("__name__", MatchOp.EQUAL, "load")]
        found = points(self.db.select(matchers, start, 2**62, Hints()))
        samples = found.get(LOAD, [])
        assert all(value == ts / 1000 for ts, value in samples)
        return [(ts - START_MS) // 1000 for ts, _ in samples]

    def failures(self, operation: str) -> float:
        """Return how often something failed since the store was opened."""
        name = "taskscope_storage_failures_total"
        return self.registry.get_sample_value(name, {"operation": operation}) or 0.0

    def blocks(self) -> list[str]:
        """Return the names of the blocks on disk."""
        return sorted(p.name for p in (self.directory / "blocks").iterdir())
