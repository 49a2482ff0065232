"""Whatever was appended, in whatever order: a restart, after a close or a kill, changes no answer."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch
from storage.interface import Hints
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.points import points

STEP_MS = 30_000
SETTINGS = TsdbSettings(
    retention_ms=0,
    reserve_bytes=0,
    block_ms=60_000,
    block_delay_ms=10_000,
    idle_ms=90_000,
    segment_bytes=2000,
    maintain_seconds=3600.0,
)
SERIES = [Labels.of({"__name__": "m", "i": str(i)}) for i in range(4)]
TARGETS = [SERIES[:3], SERIES[1:]]  # two series change their target now and then

Found = dict[Labels, list[tuple[int, float]]]


class Store:
    """A store, what it must answer, and a number that tells one append from another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.wanted: dict[Labels, dict[int, float]] = {}
        self.number = 0
        self.db = self.open()

    def open(self) -> Tsdb:
        db = Tsdb(self.directory, SETTINGS, self.clock, CollectorRegistry())
        db.start()
        return db

    @property
    def now(self) -> int:
        return self.clock.now_ns() // 1_000_000

    def scrape(self, target: int, shift: int) -> None:
        """Append a scrape, ``shift`` steps from now."""
        self.number += 1
        labels, ts = TARGETS[target], self.now + shift * STEP_MS
        values = np.full(len(labels), float(self.number))
        self.db.append(ScrapeBatch(self.db.layout(labels), ts, values)).wait()
        self._note(labels, [ts] * len(labels))

    def scrapes(self, target: int, count: int) -> None:
        """Append scrapes of every few seconds, as one group."""
        layout = self.db.layout(TARGETS[target])
        for _ in range(count):
            self.clock.advance(5)
            self.number += 1
            size = len(TARGETS[target])
            self.db.append(ScrapeBatch(layout, self.now, np.full(size, float(self.number))))
            self._note(TARGETS[target], [self.now] * size)
        self.db.flush()

    def samples(self, series: list[int], shifts: list[int]) -> None:
        """Append samples with times of their own; a pair may stand there twice."""
        self.number += 1
        labels = [SERIES[one] for one, _ in zip(series, shifts, strict=False)]
        ts = [self.now + shift * STEP_MS for _, shift in zip(series, shifts, strict=False)]
        values = np.full(len(ts), float(self.number))
        self.db.append_samples(self.db.series(labels), np.array(ts), values).wait()
        self._note(labels, ts)

    def delete(self, series: int, steps: int) -> None:
        """Delete what a series has in the last steps."""
        first, last = self.now - steps * STEP_MS, self.now - STEP_MS // 2
        self.db.delete_series([[Matcher("i", MatchOp.EQUAL, str(series))]], first, last)
        here = self.wanted.pop(SERIES[series], {})
        if left := {ts: value for ts, value in here.items() if not first <= ts <= last}:
            self.wanted[SERIES[series]] = left

    def _note(self, labels: list[Labels], ts: list[int]) -> None:
        for one, at in zip(labels, ts, strict=True):
            self.wanted.setdefault(one, {})[at] = float(self.number)

    def found(self) -> Found:
        return points(self.db.select([], -(2**62), 2**62, Hints()))

    def close(self) -> None:
        """Stop and start."""
        self.db.stop()
        self.db = self.open()

    def kill(self) -> None:
        """Go on with what is on disk now, as after a kill."""
        left = self.directory.with_name(f"{self.directory.name}k")
        shutil.copytree(self.directory, left)
        self.db.stop()
        self.directory = left
        self.db = self.open()


shift = st.sampled_from([0, 0, 0, -1, 1, 2, 3, 4, 5, -40])
event = st.one_of(
    st.tuples(st.just("scrape"), st.integers(0, 1), shift),
    st.tuples(st.just("scrape"), st.integers(0, 1), st.just(0)),
    st.tuples(
        st.just("samples"),
        st.lists(st.integers(0, 3), min_size=1, max_size=4),
        st.lists(shift, min_size=1, max_size=4),
    ),
    st.tuples(st.just("advance"), st.sampled_from([30, 30, 30, 60, 90, -60])),
    st.tuples(st.just("scrapes"), st.integers(0, 1), st.integers(2, 9)),
    st.tuples(st.just("delete"), st.integers(0, 3), st.integers(1, 6)),
    st.just(("maintain",)),
    st.just(("close",)),
    st.just(("kill",)),
)


SOON = [("scrape", 0, 0), ("samples", [0, 2], [4, 4]), ("advance", 90), ("maintain",)]
BEFORE_ALL = [("scrape", 0, 0), ("samples", [0, 1, 0], [0, 0, -40]), ("advance", -60)]
AT_THAT_TIME = [("advance", 30), ("scrape", 0, 0), ("scrape", 1, 0)]


@pytest.fixture(params=[None, 4], ids=["wide", "narrow"])
def slab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the slab be as it is, or so narrow that a few scrapes are sealed and adopted at a start."""
    if request.param is None:
        return
    for module in ("head", "backlog"):
        monkeypatch.setattr(f"storage.tsdb.{module}.WIDTH", request.param)
        monkeypatch.setattr(f"storage.tsdb.{module}.KEPT", 1)
    monkeypatch.setattr("storage.tsdb.walgroup._WORTH", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("slab")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(event, max_size=30))
@example([*SOON, *AT_THAT_TIME])
@example([*BEFORE_ALL, ("scrapes", 0, 2), ("delete", 0, 1)])
@example([*SOON, ("close",), *AT_THAT_TIME])
@example([*SOON, ("kill",), *AT_THAT_TIME])
@example([*SOON, ("close",), *AT_THAT_TIME, ("advance", 90), ("maintain",), ("scrape", 0, -3)])
def test_a_restart_changes_nothing(events: list[tuple[object, ...]]) -> None:
    """Of samples with the same time the later append stays: before a restart, after it, and after the next."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "t")
        try:
            for name, *rest in [*events, ("kill",), ("maintain",), ("close",)]:
                match name:
                    case "scrape":
                        store.scrape(*rest)  # type: ignore[arg-type]  # as the strategy made them
                    case "scrapes":
                        store.scrapes(*rest)  # type: ignore[arg-type]  # as the strategy made them
                    case "samples":
                        store.samples(*rest)  # type: ignore[arg-type]  # as the strategy made them
                    case "delete":
                        store.delete(*rest)  # type: ignore[arg-type]  # as the strategy made them
                    case "advance":
                        store.clock.advance(*rest)  # type: ignore[arg-type]  # as made
                    case "maintain":
                        store.db.maintain()
                    case "close":
                        store.close()
                    case "kill":
                        store.kill()
                assert store.found() == {
                    labels: sorted(samples.items()) for labels, samples in store.wanted.items()
                }, name
        finally:
            store.db.stop()
