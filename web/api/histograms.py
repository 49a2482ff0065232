"""Native histograms as the JSON of Prometheus's API: ``{"count":"…","sum":"…","buckets":[[…]]}``.

A bucket is ``[boundaries, "lower", "upper", "count"]``; boundaries 0 includes the upper bound, 1 the
lower, 2 none, 3 both (prometheus/prometheus util/jsonutil, MarshalHistogram). Empty ones are left out.
"""

import numpy as np
import numpy.typing as npt

from model.histogram.layout import negative_edges, positive_edges
from model.histogram.pool import HistogramPool
from model.samples import Bools, Floats
from web.api.numbers import go_floats

Ints32 = npt.NDArray[np.int32]


def histogram_objects(pool: HistogramPool) -> list[bytes]:
    """Return each histogram of a pool as a JSON object."""
    shapes, lower, upper, counts = _buckets(pool)
    row, column = np.nonzero(counts)
    texts = zip(
        go_floats(lower[row, column]),
        go_floats(upper[row, column]),
        go_floats(counts[row, column]),
        strict=True,
    )
    heads = map((b'[0,"', b'[1,"', b'[2,"', b'[3,"').__getitem__, shapes[row, column].tolist())
    buckets = [head + b'","'.join(text) + b'"]' for head, text in zip(heads, texts, strict=True)]
    ends = np.searchsorted(row, np.arange(pool.size), side="right").tolist()
    out, begin = [], 0
    for count, total, end in zip(go_floats(pool.count), go_floats(pool.sum), ends, strict=True):
        tail = b',"buckets":[' + b",".join(buckets[begin:end]) + b"]}" if end > begin else b"}"
        out.append(b'{"count":"' + count + b'","sum":"' + total + b'"' + tail)
        begin = end
    return out


def _buckets(pool: HistogramPool) -> tuple[Ints32, Floats, Floats, Floats]:
    """Return boundaries, lower and upper bounds and counts, shape (m, N + 1 + P), from low to high."""
    near, far = negative_edges(pool)
    low, high = positive_edges(pool)
    zero = pool.zero_threshold[:, None]
    exponential = ~pool.custom[:, None]
    # what overlaps the zero bucket begins where that ends
    near = np.where((near > 0) & (near < zero), zero, near)
    cut = exponential & (low > 0) & (low < zero)
    low = np.where(cut, zero, low)
    lower = np.concatenate([-far[:, ::-1], -zero, low], axis=1)
    upper = np.concatenate([-near[:, ::-1], zero, high], axis=1)
    zero_count = np.where(exponential & (pool.zero_count[:, None] > 0), pool.zero_count[:, None], 0)
    counts = np.concatenate([pool.negative[:, ::-1], zero_count, pool.positive], axis=1)
    first_custom = _first_custom(pool)
    shapes = np.concatenate(
        [np.ones_like(near), np.full_like(zero, 3.0), np.where(first_custom, 3.0, 0.0)], axis=1
    )
    return shapes.astype(np.int32), lower, upper, counts


def _first_custom(pool: HistogramPool) -> Bools:
    """Mark the lowest custom bucket, which includes its lower bound; shape (m, P)."""
    index = pool.first[:, None] + np.arange(pool.positive.shape[1])
    out: Bools = pool.custom[:, None] & (index == 0)
    return out
