"""OpenTelemetry's two kinds of histograms, in a form that can be summed up."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from msgspec import Struct

from model.histogram.pool import UNKNOWN, HistogramPool
from model.samples import Floats

_FINEST: Final = 8
_COARSEST: Final = -4
_ZERO_THRESHOLD: Final = 1e-128  # where the sender names none, as Prometheus
_MAX_BUCKETS: Final = 4096

Buckets = dict[int, float]


class Explicit(Struct, frozen=True):
    """Counts between bounds; not cumulative.

    Attributes:
        bounds: Upper bounds without +Inf.
        counts: One more than bounds.
        count: All observations.
        sum: None if the sender does not say.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    count: float
    sum: float | None

    def __add__(self, other: "Explicit") -> "Explicit":
        if self.bounds != other.bounds:
            return other  # a stream that changes its bounds begins anew
        return Explicit(
            self.bounds,
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            self.count + other.count,
            None if self.sum is None or other.sum is None else self.sum + other.sum,
        )


class Exponential(Struct, frozen=True):
    """Counts by Prometheus's bucket index: OpenTelemetry's plus one."""

    scale: int
    count: float
    sum: float
    zero_count: float
    zero_threshold: float
    positive: Buckets
    negative: Buckets

    def __add__(self, other: "Exponential") -> "Exponential":
        scale = min(self.scale, other.scale)
        a, b = self.at(scale), other.at(scale)
        return Exponential(
            scale,
            a.count + b.count,
            a.sum + b.sum,
            a.zero_count + b.zero_count,
            max(a.zero_threshold, b.zero_threshold),
            _added(a.positive, b.positive),
            _added(a.negative, b.negative),
        )

    def at(self, scale: int) -> "Exponential":
        """Merge buckets down to a coarser scale."""
        down = self.scale - scale
        if down <= 0:
            return self
        return Exponential(
            scale,
            self.count,
            self.sum,
            self.zero_count,
            self.zero_threshold,
            _merged(self.positive, down),
            _merged(self.negative, down),
        )


def explicit_of(point: dict[str, Any]) -> Explicit:
    """Return a HistogramDataPoint's counts.

    Raises:
        ValueError: If bounds and counts do not fit.
    """
    bounds = tuple(map(float, point.get("explicit_bounds", ())))
    counts = tuple(map(float, point.get("bucket_counts", ())))
    if not counts:
        counts, bounds = (float(point.get("count", 0)),), ()
    if len(counts) != len(bounds) + 1 or any(a >= b for a, b in pairwise(bounds)):
        raise ValueError("bounds and counts of a histogram do not fit")
    return Explicit(bounds, counts, float(point.get("count", 0)), point.get("sum"))


def exponential_of(point: dict[str, Any]) -> Exponential:
    """Return an ExponentialHistogramDataPoint's counts, at a scale that Prometheus has.

    Raises:
        ValueError: If the scale is too coarse.
    """
    scale = int(point.get("scale", 0))
    if scale < _COARSEST:
        raise ValueError(f"scale must be >= {_COARSEST}, was {scale}")
    found = Exponential(
        scale,
        float(point.get("count", 0)),
        float(point.get("sum", 0.0)),
        float(point.get("zero_count", 0)),
        float(point.get("zero_threshold", 0.0)) or _ZERO_THRESHOLD,
        _side(point.get("positive")),
        _side(point.get("negative")),
    ).at(min(scale, _FINEST))
    while max(map(_reach, (found.positive, found.negative))) > _MAX_BUCKETS:
        if found.scale == _COARSEST:
            raise ValueError("the histogram reaches too far")
        found = found.at(found.scale - 1)
    return found


def pool_of(found: Sequence[Exponential]) -> HistogramPool:
    """Lay histograms out as columns."""
    first, positive = _laid_out([one.positive for one in found])
    negative_first, negative = _laid_out([one.negative for one in found])
    return HistogramPool(
        schema=np.array([one.scale for one in found], dtype=np.int32),
        count=np.array([one.count for one in found]),
        sum=np.array([one.sum for one in found]),
        zero_count=np.array([one.zero_count for one in found]),
        zero_threshold=np.array([one.zero_threshold for one in found]),
        hint=np.full(len(found), UNKNOWN, dtype=np.int8),
        first=first,
        positive=positive,
        negative_first=negative_first,
        negative=negative,
        bounds=np.empty((len(found), 0)),
    )


def _side(data: dict[str, Any] | None) -> Buckets:
    data = data or {}
    first = int(data.get("offset", 0)) + 1
    return {first + n: float(c) for n, c in enumerate(data.get("bucket_counts", ())) if c}


def _merged(buckets: Buckets, down: int) -> Buckets:
    out: Buckets = {}
    for index, count in buckets.items():
        target = ((index - 1) >> down) + 1
        out[target] = out.get(target, 0.0) + count
    return out


def _added(a: Buckets, b: Buckets) -> Buckets:
    return {index: a.get(index, 0.0) + b.get(index, 0.0) for index in a.keys() | b.keys()}


def _reach(buckets: Buckets) -> int:
    return max(buckets) - min(buckets) + 1 if buckets else 0


def _laid_out(rows: Sequence[Buckets]) -> tuple[np.ndarray[Any, np.dtype[np.int32]], Floats]:
    first = np.array([min(row, default=0) for row in rows], dtype=np.int32)
    counts = np.zeros((len(rows), max(map(_reach, rows), default=0)))
    for n, row in enumerate(rows):
        for index, count in row.items():
            counts[n, index - int(first[n])] = count
    return first, counts
