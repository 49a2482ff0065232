"""How many samples a query looked at, at each of its steps: what Prometheus's ``stats`` count.

Counted by an evaluator of its own, so that a query that is not asked for it does nothing for it.
"""

from typing import Final

import numpy as np
from msgspec import field
from msgspec.structs import replace

from model.histogram.pool import HistogramColumn, HistogramPool
from model.samples import Ints
from promql import ast
from promql.block import Block
from promql.call import Value
from promql.evaluator import Evaluator
from promql.windows import Windows

_HISTOGRAM_BYTES: Final = 168  # Prometheus's FloatHistogram without its spans and buckets
_SAMPLE_BYTES: Final = 16
_TIME_BYTES: Final = 8


class Tally:
    """Samples at each step; all that is added has the same steps.

    Attributes:
        ts_ms: int64, shape (T,): the steps.
        looked_at: int64, shape (T,), or (1,) where there was nothing: samples that each step looked at.
        read: Likewise, of them those that no step before had looked at with the same selector.
        series: How many series all selectors together gave.
    """

    def __init__(self) -> None:
        self.ts_ms: Ints = np.empty(0, dtype=np.int64)
        self.looked_at: Ints = np.zeros(1, dtype=np.int64)
        self.read: Ints = np.zeros(1, dtype=np.int64)
        self.series = 0

    def add(self, ts_ms: Ints, looked_at: Ints, read: Ints, series: int) -> None:
        """Add what a selector, or what is in a sub-query, has done."""
        self.ts_ms = ts_ms
        self.looked_at = self.looked_at + looked_at
        self.read = self.read + read
        self.series += series


class TallyingEvaluator(Evaluator, frozen=True):
    """An evaluator that counts.

    Attributes:
        tally: Where.
    """

    tally: Tally = field(default_factory=Tally)

    def select_instant(
        self, node: ast.VectorSelector, *, times: bool = False, start_times: bool = False
    ) -> Block:
        """Count one for each series, and a histogram by its size."""
        block = super().select_instant(node, times=times, start_times=start_times)
        counts = block.present.astype(np.int64)
        if block.hist is not None and not times:
            counts *= _weights(block.hist)
        self._add(counts.sum(axis=0), counts.sum(axis=0), block.size)
        return block

    def _smooth(self, node: ast.VectorSelector) -> Block:
        block = super()._smooth(node)
        counts = block.present.sum(axis=0)
        self._add(counts, counts, block.size)
        return block

    def _matrix(self, node: ast.MatrixSelector) -> Windows:
        """Count what is in the windows; what is in the one before, too, is not read again."""
        found = super()._matrix(node)
        for chunk in found.chunks:
            fresh = chunk.low.copy()
            fresh[..., 1:] = np.maximum(fresh[..., 1:], chunk.high[..., :-1])
            if chunk.hist is not None and found.pool is not None:
                marks = _weights(HistogramColumn(chunk.hist, found.pool)).astype(np.float64)
                each = 1
            else:
                rows = 1 if chunk.uniform else len(chunk.rows)
                marks = np.ones((rows, chunk.values.shape[1]))
                each = len(chunk.rows) // rows
            looked_at, read = (
                each * chunk.over(marks, low, chunk.high).sum(axis=0).astype(np.int64)
                for low in (chunk.low, fresh)
            )
            self._add(looked_at, read, len(chunk.rows))
        return found

    def _subquery(self, node: ast.Subquery) -> Windows:
        """Count, for each window, what was counted at the inner steps in it."""
        inner = Tally()
        found = super(TallyingEvaluator, replace(self, tally=inner))._subquery(node)
        at = inner.ts_ms
        low = np.searchsorted(at, found.starts_ms, side="right")
        high = np.maximum(np.searchsorted(at, found.ends_ms, side="right"), low)
        fresh = low.copy()
        fresh[1:] = np.minimum(np.maximum(low[1:], high[:-1]), high[1:])
        looked_at, read = (_running(counts, len(at)) for counts in (inner.looked_at, inner.read))
        self._add(looked_at[high] - looked_at[low], read[high] - read[fresh], inner.series)
        return found

    def _repeated(self, expr: ast.Expr) -> Value:
        """Count what was worked out once at every step; it was read for the first."""
        inner = Tally()
        value = super(TallyingEvaluator, replace(self, tally=inner))._repeated(expr)
        read = np.zeros(self.steps, dtype=np.int64)
        read[:1] = inner.read.sum()
        self._add(np.full(self.steps, inner.looked_at.sum()), read, inner.series)
        return value

    def _add(self, looked_at: Ints, read: Ints, series: int) -> None:
        self.tally.add(self.ts_ms, looked_at, read, series)


def _running(counts: Ints, steps: int) -> Ints:
    """Return the running sum, with a leading 0."""
    out = np.zeros(steps + 1, dtype=np.int64)
    np.cumsum(np.broadcast_to(counts, (steps,)), out=out[1:])
    return out


def _weights(column: HistogramColumn) -> Ints:
    """Return how many samples each counts for; 1 where there is no histogram."""
    sizes = np.append(_sizes(column.pool), 1)
    return sizes[column.index]  # -1 is the last


def _sizes(pool: HistogramPool) -> Ints:
    """Return the sizes of histograms in samples, from the spans and buckets that hold something."""
    parts = np.full(pool.size, _HISTOGRAM_BYTES + _TIME_BYTES, dtype=np.int64)
    for counts in (pool.positive, pool.negative):
        some = counts != 0
        spans = some[:, :1].sum(axis=1) + (some[:, 1:] & ~some[:, :-1]).sum(axis=1)
        parts += 8 * (some.sum(axis=1) + spans)
    parts += 8 * (~np.isnan(pool.bounds)).sum(axis=1)
    return parts // _SAMPLE_BYTES
