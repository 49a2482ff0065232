"""Native histograms as the messages of remote write, in the float form, which holds every histogram."""

from struct import Struct
from typing import Final

import numpy as np

from model.histogram.pool import CUSTOM_SCHEMA, HistogramPool
from model.samples import Floats
from storage.remote.wire import HISTOGRAM_TAG, SERIES_TAG, delimited, varint

_DOUBLE: Final = Struct("<d")
_ZERO: Final = bytes(8)


def encode_histogram(pool: HistogramPool, row: int, ts_ms: int, start_ms: int = 0) -> bytes:
    """Encode one row of a pool as a Histogram message; ``start_ms`` is of 2.0 only, 0 for none."""
    custom = int(pool.schema[row]) == CUSTOM_SCHEMA
    parts = [b"\x11", _DOUBLE.pack(pool.count[row]), _double(0x19, pool.sum[row])]
    parts += [b"\x20", varint(_zigzag(int(pool.schema[row])))]
    parts += [_double(0x29, pool.zero_threshold[row])]
    parts += [b"\x39", _DOUBLE.pack(pool.zero_count[row])]
    for first, counts, spans_tag, counts_tag in (
        (pool.negative_first, pool.negative, 0x42, 0x52),
        (pool.first, pool.positive, 0x5A, 0x6A),
    ):
        spans, held = _side(int(first[row]), counts[row])
        parts += [delimited(spans_tag, span) for span in spans]
        parts.append(delimited(counts_tag, held.tobytes()))
    if hint := int(pool.hint[row]):
        parts += [b"\x70", varint(hint)]
    parts += [b"\x78", varint(ts_ms)]
    if custom:
        bounds = pool.bounds[row]
        data = bounds[~np.isnan(bounds)].tobytes()
        parts += [b"\x82\x01", varint(len(data)), data] if data else []
    if start_ms:
        parts += [b"\x88\x01", varint(start_ms)]
    return b"".join(parts)


def encode_histogram_series(labels: bytes, pool: HistogramPool, row: int, ts_ms: int) -> bytes:
    """Encode a series of a WriteRequest (1.0) with one histogram; ``labels`` are encoded."""
    histogram = delimited(HISTOGRAM_TAG, encode_histogram(pool, row, ts_ms))
    return delimited(SERIES_TAG, labels + histogram)


def stale_histogram(ts_ms: int) -> bytes:
    """Encode the stale marker of a series of histograms."""
    return b"\x11" + _ZERO + b"\x19\x02\x00\x00\x00\x00\x00\xf0\x7f" + b"\x78" + varint(ts_ms)


def _double(tag: int, value: float) -> bytes:
    packed = _DOUBLE.pack(value)
    return bytes((tag,)) + packed if packed != _ZERO else b""


def _zigzag(number: int) -> int:
    return (number << 1) ^ (number >> 63)


def _side(first: int, counts: Floats) -> tuple[list[bytes], Floats]:
    """Return the spans of the buckets that are not empty, and their counts."""
    places = np.flatnonzero(counts)
    if not len(places):
        return [], counts[:0]
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    starts = places[np.concatenate([[0], breaks])]
    stops = places[np.concatenate([breaks - 1, [len(places) - 1]])] + 1
    gaps = np.concatenate([[starts[0] + first], starts[1:] - stops[:-1]])
    spans = []
    for gap, length in zip(gaps.tolist(), (stops - starts).tolist(), strict=True):
        offset = b"\x08" + varint(_zigzag(gap)) if gap else b""
        spans.append(offset + b"\x10" + varint(length))
    return spans, counts[places]
