"""Many native histograms as columns, and the column of a vector that points into them.

A row of a pool is one histogram. Bucket counts stand in a matrix as wide as the widest row
needs, each row with the index of its first bucket, so that every operation runs over all rows
at once. Bounds follow Prometheus's native histogram specification: with an exponential schema
bucket i ends at 2 ** (i * 2 ** -schema); with custom buckets (schema -53) at ``bounds[i]``.
"""

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Bools, Floats

Int32s = npt.NDArray[np.int32]
Hints = npt.NDArray[np.int8]

CUSTOM_SCHEMA: Final = -53
UNKNOWN, RESET, NOT_RESET, GAUGE = range(4)  # counter reset hints


class HistogramPool(Struct, frozen=True):
    """m histograms.

    Attributes:
        schema: int32, shape (m,).
        count: float64, shape (m,).
        sum: float64, shape (m,).
        zero_count: float64, shape (m,).
        zero_threshold: float64, shape (m,).
        hint: int8, shape (m,): UNKNOWN, RESET, NOT_RESET, GAUGE.
        first: int32, shape (m,): index of the first column of ``positive``.
        positive: float64, shape (m, P): counts, 0 where there is no bucket.
        negative_first: int32, shape (m,).
        negative: float64, shape (m, N).
        bounds: float64, shape (m, C): custom bounds, padded with NaN.
    """

    schema: Int32s
    count: Floats
    sum: Floats
    zero_count: Floats
    zero_threshold: Floats
    hint: Hints
    first: Int32s
    positive: Floats
    negative_first: Int32s
    negative: Floats
    bounds: Floats

    @property
    def size(self) -> int:
        """Number of histograms."""
        return len(self.schema)

    @property
    def custom(self) -> Bools:
        """Which ones have custom buckets; shape (m,)."""
        return np.equal(self.schema, CUSTOM_SCHEMA)

    def take(self, rows: npt.NDArray[np.integer] | Bools) -> Self:
        """Return some rows."""
        return type(self)(**{name: column[rows] for name, column in self.columns().items()})

    def columns(self) -> dict[str, Any]:
        """Return the columns by name."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS: Final = HistogramPool.__struct_fields__
_MATRICES: Final = {"positive": 0.0, "negative": 0.0, "bounds": np.nan}


def _widen(matrix: Floats, width: int, fill: float) -> Floats:
    missing = width - matrix.shape[1]
    if missing == 0:
        return matrix
    return np.concatenate([matrix, np.full((len(matrix), missing), fill)], axis=1)


def concat_pools(pools: Sequence[HistogramPool]) -> HistogramPool:
    """Stack pools."""
    if len(pools) == 1:
        return pools[0]
    parts: dict[str, Any] = {}
    for name in FIELDS:
        arrays = [getattr(p, name) for p in pools]
        if name in _MATRICES:
            width = max(a.shape[1] for a in arrays)
            arrays = [_widen(a, width, _MATRICES[name]) for a in arrays]
        parts[name] = np.concatenate(arrays)
    return HistogramPool(**parts)


class HistogramColumn(Struct, frozen=True):
    """The histograms of a vector.

    Attributes:
        index: int32, shape (n, T): row in the pool, -1 where there is none.
        pool: See HistogramPool.
    """

    index: Int32s
    pool: HistogramPool

    def take(self, rows: npt.NDArray[np.integer] | Bools) -> "HistogramColumn":
        """Return some series."""
        return HistogramColumn(self.index[rows], self.pool)


def concat_columns(
    columns: Sequence[HistogramColumn | None], shapes: Sequence[tuple[int, ...]]
) -> HistogramColumn | None:
    """Stack columns of series; None stands for a vector of that shape without histograms."""
    found = [c for c in columns if c is not None]
    if not found:
        return None
    offset, parts = 0, []
    for column, shape in zip(columns, shapes, strict=True):
        if column is None:
            parts.append(np.full(shape, -1, dtype=np.int32))
        else:
            parts.append(np.where(column.index >= 0, column.index + np.int32(offset), np.int32(-1)))
            offset += column.pool.size
    return HistogramColumn(np.concatenate(parts), concat_pools([c.pool for c in found]))
