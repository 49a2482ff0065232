"""Histograms and start timestamps: as bytes of a frame, and through random histories of a store."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from model.errors import StorageError
from model.histogram.pool import HistogramColumn
from model.labels import Labels, Matcher, MatchOp
from model.samples import NO_SAMPLE, STALE, ScrapeBatch
from storage.interface import Hints
from storage.tsdb.columns import pack_columns, unpack_columns
from storage.tsdb.db import Tsdb
from storage.tsdb.resets import shown
from storage.tsdb.settings import TsdbSettings
from storage.tsdb.stack import Stack
from storage.tsdb.typed import decode_whole, encode_typed_frame
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, column_of, histogram_at
from tests.storage.points import samples

COUNTS = st.one_of(
    st.integers(0, 5).map(float), st.sampled_from([0.5, 1 / 3, 1e12, 1e300, 2.0**53 - 1])
)
BUCKETS = st.dictionaries(st.integers(-20, 20), COUNTS.filter(bool), max_size=4)
HISTOGRAMS = st.builds(
    Histogram,
    positive=BUCKETS,
    negative=BUCKETS,
    sum=st.floats(allow_nan=False),
    zero=COUNTS,
    schema=st.integers(-4, 8),
    threshold=st.sampled_from([0.0, 0.001, 1e-128]),
    hint=st.sampled_from(["", "reset", "gauge"]),
)
CUSTOM = st.builds(
    Histogram,
    positive=st.dictionaries(st.integers(0, 3), COUNTS.filter(bool), max_size=4),
    sum=st.floats(allow_nan=False),
    schema=st.just(-53),
    threshold=st.just(0.0),
    bounds=st.sampled_from([(0.5, 1.0, 2.5), (0.1, 0.2, 0.3)]),
)
WRITTEN = st.one_of(HISTOGRAMS, CUSTOM, st.sampled_from([1.0, 0.1, -0.0, float("inf")]), st.none())


@settings(deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.tuples(WRITTEN, st.integers(0, 10)), min_size=width, max_size=width),
            min_size=1,
            max_size=4,
        )
    )
)
def test_every_frame_comes_back(rows: list[list[tuple[float | Histogram | None, int]]]) -> None:
    """Floats, histograms of all kinds, gaps and start timestamps are what they were."""
    flat = [one for row in rows for one, _ in row]
    shape = (len(rows), len(rows[0]))
    floats = [NO_SAMPLE[0] if one is None or isinstance(one, Histogram) else one for one in flat]
    values = np.array(floats, dtype=np.float64).reshape(shape)
    start_ms = np.array([[start for _, start in row] for row in rows], dtype=np.int64)
    column = column_of([0.0 if one is None else one for one in flat])
    if column is not None:
        column = HistogramColumn(column.index.reshape(shape), column.pool)

    stack = None if column is None else Stack.of(column)
    found = decode_whole(encode_typed_frame(values, start_ms, stack))

    assert np.array_equal(found.values.view(np.int64), values.view(np.int64))
    starts = np.zeros(shape) if found.start_ms is None else found.start_ms
    assert np.array_equal(starts, start_ms)
    index = np.full(shape, -1) if found.histograms is None else found.histograms.index
    assert (index >= 0).ravel().tolist() == [isinstance(one, Histogram) for one in flat]
    for one, place in zip(flat, index.ravel().tolist(), strict=True):
        if isinstance(one, Histogram) and found.histograms is not None:
            back = histogram_at(shown(found.histograms.pool), place)
            if one.hint in ("reset", "gauge"):
                assert back == one
            else:
                assert replace(back, hint="") == one
            assert np.signbit(back.sum) == np.signbit(one.sum)


def test_a_damaged_frame_is_refused() -> None:
    """A byte that is wrong anywhere, or missing at the end, is found out."""
    one = Histogram(positive={0: 1, 3: 4}, sum=1 / 3)
    column = column_of([one, one, one])
    assert column is not None
    matrix = Stack(column.index[None, :], (column.pool,))
    data = encode_typed_frame(np.full((1, 3), NO_SAMPLE[0]), np.array([[5, 5, 9]]), matrix)

    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(StorageError):
            decode_whole(bytes(damaged))
        with pytest.raises(StorageError):
            decode_whole(data[:at])


@pytest.mark.parametrize(
    "column",
    [
        np.array([0.0, 255.0]),
        np.array([0.0, 65536.0, 2.0**53]),
        np.array([-0.0, 1.0]),
        np.array([0.5, np.nan, np.inf]),
        np.array([2.0**60]),
        np.array([[1, 2], [3, -4]], dtype=np.int32),
        np.array([2**62, 0]),
        np.zeros((0, 3)),
        np.zeros((4, 0)),
        np.array([True, False]),
    ],
)
def test_columns_keep_every_bit(column: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    """Whatever width a column is stored in, it has its type, shape and bits again."""
    back = unpack_columns(pack_columns({"x": column}))["x"]

    assert back.dtype == column.dtype
    assert back.shape == column.shape
    assert back.tobytes() == column.tobytes()


def test_one_wide_histogram_does_not_widen_the_others(tmp_path: Path) -> None:
    """Memory goes by what each histogram needs; wide and narrow ones come back, from blocks too."""
    wide = Histogram(dict.fromkeys(range(-300, 300), 1.0), {0: 1}, sum=2.0)
    narrow = [Histogram({0: i + 1, 3: 2}, sum=i / 3) for i in range(400)]
    written = [*narrow[:200], wide, *narrow[200:]]
    column = column_of(written)
    assert column is not None
    plain, levelled = Stack.of(column), Stack.levelled(column)
    labels = [Labels.of({"__name__": "m", "i": str(i)}) for i in range(len(written))]
    wanted = {one: [(1000, 0, hist)] for one, hist in zip(labels, written, strict=True)}
    clock = FakeClock()
    db = Tsdb(tmp_path, SETTINGS, clock, CollectorRegistry())
    db.start()
    refs, values = db.series(labels), np.full(len(written), NO_SAMPLE[0])
    db.append_samples(refs, np.full(len(refs), 1000), values, histograms=column).wait()

    before = samples(db.select([], 0, 5000, Hints()))
    clock.advance(7200)
    db.maintain()
    after = samples(db.select([], 0, 5000, Hints()))
    blocks = db.stats().blocks
    db.stop()

    assert levelled.nbytes < plain.nbytes / 5
    twice = Stack.concat([levelled, levelled], [len(written)] * 2)
    assert twice is not None
    assert len(twice.joined().pools) == len(levelled.pools) == 2
    assert before == after == wanted
    assert blocks == 1


SETTINGS = TsdbSettings(
    retention_ms=0,
    reserve_bytes=65_536,
    block_ms=600_000,
    block_delay_ms=60_000,
    lane_samples=500,
    segment_bytes=1 << 15,
    cache_bytes=1 << 18,
    maintain_seconds=3600.0,
)
STEP_MS = 5_000


class History:
    """A store, a simple one that is told the same, and what may happen to both."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = FakeClock()
        self.directory = directory
        self.model = MemoryStore()
        self.labels = [Labels.of({"__name__": f"m{i % 3}", "i": str(i)}) for i in range(12)]
        self.grown = dict.fromkeys(range(-2, 4), 0.0)
        self.db = self.open()

    @property
    def now_ms(self) -> int:
        return self.clock.now_ns() // 1_000_000

    def open(self) -> Tsdb:
        db = Tsdb(self.directory, SETTINGS, self.clock, CollectorRegistry())
        db.start()
        return db

    def restart(self) -> None:
        self.db.stop()
        self.db = self.open()

    def one(self) -> float | Histogram:
        kind = self.rng.random()
        if kind < 0.15:
            return float(self.rng.choice([1.0, 0.25, STALE[0], 1 / 3]))
        if kind < 0.25:
            return Histogram({0: 2, 1: self.rng.randrange(5)}, schema=-53, bounds=(1.0,))
        if kind > 0.98:
            return Histogram(dict.fromkeys(range(self.rng.randrange(40, 120)), 1.0))
        if kind < 0.3:
            self.grown = dict.fromkeys(self.grown, 0.0)
        self.grown[self.rng.choice(list(self.grown))] += self.rng.randrange(3)
        positive = {i: count for i, count in self.grown.items() if count}
        negative = {1: self.rng.randrange(1, 3)} if kind > 0.9 else {}
        hint = self.rng.choice(["", "", "", "", "", "gauge", "reset", "not_reset"])
        return Histogram(positive, negative, sum=self.rng.random(), zero=3, hint=hint)

    def typed(self) -> None:
        size = self.rng.randrange(1, 30)
        back = self.rng.choice([0, 0, 0, 300, 40_000])
        one = self.rng.choice(self.labels)
        labels = [
            one if self.rng.random() < 0.5 else self.rng.choice(self.labels) for _ in range(size)
        ]
        first = max(0, self.now_ms - (size - 1 + self.rng.randrange(back + 1)) * STEP_MS)
        ts = np.array([first + i * STEP_MS for i in range(size)])
        written = [self.one() for _ in range(size)]
        floats = [NO_SAMPLE[0] if isinstance(w, Histogram) else w for w in written]
        start = np.array([self.rng.choice([0, first]) for _ in range(size)])
        for store in (self.db, self.model):
            store.append_samples(
                store.series(labels),
                ts,
                np.array(floats, dtype=np.float64),
                start_ms=start if size % 2 else None,
                histograms=column_of(written),
            )

    def scrape(self) -> None:
        values = np.array([float(self.rng.randrange(9)) for _ in self.labels])
        for store in (self.db, self.model):
            store.append(ScrapeBatch(store.layout(self.labels), self.now_ms, values))

    def check(self) -> None:
        low = self.rng.choice([0, self.now_ms - 3_000_000, self.now_ms - 60_000])
        high = self.rng.choice([self.now_ms, self.now_ms - 100_000, 2**50])
        chosen = Matcher("__name__", MatchOp.EQUAL, "m1")
        matchers = self.rng.choice([[], [chosen]])
        wanted = samples(self.model.select(matchers, low, high, Hints()))
        assert samples(self.db.select(matchers, low, high, Hints())) == wanted


@pytest.mark.parametrize(
    "seed",
    [
        *range(3),
        *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 12)),
        *(pytest.param(n, marks=[pytest.mark.slow, pytest.mark.long]) for n in range(12, 40)),
    ],
)
def test_random_history(tmp_path: Path, seed: int) -> None:
    """Floats and histograms, in and out of order, over blocks and restarts: as in the simple store."""
    history = History(tmp_path / "tsdb", seed)
    for _ in range(150):
        event = history.rng.random()
        if event < 0.5:
            history.typed()
        elif event < 0.75:
            history.scrape()
        elif event < 0.85:
            history.db.maintain()
        elif event < 0.88:
            history.restart()
        elif event < 0.93:
            history.check()
        else:
            history.clock.advance(history.rng.choice([30, 300, 1200]))
        history.clock.advance(STEP_MS / 1000)
    history.check()
    history.restart()
    for _ in range(3):
        history.check()
    history.db.stop()
