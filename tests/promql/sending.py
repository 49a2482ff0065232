"""Samples of the test scripts as remote write requests."""

from collections.abc import Iterator

import cramjam
import numpy as np

from model.labels import Labels
from storage.remote.encode import encode_labels
from storage.remote.encode_histograms import encode_histogram
from storage.remote.encode_v2 import RequestV2, sample_v2
from storage.remote.wire import delimited
from tests.promql.columns import ColumnStore, Sample
from tests.promql.histograms import Hist, to_pool

Run = list[tuple[int, Sample]]


def requests_of(store: ColumnStore) -> Iterator[tuple[bytes, int]]:
    """Yield compressed requests and their protocol version, each series in runs of one kind."""
    starts = any(s.start_ms for series in store.samples.values() for s in series.values())
    runs = [(labels, _runs(points)) for labels, points in store.samples.items()]
    for number in range(max((len(r) for _, r in runs), default=0)):
        series = [(labels, r[number]) for labels, r in runs if number < len(r)]
        message = _version_2(series) if starts else _version_1(series)
        yield bytes(cramjam.snappy.compress_raw(message)), 2 if starts else 1


def _runs(points: dict[int, Sample]) -> list[Run]:
    out: list[Run] = []
    kind = None
    for t, sample in sorted(points.items()):
        if kind is not isinstance(sample.value, Hist):
            kind = isinstance(sample.value, Hist)
            out.append([])
        out[-1].append((t, sample))
    return out


def _version_1(series: list[tuple[Labels, Run]]) -> bytes:
    out = []
    for labels, run in series:
        points = []
        for t, sample in run:
            if isinstance(sample.value, Hist):
                points.append(delimited(0x22, _histogram(sample.value, t)))
            else:
                points.append(_field(0x12, sample_v2(_bits(sample.value), t)))
        out.append(delimited(0x0A, encode_labels(labels) + b"".join(points)))
    return b"".join(out)


def _version_2(series: list[tuple[Labels, Run]]) -> bytes:
    request = RequestV2()
    for labels, run in series:
        samples, histograms = [], []
        for t, sample in run:
            if isinstance(sample.value, Hist):
                histograms.append(_histogram(sample.value, t, sample.start_ms))
            else:
                samples.append(sample_v2(_bits(sample.value), t, sample.start_ms))
        request.add(labels, samples, histograms)
    return request.encode()


def _bits(value: object) -> bytes:
    """Return a float's bytes; a stale marker's bits must not pass through arithmetic."""
    return np.array([value], dtype=np.float64).tobytes()


def _field(tag: int, data: bytes) -> bytes:
    return bytes((tag, len(data))) + data


def _histogram(hist: Hist, ts_ms: int, start_ms: int = 0) -> bytes:
    """Encode a histogram with the hint that stands in the script; the store finds out the others."""
    written = hist.hint if hist.hint == "gauge" or hist.hint_set else "unknown"
    pool = to_pool([hist])
    pool.hint[0] = {"reset": 1, "gauge": 3}.get(written, 0)
    return encode_histogram(pool, 0, ts_ms, start_ms)
