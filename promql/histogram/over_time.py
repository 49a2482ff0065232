"""sum_over_time and avg_over_time, where a window may hold floats or histograms, but not both."""

from collections.abc import Callable

import numpy as np

from model.histogram.pool import (
    NOT_RESET,
    RESET,
    HistogramColumn,
    HistogramPool,
    Int32s,
    concat_pools,
)
from model.samples import Bools, Floats
from promql.block import Block
from promql.call import CallContext
from promql.functions.mixed import say_mixed, say_mixed_buckets
from promql.histogram.arithmetic import means, mended, totals
from promql.windows import Chunk, Index, Windows


class WindowResults:
    """Collects what window functions give: floats and histograms, chunk by chunk."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        shape = (windows.labels.size, windows.steps)
        self.values = np.zeros(shape)
        self.present = np.zeros(shape, dtype=bool)
        self._index: Int32s = np.full(shape, -1, dtype=np.int32)
        self._pools: list[HistogramPool] = []

    def floats(self, chunk: Chunk, values: Floats, present: Bools) -> None:
        """Set floats of a chunk, (k, S); what is not present stays as it is."""
        if present.all():
            if len(self._windows.chunks) == 1 and np.array_equal(
                chunk.rows, np.arange(len(self.values))
            ):
                self.values = np.broadcast_to(values, present.shape)
                self.present = np.ones(present.shape, dtype=bool)
                return
            self.values[chunk.rows] = values
            self.present[chunk.rows] = True
            return
        part = self.values[chunk.rows]
        here = np.broadcast_to(present, part.shape)
        self.values[chunk.rows] = np.where(here, values, part)
        self.present[chunk.rows] |= here

    def histograms(self, chunk: Chunk, where: Bools, pool: HistogramPool) -> None:
        """Set histograms of a chunk, in row order of ``where`` (k, S)."""
        before = sum(p.size for p in self._pools)
        part = self._index[chunk.rows]
        part[where] = np.arange(before, before + pool.size, dtype=np.int32)
        self._index[chunk.rows] = part
        self.present[chunk.rows] |= where
        self._pools.append(pool)

    def block(self) -> Block:
        """Return the vector; names are to go."""
        gone = np.ones(self._windows.labels.size, dtype=bool)
        hist = HistogramColumn(self._index, concat_pools(self._pools)) if self._pools else None
        return Block(self._windows.labels, self.values, self.present, gone, hist).compact()


def only_histograms(chunk: Chunk) -> tuple[Chunk, Bools]:
    """Return the chunk without its floats, and which windows (k, S) held some."""
    assert chunk.hist is not None
    is_hist = chunk.hist >= 0
    had = chunk.over(~is_hist, chunk.low, chunk.high) > 0
    return chunk.only(is_hist), had


def laid_out(chunk: Chunk, where: Bools) -> tuple[Index, Index]:
    """List the histograms of some windows (k, S) one after the other.

    Returns:
        ``(pool rows, window number)``; windows are numbered in row order of ``where``.
    """
    assert chunk.hist is not None
    series, steps = np.nonzero(where)
    shape = chunk.shape
    low = np.broadcast_to(chunk.low, shape)[series, steps]
    count = np.broadcast_to(chunk.high, shape)[series, steps] - low
    window = np.repeat(np.arange(len(series)), count)
    within = np.arange(len(window)) - np.repeat(np.cumsum(count) - count, count)
    at = low[window] + within
    return chunk.hist[series[window], at].astype(np.int64), window


def histogram_windows(
    call: CallContext, windows: Windows, change: Callable[[Chunk], Floats], *, mean: bool
) -> Block:
    """Add up each window: floats by ``change``, histograms here."""
    out = WindowResults(windows)
    node = call.node.args[0]
    for whole in windows.chunks:
        chunk, had = whole.floats()
        here: Bools = np.broadcast_to(chunk.count() > 0, chunk.shape)
        if had is not None:
            say_mixed(call, windows, whole, had & here, node)
            here = here & ~had
        with np.errstate(all="ignore"):
            out.floats(whole, change(chunk), here)
        if had is not None:
            _add_up(call, windows, whole, out, mean=mean)
    return out.block()


def _add_up(
    call: CallContext, windows: Windows, whole: Chunk, out: WindowResults, *, mean: bool
) -> None:
    chunk, had_floats = only_histograms(whole)
    where = np.broadcast_to(chunk.count() > 0, chunk.shape) & ~had_floats
    if not where.any() or windows.pool is None:
        return
    node = call.node.args[0]
    rows, window = laid_out(chunk, where)
    add_up = means if mean else totals
    done = add_up(windows.pool.take(rows), window, int(where.sum()))
    if not done.possible.all():
        bad = where.copy()
        bad[where] = ~done.possible
        say_mixed_buckets(call, windows, whole, bad, node)
    if _collide(windows.pool, rows, window):
        call.annotations.warn("conflicting counter resets during histogram aggregation", node)
    if mended(windows.pool.take(rows), window).any():
        text = "mismatched custom buckets were reconciled during aggregation"
        call.annotations.info(text, node)
    where = where.copy()
    where[where] = done.possible
    out.histograms(whole, where, done.pool.take(done.possible))


def _collide(pool: HistogramPool, rows: Index, window: Index) -> bool:
    """Tell whether a window held a reset and its opposite, up to where the kind of buckets changed."""
    custom, hint = pool.custom[rows], pool.hint[rows]
    starts = np.flatnonzero(np.diff(window, prepend=-1))
    changed = custom != custom[starts[window]]
    before = np.cumsum(changed) - changed
    looked_at = before == before[starts[window]]
    seen = [
        np.bincount(window[looked_at & (hint == kind)], minlength=len(starts)) > 0
        for kind in (RESET, NOT_RESET)
    ]
    return bool((seen[0] & seen[1]).any())
