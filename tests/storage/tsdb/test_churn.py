"""A new container every second: memory stays bounded, and a query over the last hour is as before."""

import math
import time
from pathlib import Path

import cramjam
import numpy as np
import pytest
from msgspec import Struct, field
from prometheus_client import CollectorRegistry

from model.errors import StorageError, UnknownSeriesError
from model.labels import Labels, Matcher, MatchOp
from model.samples import ScrapeBatch, stale_markers
from storage.interface import Hints
from storage.remote.encode import encode_labels, encode_samples
from storage.remote.receiver import RemoteWriteReceiver
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.storage.points import points
from tests.storage.tsdb.opened import Opened

MINUTE_MS = 60_000
SERIES = 5  # of a container
LIFE_SECONDS = 30
STABLE = [Labels.of({"__name__": "stable", "i": str(i)}) for i in range(20)]


def container(number: int) -> list[Labels]:
    """Return the series of one container."""
    name = {"container_id": f"{number * 2654435761:064x}", "instance": f"h{number % 7}"}
    return [Labels.of({"__name__": f"container_{i}", **name}) for i in range(SERIES)]


class Day(Struct):
    """A store with containers that come and go, and a target that stays.

    Attributes:
        every_seconds: How often a container is made.
        sizes: What the store held once every simulated ten minutes: refs, label values, layouts.
        query_seconds: How long the query over the last while of the target that stays took.
    """

    db: Tsdb
    clock: FakeClock
    query_ms: int
    every_seconds: int
    seconds: int = 0
    number: int = 0
    alive: dict[int, tuple[int, int]] = field(default_factory=dict)
    sizes: list[tuple[int, int, int]] = field(default_factory=list)
    query_seconds: list[float] = field(default_factory=list)

    def second(self) -> None:
        """Let one second pass."""
        self.clock.advance(1)
        now = self.clock.now_ns() // 1_000_000
        self.seconds += 1
        if self.seconds % self.every_seconds == 0:
            self.number += 1
            self.alive[self.number] = (self.db.layout(container(self.number)), now)
        for number, (layout, begun) in list(self.alive.items()):
            age = (now - begun) // 1000
            if age >= LIFE_SECONDS:
                self.db.append(ScrapeBatch(layout, now, stale_markers(SERIES)))
                del self.alive[number]
            elif age % 10 == 0:
                self.db.append(ScrapeBatch(layout, now, np.full(SERIES, float(number))))
        if now % 15_000 == 0:
            values = now / 1000 + np.arange(len(STABLE), dtype=np.float64)
            self.db.append(ScrapeBatch(self.db.layout(STABLE), now, values))
        if now % MINUTE_MS == 0:
            self.db.maintain()
        if now % (10 * MINUTE_MS) == 0:
            self.look(now)

    def look(self, now: int) -> None:
        """Check the answers, and measure."""
        began = time.perf_counter()
        stable = [Matcher("__name__", MatchOp.EQUAL, "stable")]
        found = points(self.db.select(stable, now - self.query_ms, now, Hints()))
        self.query_seconds.append(time.perf_counter() - began)
        for labels, samples in found.items():
            assert all(v == t / 1000 + int(labels.get("i")) for t, v in samples)
            expected = min(self.query_ms, self.seconds * 1000) // 15_000
            assert expected <= len(samples) <= expected + 1
        recent = [Matcher("__name__", MatchOp.EQUAL, "container_3")]
        for labels, samples in points(
            self.db.select(recent, now - 5 * MINUTE_MS, now, Hints())
        ).items():
            for number in {value for _, value in samples if not math.isnan(value)}:
                assert labels == container(int(number))[3]
        index, head = self.db._index, self.db._head
        values = sum(len(label.values) for label in index._names.values())
        self.sizes.append((index.size, values, len(head._layouts)))


@pytest.mark.alone
@pytest.mark.parametrize(
    ("hours", "block_minutes", "query_minutes", "every_seconds"),
    [
        (1.4, 5, 5, 2),
        pytest.param(
            24, 120, 60, 1, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1800)]
        ),
    ],
)
def test_memory_is_bounded(
    tmp_path: Path, hours: float, block_minutes: int, query_minutes: int, every_seconds: int
) -> None:
    """Refs, label values and layouts of what is gone are given away again; answers stay right and quick."""
    settings = TsdbSettings(
        block_ms=block_minutes * MINUTE_MS,
        block_delay_ms=MINUTE_MS,
        idle_ms=MINUTE_MS,
        forget_ms=block_minutes * MINUTE_MS // 2,
        reserve_bytes=0,
        maintain_seconds=3600.0,
    )
    clock = FakeClock()
    db = Tsdb(tmp_path / "tsdb", settings, clock, CollectorRegistry())
    db.start()
    day = Day(db, clock, query_minutes * MINUTE_MS, every_seconds)
    for _ in range(int(hours * 3600)):
        day.second()
    db.stop()

    # two windows in memory, what the query reads, then twice up to ten minutes to unload and to let go
    bound = SERIES * 60 * (2 * block_minutes + query_minutes + 45) // every_seconds
    made = SERIES * day.number
    refs, values, layouts = (max(column) for column in zip(*day.sizes, strict=True))
    assert made > 1.3 * bound
    assert refs < bound, refs
    assert values < bound / SERIES + 1000
    assert layouts < bound / SERIES
    assert np.median(day.query_seconds[-5:]) < 0.25


def test_who_was_away_for_long_registers_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference or layout that was forgotten is refused by name, never taken for another series."""
    monkeypatch.setattr("storage.tsdb.index._FEW_GONE", 1)
    monkeypatch.setattr("storage.tsdb.index._FEW_PART", 10**9)
    refs = opened.db.series(container(1))
    layout = opened.db.layout(container(1))
    opened.db.append_samples(refs, np.full(SERIES, 1000), np.ones(SERIES))
    for _ in range(6):
        opened.scrape(2 * 3600, step=600)
        opened.db.maintain()
    others = opened.db.series(container(2))

    with pytest.raises(UnknownSeriesError, match="register it again"):
        opened.db.append_samples(refs, np.full(SERIES, 5000), np.ones(SERIES))
    with pytest.raises(UnknownSeriesError, match="register its series again"):
        opened.db.append(ScrapeBatch(layout, 5000, np.ones(SERIES)))
    opened.db.append_samples(others, np.full(SERIES, 9000), np.full(SERIES, 2.0)).wait()
    opened.db.append_samples(
        opened.db.series(container(1)), np.full(SERIES, 7000), np.full(SERIES, 3.0)
    )
    opened.again()

    assert set(others & 0xFFFFFFFF) & set(refs), "the places were given away"
    found = points(opened.db.select([], 0, 10_000, Hints()))
    assert found == {
        **{labels: [(1000, 1.0), (7000, 3.0)] for labels in container(1)},
        **{labels: [(9000, 2.0)] for labels in container(2)},
    }


def test_what_is_forgotten_on_a_full_disk_makes_room_later(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no segment can be begun, the places of series that are gone are given away once one can."""
    monkeypatch.setattr("storage.tsdb.index._FEW_GONE", 1)
    monkeypatch.setattr("storage.tsdb.index._FEW_PART", 10**9)
    refs = opened.db.series(container(1))
    opened.db.append_samples(refs, np.full(SERIES, 1000), np.ones(SERIES))

    def full() -> int:
        raise StorageError("No space left on device")

    failed = 0
    with monkeypatch.context() as patch:
        patch.setattr(opened.db._wal, "begin_segment", full)
        for _ in range(9):
            opened.scrape(2 * 3600, step=600)
            try:
                opened.db.maintain()
            except StorageError:
                failed += 1
    opened.clock.advance(601)
    opened.db.maintain()
    others = opened.db.series(container(2))

    assert failed > 2
    assert set(others & 0xFFFFFFFF) == set(refs), "the places were given away"


def test_a_remote_writer_that_paused_is_taken_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender whose series were forgotten meanwhile notices nothing."""
    monkeypatch.setattr("storage.tsdb.index._FEW_GONE", 1)
    monkeypatch.setattr("storage.tsdb.index._FEW_PART", 10**9)
    receiver = RemoteWriteReceiver(opened.db, CollectorRegistry())
    labels = container(1)
    encoded = [encode_labels(one) for one in labels]

    def send(ts_ms: int, value: float) -> None:
        times, values = np.full(SERIES, ts_ms), np.full(SERIES, value)
        message, _ = encode_samples(encoded, times, values)
        receiver.ingest(bytes(cramjam.snappy.compress_raw(message)))

    for number in range(3):
        send(1000 + number, 1.0)
    for _ in range(6):
        opened.scrape(2 * 3600, step=600)
        opened.db.maintain()
    forgotten = opened.db.stats().series

    send(2000, 2.0)

    assert forgotten == 2
    found = points(opened.db.select([], 0, 10_000, Hints()))
    assert found == {one: [(1000, 1.0), (1001, 1.0), (1002, 1.0), (2000, 2.0)] for one in labels}
