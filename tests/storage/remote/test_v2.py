"""Remote write 2.0: texts by reference, start timestamps, exemplars and metadata in each series."""

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model.labels import Labels
from model.samples import Exemplar
from storage.interface import Hints, Metadata, SeriesExemplars, Written
from storage.remote.columns import RemoteWriteError
from storage.remote.encode_v2 import RequestV2, sample_v2
from storage.remote.receiver import RemoteWriteReceiver
from storage.remote.wire import delimited, varint
from tests.fakes.store import MemoryStore

NOW = 1_767_225_600_000
UP = Labels.of({"__name__": "up", "job": "a"})
TEXTS = ["", "__name__", "up", "job", "a", "trace_id", "abc", "Is it up.", "seconds"]


def packed(message: bytes) -> bytes:
    """Return a message as it travels."""
    return bytes(cramjam.snappy.compress_raw(message))


def request(*series: bytes, texts: list[str] = TEXTS) -> bytes:
    """Put a Request together by hand."""
    symbols = (b"\x22" + varint(len(t.encode())) + t.encode() for t in texts)
    return packed(b"".join(symbols) + b"".join(delimited(0x2A, one) for one in series))


def refs(*numbers: int) -> bytes:
    """Return label references."""
    return delimited(0x0A, b"".join(map(varint, numbers)))


def point(value: float, ts: int = NOW, start: int = 0) -> bytes:
    """Return a sample as a field of a series."""
    return delimited(0x12, sample_v2(np.float64(value).tobytes(), ts, start))


def receiver(store: MemoryStore) -> RemoteWriteReceiver:
    """Return a receiver that appends to the store."""
    return RemoteWriteReceiver(store, CollectorRegistry())


texts = st.text(max_size=6).filter(lambda t: "\0" not in t)
labels = st.builds(
    lambda name, pairs: Labels.of({**pairs, "__name__": name}),
    st.sampled_from(["a", "b_total", "c:d"]),
    st.dictionaries(st.sampled_from(["x", "job", "gr\u00fc\u00df"]), texts, max_size=3),
)
times = st.one_of(st.integers(1 << 36, 1 << 41), st.integers(1, 1 << 62))
starts = st.one_of(st.just(0), times)


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(labels, times, st.floats(), starts), max_size=8), max_size=4))
def test_samples_come_back(
    requests: list[list[tuple[Labels, int, float, int]]],
) -> None:
    """Any series, time, float and start timestamp, with another table of texts each time."""
    store, sent = MemoryStore(), {}
    taking = receiver(store)
    for rows in requests:
        made = RequestV2()
        for one, ts, value, start in rows:
            made.add(one, [sample_v2(np.float64(value).tobytes(), ts, start)])
            sent[one, ts] = (np.float64(value).tobytes(), start)

        assert taking.ingest(packed(made.encode()), 2) == Written(len(rows))
    found = {}
    got = store.select([], 0, 1 << 62, Hints())
    for group in got.groups:
        for i, row in enumerate(group.rows.tolist()):
            for k, ts in enumerate(group.ts_ms[group.ts_row[i]].tolist()):
                start = 0 if group.start_ms is None else int(group.start_ms[i, k])
                found[got.labels.labels(row), ts] = (group.values[i, k].tobytes(), start)
    assert found == sent


def test_exemplars_and_metadata() -> None:
    """They stand in the series; what is said of a histogram's series is said of its family."""
    exemplar = refs(5, 6) + b"\x11" + np.float64(0.5).tobytes() + b"\x18" + varint(NOW)
    about = b"\x08\x02\x18\x07\x20\x08"
    series = refs(1, 2, 3, 4) + point(1.0) + delimited(0x22, exemplar) + delimited(0x2A, about)
    bucket = refs(1, 9) + point(2.0) + delimited(0x2A, b"\x08\x03\x18\x07")
    store = MemoryStore()

    body = request(series, bucket, texts=[*TEXTS, "x_bucket"])
    assert receiver(store).ingest(body, 2) == Written(2, 0, 1)
    trace = Exemplar(Labels.of({"trace_id": "abc"}), 0.5, NOW)
    assert store.exemplars([[]], 0, 1 << 62) == [SeriesExemplars(UP, (trace,))]
    assert store.metadata() == {
        "up": Metadata("gauge", "Is it up.", "seconds"),
        "x": Metadata("histogram", "Is it up.", ""),
    }


@pytest.mark.parametrize(
    "bad",
    [
        refs(1, 2, 3) + point(1.0),  # a name without a value
        refs(1, 99) + point(1.0),
        refs(3, 4) + point(1.0),  # no metric name
        refs(1, 2, 3, 4, 3, 4) + point(1.0),
        refs(1, 2),  # nothing in it
        refs(1, 2, 3, 9) + point(1.0),  # not UTF-8
    ],
)
def test_wrong_series_are_left_out(bad: bytes) -> None:
    """The others are stored, and the sender is told how much."""
    good = refs(1, 2, 3, 4) + point(1.0)
    symbols = b"".join(b"\x22" + varint(len(t)) + t.encode() for t in TEXTS) + b"\x22\x01\xff"
    body = packed(symbols + delimited(0x2A, bad) + delimited(0x2A, good))
    store = MemoryStore()

    with pytest.raises(RemoteWriteError, match="1 series are not valid") as told:
        receiver(store).ingest(body, 2)
    assert told.value.written == Written(1)
    assert list(store.samples) == [UP]


def test_symbols_must_begin_with_the_empty_text() -> None:
    """As the specification says; left-out references then mean nothing."""
    with pytest.raises(RemoteWriteError, match="first symbol"):
        receiver(MemoryStore()).ingest(request(refs(0, 1) + point(1), texts=["__name__", "up"]), 2)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.booleans())
def test_any_bytes_are_taken_or_refused(messages: list[bytes], wrapped: bool) -> None:
    """Whatever comes: an answer or a RemoteWriteError, and good ones work afterwards."""
    store = MemoryStore()
    taking = receiver(store)
    for message in messages:
        try:
            taking.ingest(request(message) if wrapped else packed(message), 2)
        except RemoteWriteError as error:
            assert str(error)  # noqa: PT017

    assert taking.ingest(request(refs(1, 2, 3, 4) + point(1.0)), 2) == Written(1)
    assert store.samples[UP][NOW] == 1.0


def test_cut_anywhere_it_is_refused_or_shorter() -> None:
    """A request cut at any byte gives no sample that was not in it."""
    made = RequestV2()
    for n in range(3):
        made.add(Labels.of({"__name__": "a", "x": str(n)}), [sample_v2(bytes(8), NOW, NOW - 1)])
    whole = made.encode()
    store = MemoryStore()
    taking = receiver(store)
    for cut in range(len(whole)):
        try:
            written = taking.ingest(packed(whole[:cut]), 2)
        except RemoteWriteError:
            continue
        assert written.samples < 3
    assert all(points == {NOW: 0.0} for points in store.samples.values())
