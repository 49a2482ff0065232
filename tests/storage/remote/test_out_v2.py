"""Remote write 2.0 out: what is sent, and what is made of the answers."""

import logging

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model.histogram.pool import HistogramColumn
from model.labels import Labels
from model.samples import NO_SAMPLE, Exemplar, Floats, is_no_sample, no_samples
from storage.interface import Hints, Metadata, SeriesExemplars
from storage.remote.out import format_v2
from storage.remote.out.format import Counts
from storage.remote.out.format_v2 import FormatV2
from storage.remote.receiver import RemoteWriteReceiver
from storage.tsdb.db import Tsdb
from storage.tsdb.samples import Samples
from storage.tsdb.stack import Stack
from tests.fakes.store import MemoryStore
from tests.storage.histograms import Histogram, histogram_at, pool_of
from tests.storage.remote.test_out import (
    NOW,
    ROWS,
    Far,
    Sender,
    eventually,
    far,
    points,
    scrape,
    sender,
    store,
)

__all__ = ["far", "sender", "store"]  # fixtures

TRACE = Exemplar(Labels.of({"trace_id": "abc"}), 0.5, NOW)


def taken(form: FormatV2, contents: list[object]) -> MemoryStore:
    """Return a store that has taken a request."""
    there = MemoryStore()
    body = bytes(cramjam.snappy.compress_raw(form.join(contents)))
    RemoteWriteReceiver(there, CollectorRegistry()).ingest(body, 2)
    return there


def raw(there: MemoryStore) -> dict[tuple[Labels, int], tuple[bytes, int]]:
    """Return every float by series and time: its bits and start timestamp."""
    found = {}
    got = there.select([], 0, 1 << 62, Hints())
    for group in got.groups:
        for i, row in enumerate(group.rows.tolist()):
            for k, ts in enumerate(group.ts_ms[group.ts_row[i]].tolist()):
                if not is_no_sample(group.values[i, k : k + 1])[0]:
                    start = 0 if group.start_ms is None else int(group.start_ms[i, k])
                    found[got.labels.labels(row), ts] = (group.values[i, k].tobytes(), start)
    return found


texts = st.text("ab \n\u00df\u4f60\U0001f600", max_size=200)
names = st.builds(
    lambda name, pairs: Labels.of({**pairs, "__name__": name}),
    st.sampled_from(["a", "b_total", "c:d"]),
    st.dictionaries(st.sampled_from(["x", "job", "gr\u00fc\u00df"]), texts, max_size=3),
)
times = st.one_of(st.integers(1 << 36, 1 << 41), st.integers(1, 1 << 50))
starts = st.one_of(st.just(0), times)
abouts = st.one_of(
    st.none(), st.builds(Metadata, st.sampled_from(["gauge", "unknown"]), texts, texts)
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(names, times, st.floats(), starts, abouts), max_size=8),
    st.lists(names, min_size=1, max_size=8, unique=True),
    times,
    st.lists(st.one_of(st.just(NO_SAMPLE[0]), st.floats()), min_size=8, max_size=8),
)
def test_requests_hold_what_was_put_in(
    rows: list[tuple[Labels, int, float, int, Metadata | None]],
    layout: list[Labels],
    ts_ms: int,
    values: list[float],
) -> None:
    """Any series, time, float, start timestamp and metadata, in scrapes and by themselves."""
    form = FormatV2()
    samples = Samples(
        np.arange(len(rows)),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
        np.array([row[3] for row in rows], dtype=np.int64),
    )
    loose, counts = form.samples([form.series(row[0], row[4]) for row in rows], samples, {})
    held: Floats = no_samples(len(layout))
    held[:] = values[: len(layout)]
    content, number = form.layout([form.series(one, None) for one in layout]).encode(ts_ms, held)

    there = taken(form, [loose, content])
    want = {(one, ts): (np.float64(value).tobytes(), start) for one, ts, value, start, _ in rows}
    here = np.flatnonzero(~is_no_sample(held)).tolist()
    want |= {(layout[n], ts_ms): (held[n].tobytes(), 0) for n in here}
    assert raw(there) == want
    assert (counts, number) == (Counts(len(rows)), len(here))


def test_histograms_exemplars_and_metadata_stand_with_their_series() -> None:
    """A histogram with its start timestamp; an exemplar with the sample that it goes with."""
    form = FormatV2()
    about = Metadata("histogram", "How long.", "seconds")
    pool = pool_of([Histogram(positive={1: 2.0, 5: 3.0}, sum=4.0)])
    values = no_samples(2)
    values[1] = 7.0
    column = HistogramColumn(np.array([0, -1], dtype=np.int32), pool)
    samples = Samples(
        np.arange(2), np.array([NOW, NOW]), values, np.array([NOW - 5, 0]), Stack.of(column)
    )
    series = [form.series(ROWS[0], about), form.series(ROWS[1], None)]
    content, counts = form.samples(series, samples, {0: [TRACE], 1: [TRACE, TRACE]})

    there = taken(form, [content])
    assert counts == Counts(1, 1, 3)
    assert raw(there) == {(ROWS[1], NOW): (np.float64(7.0).tobytes(), 0)}
    groups = [g for g in there.select([], 0, 1 << 62, Hints()).groups if g.histograms is not None]
    assert [histogram_at(pool, 0)] == [
        histogram_at(g.histograms.pool, int(g.histograms.index[0, 0]))
        for g in groups
        if g.histograms is not None
    ]
    assert [g.start_ms.tolist() for g in groups if g.start_ms is not None] == [[[NOW - 5]]]
    assert there.metadata() == {"m0": about}
    assert there.exemplars([[]], 0, 1 << 62) == [
        SeriesExemplars(ROWS[0], (TRACE,)),
        SeriesExemplars(ROWS[1], (TRACE,)),
    ]


def test_many_texts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request may hold pieces from before and after, floats, exemplars and metadata."""
    monkeypatch.setattr(format_v2, "_MAX_TEXTS", 5)
    form = FormatV2()
    contents: list[object] = []
    for n, labels in enumerate(ROWS[:6]):
        about = Metadata("gauge", f"It is {n}.", "") if n % 2 else None
        one = Samples(np.array([0]), np.array([NOW]), np.array([float(n)]))
        exemplars = {0: [TRACE]} if n > 3 else {}
        contents.append(form.samples([form.series(labels, about)], one, exemplars)[0])
        form.forget()

    there = taken(form, contents)
    assert {labels: held[NOW] for labels, held in there.samples.items()} == {
        labels: float(n) for n, labels in enumerate(ROWS[:6])
    }
    assert there.metadata() == {f"m{n}": Metadata("gauge", f"It is {n}.", "") for n in (1, 3, 5)}
    assert len(there.exemplars([[]], 0, 1 << 62)) == 2


@pytest.mark.parametrize("version", [1, 2])
def test_everything_is_sent(sender: Sender, far: Far, store: Tsdb, version: int) -> None:
    """Scrapes, histograms, start timestamps, and exemplars of both; counted by kind."""
    far.version = version
    pool = pool_of([Histogram(positive={1: 2.0})])
    about = {"m1": Metadata("gauge", "One.", ""), "latency": Metadata("histogram", "How long.", "")}
    latency = Labels.of({"__name__": "latency"})
    with sender.sending(version=version, metadata=lambda: about):
        for step in range(30):
            scrape(store, step)
        refs = store.series([latency, ROWS[3]])
        column = HistogramColumn(np.array([0, -1], dtype=np.int32), pool)
        values = no_samples(2)
        values[1] = 5.0
        times = np.array([NOW + 100_000] * 2)
        store.append_samples(refs, times, values, start_ms=np.array([NOW, NOW]), histograms=column)
        store.append_exemplars(refs, [TRACE, TRACE]).wait()
        store.append_exemplars(store.series(ROWS[7:8]), [TRACE]).wait()
        scrape(store, 200)

        assert eventually(lambda: points(far) == 31 * 20 + 2)
        assert eventually(lambda: sender.count("exemplars_total") == 3)
        assert eventually(lambda: sender.count("samples_total") == 31 * 20 + 1)
        assert sender.count("histograms_total") == 1
        assert sender.count("samples_pending") == sender.count("exemplars_pending") == 0
        assert eventually(lambda: set(far.store.metadata()) == {"m1", "latency"})
    assert far.store.exemplars([[]], 0, 1 << 62) == [
        SeriesExemplars(one, (TRACE,)) for one in sorted([latency, ROWS[3], ROWS[7]])
    ]
    assert far.headers[0]["X-Prometheus-Remote-Write-Version"] == ("0.1.0", "2.0.0")[version - 1]
    assert (
        far.headers[0]["Content-Type"]
        == (
            (
                "application/x-protobuf",
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            )
        )[version - 1]
    )


@pytest.mark.parametrize("version", [1, 2])
def test_only_what_is_asked_for_is_sent(
    sender: Sender, far: Far, store: Tsdb, version: int
) -> None:
    """Without send_exemplars and send_native_histograms they are dropped, and counted."""
    far.version = version
    with sender.sending(version=version, exemplars=False, histograms=False):
        column = HistogramColumn(np.array([0, -1], dtype=np.int32), pool_of([Histogram()]))
        values = no_samples(2)
        values[1] = 5.0
        refs = store.series(ROWS[:2])
        store.append_samples(refs, np.array([NOW, NOW]), values, histograms=column)
        store.append_exemplars(refs, [TRACE, TRACE]).wait()

        assert eventually(lambda: points(far) == 1)
        assert sender.count("histograms_dropped_total", reason="disabled") == 1
        assert sender.count("exemplars_dropped_total", reason="disabled") == 2
    assert not far.store.exemplars([[]], 0, 1 << 62)


def test_success_without_a_word_is_a_loss(
    sender: Sender, far: Far, store: Tsdb, caplog: pytest.LogCaptureFixture
) -> None:
    """A far store that knows 1.0 only may answer 204 to what it has not understood."""
    far.version, far.silent = 2, True
    with sender.sending(version=2, shards=1), caplog.at_level(logging.ERROR):
        scrape(store, 1)
        assert eventually(lambda: sender.count("samples_failed_total", reason="unconfirmed") == 20)
    assert sender.count("samples_total") == 0
    assert "set protobuf_message to prometheus.WriteRequest" in caplog.text


def test_what_was_written_of_a_bad_request_is_counted(
    sender: Sender, far: Far, store: Tsdb
) -> None:
    """The headers tell; such a request is not sent again in halves."""
    far.version = 2
    with sender.sending(version=2, shards=1):
        bad = [Labels.of({"job": "no name"}), *ROWS[:4]]
        scrape(store, 1, bad)

        assert eventually(lambda: sender.count("samples_total") == 4)
        assert sender.count("samples_failed_total", reason="refused") == 1
    assert len(far.headers) == 1


def test_a_store_without_2_0_is_named(
    sender: Sender, far: Far, store: Tsdb, caplog: pytest.LogCaptureFixture
) -> None:
    """415: the operator is told which setting it is; nothing falls back by itself."""
    far.statuses = [415]
    with sender.sending(version=2, shards=1), caplog.at_level(logging.WARNING):
        scrape(store, 1)
        assert eventually(lambda: sender.count("samples_failed_total", reason="refused") == 20)
    assert "it does not take io.prometheus.write.v2.Request (protobuf_message)" in caplog.text


def test_a_large_scrape_is_sent_in_parts(sender: Sender, far: Far, store: Tsdb) -> None:
    """No request has more than max_samples_per_send samples."""
    rows = [Labels.of({"__name__": "m", "i": str(n)}) for n in range(5_000)]
    with sender.sending(shards=1):
        scrape(store, 1, rows)
        assert eventually(lambda: points(far) == 5_000)
    assert len(far.headers) == 3
