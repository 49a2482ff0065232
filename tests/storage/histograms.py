"""Native histograms in a small notation, for tests of stores."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from model.histogram.pool import GAUGE, NOT_RESET, RESET, UNKNOWN, HistogramColumn, HistogramPool

HINTS = {"": UNKNOWN, "reset": RESET, "not_reset": NOT_RESET, "gauge": GAUGE}
NAMES = {number: name for name, number in HINTS.items()}


class Histogram(Struct, frozen=True):
    """One native histogram; buckets by their index, those that are empty left out."""

    positive: Mapping[int, float] = field(default_factory=dict)
    negative: Mapping[int, float] = field(default_factory=dict)
    sum: float = 0.0
    zero: float = 0.0
    schema: int = 0
    threshold: float = 0.001
    bounds: tuple[float, ...] = ()
    hint: str = ""

    @property
    def count(self) -> float:
        return math.fsum([self.zero, *self.positive.values(), *self.negative.values()])

    def hinted(self, hint: str) -> "Histogram":
        return replace(self, hint=hint)


def pool_of(histograms: Sequence[Histogram]) -> HistogramPool:
    """Lay histograms out as columns."""

    def side(rows: Sequence[Mapping[int, float]]) -> tuple[list[int], list[list[float]]]:
        first = [min(row, default=0) for row in rows]
        width = max(
            (max(row) - low + 1 for row, low in zip(rows, first, strict=True) if row), default=0
        )
        return first, [
            [float(row.get(low + i, 0.0)) for i in range(width)]
            for row, low in zip(rows, first, strict=True)
        ]

    first, positive = side([h.positive for h in histograms])
    negative_first, negative = side([h.negative for h in histograms])
    wide = max((len(h.bounds) for h in histograms), default=0)
    bounds = [[*h.bounds, *[np.nan] * (wide - len(h.bounds))] for h in histograms]
    size = len(histograms)
    return HistogramPool(
        schema=np.array([h.schema for h in histograms], dtype=np.int32),
        count=np.array([h.count for h in histograms], dtype=np.float64),
        sum=np.array([h.sum for h in histograms], dtype=np.float64),
        zero_count=np.array([h.zero for h in histograms], dtype=np.float64),
        zero_threshold=np.array([h.threshold for h in histograms], dtype=np.float64),
        hint=np.array([HINTS[h.hint] for h in histograms], dtype=np.int8),
        first=np.array(first, dtype=np.int32),
        positive=np.array(positive, dtype=np.float64).reshape(size, -1),
        negative_first=np.array(negative_first, dtype=np.int32),
        negative=np.array(negative, dtype=np.float64).reshape(size, -1),
        bounds=np.array(bounds, dtype=np.float64).reshape(size, -1),
    )


def column_of(samples: Sequence[float | Histogram]) -> HistogramColumn | None:
    """Return the histograms among some samples."""
    found = [one for one in samples if isinstance(one, Histogram)]
    if not found:
        return None
    here = np.array([isinstance(one, Histogram) for one in samples])
    index = np.where(here, np.cumsum(here) - 1, -1).astype(np.int32)
    return HistogramColumn(index, pool_of(found))


def histogram_at(pool: HistogramPool, row: int) -> Histogram:
    """Read one histogram back, its count checked."""

    def side(first: int, counts: Sequence[float]) -> dict[int, float]:
        return {first + i: count for i, count in enumerate(counts) if count}

    found = Histogram(
        positive=side(int(pool.first[row]), pool.positive[row].tolist()),
        negative=side(int(pool.negative_first[row]), pool.negative[row].tolist()),
        sum=float(pool.sum[row]),
        zero=float(pool.zero_count[row]),
        schema=int(pool.schema[row]),
        threshold=float(pool.zero_threshold[row]),
        bounds=tuple(pool.bounds[row][~np.isnan(pool.bounds[row])].tolist()),
        hint=NAMES[int(pool.hint[row])],
    )
    assert found.count == pool.count[row]
    return found
