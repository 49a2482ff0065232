"""Native histograms by remote write, 1.0 and 2.0: integer, float and custom ones, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model.histogram.pool import CUSTOM_SCHEMA
from model.labels import Labels
from model.samples import is_stale
from storage.interface import Hints, Written
from storage.remote.columns import RemoteWriteError
from storage.remote.encode import encode_labels
from storage.remote.encode_histograms import encode_histogram, stale_histogram
from storage.remote.encode_v2 import RequestV2
from storage.remote.histogram_forms import MAX_COLUMNS
from storage.remote.receiver import RemoteWriteReceiver
from storage.remote.wire import delimited, varint
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.fakes.clock import FakeClock
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, histogram_at, pool_of

NOW = 1_767_225_600_000
NAME = Labels.of({"__name__": "h", "job": "a"})


def send(store: MemoryStore, messages: Sequence[bytes], version: int = 1) -> Written:
    """Send Histogram messages of one series."""
    if version == 1:
        body = b"".join(delimited(0x22, one) for one in messages)
        data = delimited(0x0A, encode_labels(NAME) + body)
    else:
        request = RequestV2()
        request.add(NAME, (), messages)
        data = request.encode()
    receiver = RemoteWriteReceiver(store, CollectorRegistry())
    return receiver.ingest(bytes(cramjam.snappy.compress_raw(data)), version)


def stored(store: MemoryStore) -> list[Histogram]:
    """Return what the store has of the series, in time order."""
    (group,) = store.select([], 0, 1 << 62, Hints()).groups
    assert group.histograms is not None
    index = group.histograms.index[0]
    rows = index[index >= 0].tolist()
    return [histogram_at(group.histograms.pool, row) for row in rows]


counts = st.integers(1, 1 << 20).map(float)  # sums are exact in any order
sides = st.dictionaries(st.integers(-300, 300), counts, max_size=6)
exponential = st.builds(
    Histogram,
    positive=sides,
    negative=sides,
    sum=st.floats(-1e9, 1e9),
    zero=st.integers(0, 1 << 20).map(float),
    schema=st.integers(-4, 8),
    threshold=st.sampled_from([0.0, 0.001, 1e-128]),
    hint=st.sampled_from(["", "reset", "gauge"]),
)
custom = st.builds(
    lambda bounds, held, total: Histogram(
        positive={i: c for i, c in held.items() if i <= len(bounds)},
        sum=total,
        schema=CUSTOM_SCHEMA,
        threshold=0.0,
        bounds=tuple(sorted(bounds)),
        hint="gauge",
    ),
    st.sets(st.floats(-100, 100), max_size=6),
    st.dictionaries(st.integers(0, 6), counts, max_size=6),
    st.floats(-1e9, 1e9),
)


@settings(deadline=None)
@given(st.lists(st.one_of(exponential, custom), min_size=1, max_size=5), st.sampled_from([1, 2]))
def test_float_histograms_come_back(sent: list[Histogram], version: int) -> None:
    """Any of them, many in one request, by both versions of the protocol."""
    pool, store = pool_of(sent), MemoryStore()
    messages = [encode_histogram(pool, row, NOW + row) for row in range(len(sent))]

    assert send(store, messages, version) == Written(0, len(sent), 0)
    kept = ("reset", "gauge")
    for mine, got in zip(sent, stored(store), strict=True):
        assert got.hinted("") == mine.hinted("")
        assert mine.hint not in kept or got.hint == mine.hint


def zigzag(number: int) -> bytes:
    """Encode a sint."""
    return varint((number << 1) ^ (number >> 63))


def integer(
    deltas: Sequence[int],
    spans: Sequence[tuple[int, int]],
    count: int,
    *,
    schema: int = 0,
    packed: bool = True,
    more: bytes = b"",
) -> bytes:
    """Encode an integer histogram with positive buckets only."""
    data = b"\x08" + varint(count) + b"\x19" + np.float64(2.5).tobytes() + b"\x20" + zigzag(schema)
    for offset, length in spans:
        data += delimited(0x5A, b"\x08" + zigzag(offset) + b"\x10" + varint(length))
    if packed:
        data += delimited(0x62, b"".join(map(zigzag, deltas)))
    else:
        data += b"".join(b"\x60" + zigzag(one) for one in deltas)
    return data + more + b"\x78" + varint(NOW)


@pytest.mark.parametrize("packed", [True, False])
def test_an_integer_histogram(packed: bool) -> None:
    """Deltas add up over the spans' gaps; proto3 also allows fields that are not packed."""
    store = MemoryStore()
    send(store, [integer([2, 1, -2, 300], [(-1, 2), (3, 2)], 307, packed=packed)])

    (got,) = stored(store)
    assert got.positive == {-1: 2, 0: 3, 4: 1, 5: 301}
    assert (got.count, got.sum, got.schema, got.zero) == (307, 2.5, 0, 0)


def test_a_finer_schema_is_merged_down() -> None:
    """Schemas 9 to 52 are reserved by Prometheus and become 8."""
    store = MemoryStore()
    send(store, [integer([1, 0, 0, 0, 0], [(1, 5)], 5, schema=10)])

    (got,) = stored(store)
    assert (got.schema, got.positive) == (8, {1: 4, 2: 1})


def test_a_very_wide_histogram_is_merged_down() -> None:
    """A bucket far away must not make a matrix of millions of columns."""
    store = MemoryStore()
    send(store, [integer([1, 0], [(0, 1), (200_000, 1)], 2, schema=8)])

    (got,) = stored(store)
    assert sorted(got.positive.values()) == [1, 1]
    assert max(got.positive) - min(got.positive) < MAX_COLUMNS


@pytest.mark.parametrize("version", [1, 2])
def test_a_stale_histogram_is_a_stale_marker(version: int) -> None:
    """Between histograms and floats there is one kind of end."""
    store = MemoryStore()
    messages = [integer([1], [(0, 1)], 1), stale_histogram(NOW + 1)]

    assert send(store, messages, version) == Written(0, 2, 0)
    assert len(stored(store)) == 1
    assert is_stale(np.array([store.samples[NAME][NOW + 1]])).all()


def test_start_timestamps_come_back() -> None:
    """2.0 carries them for histograms, too."""
    store = MemoryStore()
    pool = pool_of([Histogram(positive={1: 1.0})])
    send(store, [encode_histogram(pool, 0, NOW, NOW - 5000)], 2)

    (group,) = store.select([], 0, 1 << 62, Hints()).groups
    assert group.start_ms is not None
    assert group.start_ms.tolist() == [[NOW - 5000]]


NEGATIVE = delimited(0x6A, np.array([-1.0]).tobytes())


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (integer([1, 2], [(0, 1)], 4), "spans do not fit"),
        (integer([1], [(0, 1 << 31)], 1), "spans do not fit"),
        (integer([1, 0], [(0, 1), (-1, 1)], 2), "spans do not fit"),
        (integer([1], [(0, 1)], 2), "observation count should equal"),
        (integer([2, -3], [(0, 2)], 1), "is negative"),
        (integer([1], [(0, 1)], 1, schema=-5), "invalid schema"),
        (integer([1], [(0, 1)], 1, schema=53), "invalid schema"),
        (integer([1], [(2, 1)], 1, schema=-53), "one more bucket than bounds"),
        (
            integer([1], [(0, 1)], 1, schema=-53, more=b"\x82\x01\x10" + np.array([2.0, 1.0]).tobytes()),
            "strictly increasing",
        ),
        (integer([1], [(0, 1)], 1, more=b"\x82\x01\x08" + np.array([2.0]).tobytes()), "exponential"),
        (b"\x11" + bytes(8) + delimited(0x5A, b"\x10\x01") + NEGATIVE, "is negative"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", [1, 2])
def test_wrong_histograms_are_left_out(message: bytes, why: str, version: int) -> None:
    """The good ones beside them are stored, and the sender hears of it."""
    store = MemoryStore()
    good = encode_histogram(pool_of([Histogram(positive={0: 1.0})]), 0, NOW + 1)

    with pytest.raises(RemoteWriteError, match=why) as told:
        send(store, [message, good], version)
    assert told.value.written == Written(0, 1, 0)
    assert len(stored(store)) == 1


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_taken_or_refused(message: bytes) -> None:
    """Whatever stands where a histogram should be."""
    try:
        written = send(MemoryStore(), [message])
    except RemoteWriteError as error:
        written = error.written

    assert written.histograms in (0, 1)


def test_a_range_between_the_first_and_the_last_is_answered(tmp_path: Path) -> None:
    """Of the real store, whatever it keeps at hand for floats."""
    store = Tsdb(tmp_path, TsdbSettings(), FakeClock(), CollectorRegistry())
    store.start()
    try:
        pool = pool_of([Histogram(positive={1: float(n)}) for n in range(1, 6)])
        messages = [encode_histogram(pool, n, NOW + n * 1000) for n in range(5)]
        body = b"".join(delimited(0x22, one) for one in messages)
        data = delimited(0x0A, encode_labels(NAME) + body)
        RemoteWriteReceiver(store, CollectorRegistry()).ingest(
            bytes(cramjam.snappy.compress_raw(data))
        )
        found = [
            len(store.select([], NOW + low, NOW + high, Hints()).groups[0].ts_ms[0])
            for low, high in ((0, 5000), (1, 3500), (1500, 2500))
        ]
    finally:
        store.stop()

    assert found == [5, 3, 1]
