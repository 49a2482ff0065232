"""Native histograms over ``anchored`` and ``smoothed`` selectors (``promql/functions.go`` extendedHistogramRate)."""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.histogram.pool import GAUGE, HistogramPool, concat_pools
from model.histogram.resets import is_reset
from model.samples import Bools, Ints
from promql.annotations import Annotations
from promql.ast import Expr
from promql.functions.mixed import names_of, say_mixed_buckets
from promql.histogram.arithmetic import combine, divided, scaled, totals
from promql.histogram.rate import NOT_COUNTER, NOT_GAUGE, Task, pair_marks
from promql.text import quote
from promql.windows import Extension, Index

_SUBTRACTION = "mismatched custom buckets were reconciled during subtraction"
_ADDITION = "mismatched custom buckets were reconciled during addition"


class Samples(Struct, frozen=True):
    """Histograms, row by row, and their times; shape (m,) each."""

    pool: HistogramPool
    ts_ms: Ints


def between_histograms(
    before: Samples, after: Samples, at_ms: Ints, counter: Bools, notes: Annotations, node: Expr
) -> HistogramPool:
    """Interpolate row by row; where a counter (m,) fell it is taken to have begun at nothing."""
    share = (at_ms - before.ts_ms) / (after.ts_ms - before.ts_ms)
    difference = combine(after.pool, before.pool, -1.0)
    risen = combine(scaled(difference.pool, share), before.pool)
    inner = (at_ms != before.ts_ms) & (at_ms != after.ts_ms)
    anew = inner & counter & is_reset(after.pool, before.pool)
    inner &= ~anew
    if (difference.reconciled & inner).any():
        notes.info(_SUBTRACTION, node)
    if (risen.reconciled & inner).any():
        notes.info(_ADDITION, node)
    kinds = [before.pool, after.pool, scaled(after.pool, share), risen.pool]
    number = np.where(at_ms == before.ts_ms, 0, np.where(at_ms == after.ts_ms, 1, 3))
    number = np.where(anew, 2, number)
    return concat_pools(kinds).take(number * len(share) + np.arange(len(share)))


class _Cells(Struct, frozen=True):
    """The windows worked on, one after the other: series, step, and the samples at their ends."""

    series: Index
    steps: Index
    first: Index
    last: Index

    def take(self, rows: Bools) -> "_Cells":
        return _Cells(self.series[rows], self.steps[rows], self.first[rows], self.last[rows])


def histogram_rise(
    task: Task, extension: Extension, where: Bools, seconds: float
) -> tuple[Bools, HistogramPool]:
    """Return what histograms gained over ranges (k, S) without floats, and in which that is known."""
    from promql.functions.extended import edge_samples

    chunk = task.chunk
    first, last = (np.broadcast_to(i, chunk.shape) for i in edge_samples(chunk, extension))
    here = where & (chunk.time_at(last) > extension.starts_ms)
    if extension.smoothed:
        here &= chunk.time_at(first) <= extension.ends_ms
    here = _one_kind(task, here, first, last)
    series, steps = np.nonzero(here)
    cells = _Cells(series, steps, first[series, steps], last[series, steps])
    left, spanned = _left(task, extension, cells)
    right = _right(task, extension, cells)
    _say_kind(task, here, cells, left, right)
    done = combine(right, left, -1.0)
    if done.reconciled.any():
        task.call.annotations.info(_SUBTRACTION, task.call.node.args[0])
    result = done.pool
    if task.counter and len(series):
        result = _with_resets(task, extension, cells, (left, right, result), spanned)
    result = divided(result, np.full(result.size, seconds))
    return here, replace(result, hint=np.full(result.size, GAUGE, dtype=np.int8))


def _one_kind(task: Task, here: Bools, first: Index, last: Index) -> Bools:
    """Tell which ranges hold one kind of buckets only; warns of the others."""
    custom = (task.hist >= 0) & task.pool.custom[task.hist]
    count = task.chunk.over(custom, first, last + 1)
    good: Bools = (count == 0) | (count == last + 1 - first)
    if (here & ~good).any():
        node = task.call.node.args[0]
        say_mixed_buckets(task.call, task.windows, task.chunk, here & ~good, node)
    return here & good


def _say_kind(
    task: Task, here: Bools, cells: _Cells, left: HistogramPool, right: HistogramPool
) -> None:
    odd = np.zeros(here.shape, dtype=bool)
    if task.counter:
        gauge = (task.hist >= 0) & (task.pool.hint[task.hist] == GAUGE)
        running = task.chunk.running(gauge)
        count = running[cells.series, cells.last + 1] - running[cells.series, cells.first]
        odd[here] = count > 0
    else:
        odd[here] = (left.hint != GAUGE) | (right.hint != GAUGE)
    text = NOT_COUNTER if task.counter else NOT_GAUGE
    for name in names_of(task.windows, task.chunk, odd):
        task.call.annotations.warn(text + quote(name), task.call.node.args[0])


def _samples(task: Task, series: Index, index: Index) -> Samples:
    pool = task.pool.take(task.hist[series, index])
    return Samples(pool, task.chunk.ts_ms[task.chunk.ts_row[series], index])


def _interpolated(
    task: Task, cells: _Cells, at_ms: Ints, rows: Bools, before: Index
) -> HistogramPool:
    """Interpolate, for some cells, between the sample ``before`` and the next."""
    series = cells.series[rows]
    ends = [_samples(task, series, before[rows] + i) for i in (0, 1)]
    counter = np.full(len(series), task.counter)
    notes, node = task.call.annotations, task.call.node.args[0]
    return between_histograms(ends[0], ends[1], at_ms[rows], counter, notes, node)


def _put(pool: HistogramPool, rows: Bools, other: HistogramPool) -> HistogramPool:
    order = np.arange(pool.size)
    order[rows] = pool.size + np.arange(other.size)
    return concat_pools([pool, other]).take(order)


def _left(task: Task, extension: Extension, cells: _Cells) -> tuple[HistogramPool, Bools]:
    """Return the histograms at the start, and where a reset lay in what was interpolated."""
    found = _samples(task, cells.series, cells.first)
    at = extension.starts_ms[cells.steps]
    spanned = np.zeros(len(at), dtype=bool)
    rows = (found.ts_ms < at) & extension.smoothed
    if not rows.any():
        return found.pool, spanned
    after = _samples(task, cells.series[rows], cells.first[rows] + 1)
    spanned[rows] = is_reset(after.pool, found.pool.take(rows))
    return _put(found.pool, rows, _interpolated(task, cells, at, rows, cells.first)), spanned


def _right(task: Task, extension: Extension, cells: _Cells) -> HistogramPool:
    found = _samples(task, cells.series, cells.last)
    at = extension.ends_ms[cells.steps]
    low = np.broadcast_to(task.chunk.low, task.chunk.shape)[cells.series, cells.steps]
    rows = (found.ts_ms > at) & (cells.last > low) & extension.smoothed
    if not rows.any():
        return found.pool
    return _put(found.pool, rows, _interpolated(task, cells, at, rows, cells.last - 1))


def _with_resets(
    task: Task,
    extension: Extension,
    cells: _Cells,
    pools: tuple[HistogramPool, HistogramPool, HistogramPool],
    spanned: Bools,
) -> HistogramPool:
    """Add, for each reset within the range, the histogram before it."""
    left, right, result = pools
    size = len(cells.series)
    start = cells.first + np.where(spanned, 2, 1)
    first = _samples(task, cells.series, cells.first)
    moved = (first.ts_ms < extension.starts_ms[cells.steps]) & extension.smoothed & ~spanned
    # samples strictly between the ends, each against the one before
    count = np.maximum(cells.last - start, 0)
    window = np.repeat(np.arange(size), count)
    within = np.arange(len(window)) - np.repeat(np.cumsum(count) - count, count)
    at = start[window] + within
    hit = pair_marks(task.chunk, task.pool, falls=True)[cells.series[window], at]
    hit &= (within > 0) | ~moved[window]
    lost = [task.hist[cells.series[window[hit]], at[hit] - 1]]
    owner = [window[hit]]
    everything = concat_pools([task.pool, left])
    # where the start was interpolated, the first of them against that
    rows = np.flatnonzero(moved & (count > 0))
    head = task.pool.take(task.hist[cells.series[rows], start[rows]])
    rows = rows[is_reset(head, left.take(rows))]
    lost.append(task.pool.size + rows)
    owner.append(rows)
    # and the end against the last of them
    rows = np.flatnonzero(start <= cells.last)
    by_left = (count[rows] == 0) & ~spanned[rows]
    own = task.hist[cells.series[rows], cells.last[rows] - 1]
    before = np.where(by_left, task.pool.size + rows, own)
    fell = is_reset(right.take(rows), everything.take(before))
    lost.append(before[fell])
    owner.append(rows[fell])
    owners = np.concatenate(owner)
    if not len(owners):
        return result
    order = np.argsort(owners, kind="stable")
    found, segment = np.unique(owners[order], return_inverse=True)
    total = totals(everything.take(np.concatenate(lost)[order]), segment.reshape(-1), len(found))
    more = combine(result.take(found), total.pool)
    if more.reconciled.any() or total.reconciled.any():
        task.call.annotations.info(_ADDITION, task.call.node.args[0])
    rows_with = np.zeros(size, dtype=bool)
    rows_with[found] = True
    return _put(result, rows_with, more.pool)
