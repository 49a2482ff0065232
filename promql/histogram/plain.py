"""Rates of histograms that all have one layout, which is what stores give for most metrics.

Where schema, zero bucket and first bucket are the same in every histogram, a rate is a difference of
rows of a matrix; nothing has to be brought onto common columns. Some series at a time are worked out,
so that what lies between stays in the cache. Everything else is left to ``rate``.
"""

from typing import Any, Self

import numpy as np
from msgspec import Struct

from model.histogram.pool import CUSTOM_SCHEMA, GAUGE, RESET, UNKNOWN, HistogramPool, Int32s
from model.histogram.resets import is_reset
from model.samples import Bools, Floats
from model.steady import steady
from promql.functions.edges import Edges, edges, factor
from promql.functions.starts import no_start_inside
from promql.windows import Chunk, Windows, columns_of

_SAME = ("schema", "zero_threshold", "first", "negative_first")
_CELLS = 100_000  # bucket counts of a tile
FIELDS = ("count", "sum", "zero_count", "positive", "negative")


class Rows(Struct, frozen=True):
    """Histograms of some series at some steps: arrays of shape (b, S), buckets (b, S, B)."""

    count: Floats
    sum: Floats
    zero_count: Floats
    positive: Floats
    negative: Floats

    def arrays(self) -> tuple[Floats, ...]:
        """Return them in the order of the fields."""
        return self.count, self.sum, self.zero_count, self.positive, self.negative


class PlainRates:
    """The rates of a chunk of histograms of one layout, some series at a time."""

    def __init__(
        self,
        windows: Windows,
        chunk: Chunk,
        pool: HistogramPool,
        fell: Bools | None,
        seconds: float,
    ) -> None:
        assert chunk.hist is not None
        width = chunk.values.shape[1]
        self._chunk = chunk
        self._index = chunk.hist
        self._pool = pool
        self._fell = fell
        self._seconds = seconds
        low, last = np.clip(chunk.low, 0, width - 1), np.clip(chunk.high - 1, 0, width - 1)
        self._low: Any = columns_of(low)
        self._last: Any = columns_of(last)
        self._few = 2 * len(low) < width
        self._edges = edges(windows, chunk)
        self.here: Bools = chunk.count()[0] >= 2
        buckets = pool.positive.shape[1] + pool.negative.shape[1] + 3
        self.rows_at_once = max(4, _CELLS // (buckets * max(1, width)))

    @classmethod
    def of(cls, windows: Windows, chunk: Chunk, seconds: float) -> Self | None:
        """Return them for the counters of a chunk; None if the chunk needs more care than is taken here."""
        pool, index = windows.pool, chunk.hist
        if pool is None or index is None or not chunk.uniform or not index.size:
            return None
        if windows.extension is not None or not (index >= 0).all():
            return None
        starts = chunk.start_ms
        if starts is not None and not (steady(starts) and no_start_inside(windows, starts)):
            return None
        if not all(_same(getattr(pool, name), index) for name in _SAME):
            return None
        if pool.bounds.shape[1] and not _same_bounds(pool.bounds[index.ravel()]):
            return None
        hint = pool.hint[index]
        if (hint == GAUGE).any():
            return None
        fell = _fell(pool, index, hint)
        if fell is not None and not _finite(pool, index):
            return None
        return cls(windows, chunk, pool, fell, seconds)

    @property
    def layout(self) -> tuple[int | float | bytes, ...]:
        """What histograms must agree in to be added up column by column."""
        pool, row = self._pool, int(self._index[0, 0])
        same = [getattr(pool, name)[row].item() for name in _SAME]
        widths = pool.positive.shape[1], pool.negative.shape[1]
        return (*same, *widths, pool.bounds[row].tobytes())

    def tile(self, rows: Any) -> Rows:
        """Return the rates of some series of the chunk; they say nothing where ``here`` is False."""
        index = self._index[rows]
        taken = [self._risen(getattr(self._pool, name), index, rows) for name in FIELDS]
        (count, first), rest = taken[0], [rise for rise, _ in taken[1:]]
        with np.errstate(all="ignore"):
            own: Any = slice(None) if len(self._edges.sampled) == 1 else self._chunk.ts_row[rows]
            at = self._edges
            cells = Edges(at.sampled[own], at.to_start[own], at.to_end[own])
            by = factor(cells, count, first, counter=True)
            by /= self._seconds
            for array in (count, *rest):
                np.multiply(array, by if array.ndim == 2 else by[:, :, None], out=array)
        if self._pool.schema[index[0, 0]] == CUSTOM_SCHEMA:
            rest[1][:] = 0.0
        return Rows(count, *rest)

    def _risen(self, column: Floats, index: Any, rows: Any) -> tuple[Floats, Floats]:
        """Return what a field gained over each window, and where it began."""
        if self._few:
            first, last = column[index[:, self._low]], column[index[:, self._last]]
        else:
            every = column[index]
            first, last = every[:, self._low], every[:, self._last]
        with np.errstate(all="ignore"):
            rise: Floats = last - first
        if self._fell is not None:
            fell = self._fell[rows]
            some = np.flatnonzero(fell.any(axis=1))
            if len(some):
                rise[some] += self._lost(column[index[some]], fell[some])
        return rise, first

    def _lost(self, values: Floats, fell: Bools) -> Floats:
        """Return what had been reached when series began anew within each window."""
        lost = np.zeros_like(values)
        marks = fell[:, 1:] if values.ndim == 2 else fell[:, 1:, None]
        lost[:, 1:] = np.where(marks, values[:, :-1], 0.0)
        np.cumsum(lost, axis=1, out=lost)
        out: Floats = lost[:, self._last] - lost[:, self._low]
        return out

    def pool(self) -> HistogramPool:
        """Return the rates of all series at the steps where there are any, series by series."""
        size, steps = len(self._index), int(self.here.sum())
        pool = self._pool
        made = {name: np.empty((size, steps, *getattr(pool, name).shape[1:])) for name in FIELDS}
        everywhere = steps == len(self.here)
        for start in range(0, size, self.rows_at_once):
            rows = slice(start, start + self.rows_at_once)
            for name, array in zip(FIELDS, self.tile(rows).arrays(), strict=True):
                made[name][rows] = array if everywhere else array[:, self.here]
        flat = {name: a.reshape(size * steps, *a.shape[2:]) for name, a in made.items()}
        return self.filled(flat, size * steps)

    def filled(self, fields: dict[str, Floats], size: int) -> HistogramPool:
        """Return histograms of this layout; ``fields`` has counts and sums of so many."""
        pool, row = self._pool, int(self._index[0, 0])
        made: dict[str, Any] = {n: np.repeat(getattr(pool, n)[row], size) for n in _SAME}
        made |= fields
        return HistogramPool(
            **made,
            hint=np.full(size, GAUGE, dtype=np.int8),
            bounds=np.broadcast_to(pool.bounds[row], (size, pool.bounds.shape[1])),
        )


def _same(column: Any, index: Int32s) -> bool:
    """Tell whether a column has the same in all rows used; most often it has in all."""
    whole = column == column[index[0, 0]]
    return bool(whole.all() or whole[index].all())


def _same_bounds(bounds: Floats) -> bool:
    same = (bounds == bounds[0]) | (np.isnan(bounds) & np.isnan(bounds[0]))
    return bool(same.all())


def _finite(pool: HistogramPool, index: Any) -> bool:
    return bool(np.isfinite(pool.sum[index]).all() and np.isfinite(pool.count[index]).all())


def _fell(pool: HistogramPool, index: Any, hint: Any) -> Bools | None:
    """Tell which histograms (k, T) fell against the one before; None if none did."""
    fell: Bools = hint == RESET
    fell[:, 0] = False
    series, at = np.nonzero(hint[:, 1:] == UNKNOWN)
    if len(series):
        now, before = pool.take(index[series, at + 1]), pool.take(index[series, at])
        fell[series, at + 1] = is_reset(now, before)
    return fell if fell.any() else None
