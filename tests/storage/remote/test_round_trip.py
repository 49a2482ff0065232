"""Encoding and decoding: what goes in comes out, to the last bit, and any bytes get an answer."""

from collections.abc import Sequence
from typing import Any

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model.labels import Labels
from model.samples import (
    NO_SAMPLE,
    STALE,
    STALE_BITS,
    Exemplar,
    ScrapeBatch,
    is_stale,
)
from storage.interface import Metadata, Refs, SeriesExemplars, Written
from storage.remote.columns import RemoteWriteError
from storage.remote.encode import (
    LayoutEncoder,
    encode_labels,
    encode_metadata,
    encode_samples,
    encode_series,
)
from storage.remote.receiver import RemoteWriteReceiver
from storage.remote.wire import delimited, signed, varint
from tests.fakes.store import Done, MemoryStore

NOW = 1_767_225_600_000


def packed(message: bytes) -> bytes:
    """Return a message as it travels."""
    return bytes(cramjam.snappy.compress_raw(message))


def receiver(store: MemoryStore) -> RemoteWriteReceiver:
    """Return a receiver that appends to the store."""
    return RemoteWriteReceiver(store, CollectorRegistry())


def series(name: str, **labels: str) -> Labels:
    """Return the labels of a series."""
    return Labels.of({"__name__": name, **labels})


def bits(value: float) -> int:
    """Return a float's bits; STALE must not pass through arithmetic."""
    return int(np.array([value], dtype=np.float64).view(np.int64)[0])


texts = st.text(max_size=8).filter(lambda t: "\0" not in t)
labels = st.builds(
    lambda name, pairs: Labels.of({**pairs, "__name__": name}),
    st.sampled_from(["a", "b_total", "c:d"]),
    st.dictionaries(st.sampled_from(["x", "job", "host", "gr\u00fc\u00df"]), texts, max_size=3),
)
values = st.one_of(st.floats(allow_nan=True), st.just(0.0), st.just(-0.0))
times = st.one_of(st.integers(1 << 36, 1 << 41), st.integers(-(1 << 62), 1 << 62), st.just(0))


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(labels, times, values), max_size=8), max_size=4))
def test_samples_come_back(requests: list[list[tuple[Labels, int, float]]]) -> None:
    """Any series, any time of 64 bits, any float: the store has what was sent, also from known series."""
    sent: dict[Labels, dict[int, int]] = {}
    store = MemoryStore()
    taking = receiver(store)
    for request in requests:
        rows = {(one, ts): value for one, ts, value in request}
        data, count = encode_samples(
            [encode_labels(one) for one, _ in rows],
            np.array([ts for _, ts in rows], dtype=np.int64),
            np.array(list(rows.values()), dtype=np.float64),
        )
        for (one, ts), value in rows.items():
            sent.setdefault(one, {})[ts] = bits(value)

        assert taking.ingest(packed(data)).samples == count == len(rows)
    stored = {
        one: {ts: int(np.asarray(v).view(np.int64)) for ts, v in samples.items()}
        for one, samples in store.samples.items()
    }
    assert stored == sent


@settings(deadline=None)
@given(st.lists(labels, min_size=1, max_size=12, unique=True), st.data())
def test_scrapes_come_back(rows: list[Labels], data: st.DataObject) -> None:
    """Layouts filled with values, holes and stale markers, again and again."""
    encoder, store = LayoutEncoder(rows), MemoryStore()
    taking = receiver(store)
    some = st.lists(st.sampled_from("0.+sn"), min_size=len(rows), max_size=len(rows))
    kinds = {"0": 0.0, ".": 1.5, "+": float("inf"), "s": 0.0, "n": 0.0}
    want: dict[Labels, dict[int, int]] = {}
    for step in range(4):
        drawn = data.draw(some)
        column = np.array([kinds[k] for k in drawn])
        column[[k == "s" for k in drawn]] = STALE[0]
        column[[k == "n" for k in drawn]] = NO_SAMPLE[0]
        ts = NOW + step if step != 2 else 5  # 5 ms after the epoch is no usual time
        encoded, count = encoder.encode(ts, column)
        for one, kind, value in zip(rows, drawn, column.view(np.int64).tolist(), strict=True):
            if kind != "n":
                want.setdefault(one, {})[ts] = value

        assert taking.ingest(packed(encoded)).samples == count == sum(k != "n" for k in drawn)
    stored = {
        one: {ts: int(np.asarray(v).view(np.int64)) for ts, v in samples.items()}
        for one, samples in store.samples.items()
    }
    assert stored == want


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5), st.booleans())
def test_any_bytes_are_taken_or_refused(messages: list[bytes], wrapped: bool) -> None:
    """Whatever comes: a number of samples or a RemoteWriteError, and good ones work afterwards."""
    store = MemoryStore()
    taking = receiver(store)
    for message in messages:
        body = packed(delimited(0x0A, message)) if wrapped else message
        try:
            taking.ingest(body)
        except RemoteWriteError as error:
            assert str(error)  # noqa: PT017
    good = encode_series(encode_labels(series("up")), NOW, np.float64(1.0).tobytes())

    assert taking.ingest(packed(good)).samples == 1
    assert store.samples[series("up")] == {NOW: 1.0}


def test_cut_anywhere_it_is_refused_or_shorter() -> None:
    """A request cut at any byte never gives a sample that was not in it."""
    rows = [series("a", x=str(n)) for n in range(3)]
    whole, _ = LayoutEncoder(rows).encode(NOW, np.array([1.0, 2.0, 3.0]))
    taking = receiver(MemoryStore())
    taking.ingest(packed(whole))  # so that the quick path is cut, too
    for cut in range(len(whole)):
        store = MemoryStore()
        for one in (receiver(store), taking):
            try:
                count = one.ingest(packed(whole[:cut])).samples
            except RemoteWriteError:
                continue
            assert count == cut / len(whole) * 3
        assert set(store.samples) <= set(rows)


@pytest.mark.parametrize(
    ("sample", "ts", "value"),
    [
        (b"", 0, 0.0),  # value 0.0 and time 0 may both be left out
        (b"\x10" + varint(NOW), NOW, 0.0),
        (b"\x09" + np.float64(2.5).tobytes(), 0, 2.5),
        (b"\x10" + varint(NOW) + b"\x09" + np.float64(2.5).tobytes(), NOW, 2.5),  # other order
        (b"\x09" + np.float64(2.5).tobytes() + b"\x10" + varint(-7), -7, 2.5),
        (b"\x09" + np.float64(2.5).tobytes() + b"\x10" + varint(NOW) + b"\x18\x05", NOW, 2.5),
        (b"\x09" + STALE.tobytes() + b"\x10" + varint(NOW), NOW, STALE_BITS),
    ],
)
def test_forms_a_writer_may_choose(sample: bytes, ts: int, value: float) -> None:
    """Left-out zeros, other orders, unknown fields; also behind a usual sample of the same series."""
    usual = encode_series(encode_labels(series("up")), NOW + 1, np.float64(9.0).tobytes())
    odd = delimited(0x0A, encode_labels(series("up")) + b"\x12" + varint(len(sample)) + sample)
    store = MemoryStore()
    taking = receiver(store)

    assert taking.ingest(packed(usual + odd + usual)).samples == 3
    assert taking.ingest(packed(odd)).samples == 1
    stored = store.samples[series("up")]
    assert set(stored) == {NOW + 1, ts}
    if value == STALE_BITS:
        assert is_stale(np.array([stored[ts]])).all()
    else:
        assert stored[ts] == value


def test_several_samples_of_one_series() -> None:
    """All are taken, also with an exemplar and fields that nobody knows behind them."""
    samples = b"".join(
        delimited(0x12, b"\x09" + np.float64(n).tobytes() + b"\x10" + varint(NOW + n))
        for n in (1, 2)
    )
    exemplar = delimited(0x0A, delimited(0x0A, b"trace_id") + delimited(0x12, b"abc"))
    exemplar += b"\x11" + np.float64(0.5).tobytes() + b"\x18" + varint(NOW)
    more = delimited(0x1A, exemplar) + delimited(0x3A, b"\x08\x01")
    store = MemoryStore()

    message = delimited(0x0A, encode_labels(series("up")) + samples + more)
    assert receiver(store).ingest(packed(message)) == Written(2, 0, 1)
    assert store.samples[series("up")] == {NOW + 1: 1.0, NOW + 2: 2.0}
    found = store.exemplars([[]], 0, 1 << 62)
    trace = Exemplar(Labels.of({"trace_id": "abc"}), 0.5, NOW)
    assert found == [SeriesExemplars(series("up"), (trace,))]


@pytest.mark.parametrize(
    "pairs",
    [
        [("job", "a")],
        [],
        [("__name__", "a"), ("x", "1"), ("x", "2")],
        [("__name__", "a"), ("", "1")],
        [("__name__", "")],
    ],
)
def test_wrong_labels_are_refused_and_the_rest_is_stored(pairs: list[tuple[str, str]]) -> None:
    """One bad series answers with an error that will not be retried; the good ones beside it are kept."""
    raw = b"".join(
        delimited(0x0A, delimited(0x0A, n.encode()) + delimited(0x12, v.encode())) for n, v in pairs
    )
    value = np.float64(1.0).tobytes()
    bad = encode_series(raw, NOW, value)
    good = encode_series(encode_labels(series("up")), NOW, value)
    store = MemoryStore()

    with pytest.raises(RemoteWriteError, match="1 series are not valid"):
        receiver(store).ingest(packed(good + bad + good))
    assert list(store.samples) == [series("up")]


def test_text_that_is_not_utf8_is_refused() -> None:
    """A label that is not UTF-8 is a wrong series, not a broken one in the store."""
    raw = encode_labels(series("up")) + delimited(0x0A, b"\x0a\x01x\x12\x01\xff")

    with pytest.raises(RemoteWriteError, match="1 series"):
        receiver(MemoryStore()).ingest(packed(encode_series(raw, NOW, bytes(8))))


def test_a_body_that_claims_to_be_huge_is_refused() -> None:
    """The claimed size is judged before anything is unpacked."""
    with pytest.raises(RemoteWriteError, match="unpacks to"):
        receiver(MemoryStore()).ingest(varint(1 << 40) + b"abc")


def test_metadata_comes_back() -> None:
    """Type, help and unit of metric families."""
    about = {
        "up": Metadata("gauge", "Is it up.", ""),
        "x_seconds": Metadata("counter", "", "seconds"),
    }
    store = MemoryStore()

    assert receiver(store).ingest(packed(encode_metadata(about))) == Written()
    assert store.metadata() == about


class CountingStore(MemoryStore):
    """Counts how samples came."""

    def __init__(self) -> None:
        super().__init__()
        self.scrapes: list[int] = []
        self.loose = 0

    def append(self, batch: ScrapeBatch) -> Done:
        self.scrapes.append(len(batch.values))
        return super().append(batch)

    def append_samples(self, refs: Refs, *args: Any, **kwargs: Any) -> Done:
        self.loose += len(refs)
        return super().append_samples(refs, *args, **kwargs)


def scrape(rows: Sequence[Labels], ts: int) -> bytes:
    """Return the encoded scrape of some series."""
    return LayoutEncoder(rows).encode(ts, np.ones(len(rows)))[0]


def test_what_was_one_scrape_becomes_one_again() -> None:
    """From its second coming a run of one target at one time is stored as a scrape; neighbours do not blur."""
    one = [series(f"m{n}", instance="one") for n in range(10)]
    two = [series(f"m{n}", instance="two") for n in range(12)]
    store = CountingStore()
    taking = receiver(store)
    for step in range(4):
        taking.ingest(packed(scrape(one, NOW + step) + scrape(two, NOW + step)))

    assert store.loose == 22
    assert store.scrapes == [10, 12] * 3
    assert all(len(samples) == 4 for samples in store.samples.values())


def test_a_target_that_changes_moves_to_its_new_run() -> None:
    """With a series more, the old run ends and the new one takes its series over."""
    rows = [series(f"m{n}", instance="one") for n in range(11)]
    store = CountingStore()
    taking = receiver(store)
    for step in range(8):
        taking.ingest(packed(scrape(rows[: 10 if step < 4 else 11], NOW + step)))

    assert store.scrapes == [10] * 3 + [11] * 3
    assert len(store.samples[rows[0]]) == 8


def test_runs_that_are_cut_anew_each_time_stay_loose() -> None:
    """Overlapping runs do not fight for series: each series is in one layout at most."""
    rows = [series(f"m{n}", instance="one") for n in range(30)]
    store = CountingStore()
    taking = receiver(store)
    for step in range(6):
        cut = 10 + step % 2
        taking.ingest(packed(scrape(rows[:cut], NOW + step) + scrape(rows[cut:], NOW + step + 100)))

    assert len(store.samples[rows[10]]) == 6
    layouts = [set(labels) for labels in store._layouts]
    assert all(a.isdisjoint(b) for n, a in enumerate(layouts) for b in layouts[:n])


def test_numbers_of_both_signs() -> None:
    """The wire's integers are two's complement."""
    from storage.remote.wire import read_varint

    for number in (0, 1, 127, 128, NOW, -1, -(1 << 63), (1 << 63) - 1):
        raw = varint(number)
        assert (signed(read_varint(raw, 0)[0]), read_varint(raw, 0)[1]) == (number, len(raw))
