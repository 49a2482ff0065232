"""The rate family on native histograms: differences, with counter resets taken into account."""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.histogram.layout import coarser
from model.histogram.pool import GAUGE, HistogramPool, Int32s, concat_pools
from model.histogram.resets import is_equal, is_reset
from model.samples import Bools, Floats
from promql.call import CallContext
from promql.functions.mixed import names_of, say_mixed_buckets
from promql.functions.reduce import window_reduce
from promql.functions.starts import start_resets
from promql.histogram.arithmetic import combine, totals
from promql.text import quote
from promql.windows import Chunk, Index, Windows

NOT_COUNTER = "this native histogram metric is not a counter: "
NOT_GAUGE = "this native histogram metric is not a gauge: "


def pair_marks(chunk: Chunk, pool: HistogramPool, *, falls: bool) -> Bools:
    """Tell, for each sample (k, N), whether it and the one before are histograms and it fell (or differs)."""
    assert chunk.hist is not None
    marks = np.zeros(chunk.hist.shape, dtype=bool)
    both = (chunk.hist[:, 1:] >= 0) & (chunk.hist[:, :-1] >= 0)
    if both.any():
        now, before = pool.take(chunk.hist[:, 1:][both]), pool.take(chunk.hist[:, :-1][both])
        marks[:, 1:][both] = is_reset(now, before) if falls else ~is_equal(now, before)
    return marks


class Task(Struct, frozen=True):
    """A call, the windows it is about and the chunk of them at hand; ``counter`` unless it is about gauges."""

    call: CallContext
    windows: Windows
    chunk: Chunk
    counter: bool

    @property
    def pool(self) -> HistogramPool:
        """The histograms the chunk points to."""
        assert self.windows.pool is not None
        return self.windows.pool

    @property
    def hist(self) -> Int32s:
        """Rows of the pool, shape (k, N)."""
        assert self.chunk.hist is not None
        return self.chunk.hist


class Rise(Struct, frozen=True):
    """What histograms gained over windows: ``pool`` has a row for each mark in ``where`` (k, S)."""

    where: Bools
    pool: HistogramPool
    first_count: Floats


def rise(task: Task, where: Bools) -> Rise:
    """Work out the difference over windows (k, S) that hold only histograms, two at least."""
    pool, node = task.pool, task.call.node.args[0]
    low, high = (np.broadcast_to(x, task.chunk.shape) for x in (task.chunk.low, task.chunk.high))
    fell = np.zeros(task.hist.shape, dtype=bool)
    if task.counter:
        fell = pair_marks(task.chunk, pool, falls=True) | start_resets(task.chunk)
    where = where & _same_kind(task, where, fell)
    series, steps = np.nonzero(where)
    lo, hi = low[series, steps], high[series, steps]
    first, last = pool.take(task.hist[series, lo]), pool.take(task.hist[series, hi - 1])
    second = pool.take(task.hist[series, np.minimum(lo + 1, hi - 1)])
    begins_anew = fell[series, np.minimum(lo + 1, hi - 1)]
    base = _emptied(first, second, begins_anew)
    difference = combine(last, base, -1.0)
    if difference.reconciled.any():
        task.call.annotations.info(
            "mismatched custom buckets were reconciled during subtraction", node
        )
    result = difference.pool
    if task.counter:
        schemas = np.where(task.hist >= 0, pool.schema[task.hist], 0).astype(np.float64)
        lowest = window_reduce(replace(task.chunk, values=schemas), np.minimum, np.inf)[
            series, steps
        ]
        first_schema = np.where(begins_anew, result.schema, lowest)
        result = coarser(result, np.minimum(result.schema, first_schema).astype(np.int32))
        result = _add_resets(task, fell, result, (series, lo, hi))
    _say_kind(task, where)
    hint = np.full(result.size, GAUGE, dtype=np.int8)
    return Rise(where, replace(result, hint=hint), first.count)


def _same_kind(task: Task, where: Bools, fell: Bools) -> Bools:
    """Tell which windows hold one kind of buckets; the first sample does not count before a reset."""
    custom = task.pool.custom[task.hist] & (task.hist >= 0)
    low, high = (np.broadcast_to(x, task.chunk.shape) for x in (task.chunk.low, task.chunk.high))
    second = np.minimum(low + 1, task.hist.shape[1] - 1)
    anew = np.take_along_axis(fell, second, axis=1)
    start = np.where(anew, low + 1, low)
    good: Bools
    if task.counter:
        count = task.chunk.over(custom, start, high)
        good = (count == 0) | (count == high - start)
    else:
        last = np.take_along_axis(custom, np.clip(high - 1, 0, None), axis=1)
        inner = np.minimum(low, task.hist.shape[1] - 1)
        good = last == np.take_along_axis(custom, inner, axis=1)
    if (where & ~good).any():
        say_mixed_buckets(
            task.call, task.windows, task.chunk, where & ~good, task.call.node.args[0]
        )
    return good


def _emptied(first: HistogramPool, second: HistogramPool, anew: Bools) -> HistogramPool:
    """Return the base of a difference: nothing, in the second sample's layout, where it begins anew."""
    wide = anew[:, None]
    schema = np.where(anew, second.schema, first.schema).astype(np.int32)
    bounds = first.bounds
    if anew.any():
        bounds = np.where(wide, second.bounds, first.bounds)
    return replace(
        first,
        schema=schema,
        count=np.where(anew, 0.0, first.count),
        sum=np.where(anew, 0.0, first.sum),
        zero_count=np.where(anew, 0.0, first.zero_count),
        zero_threshold=np.where(anew, 0.0, first.zero_threshold),
        positive=np.where(wide, 0.0, first.positive),
        negative=np.where(wide, 0.0, first.negative),
        bounds=bounds,
    )


def _add_resets(
    task: Task, fell: Bools, result: HistogramPool, cells: tuple[Index, Index, Index]
) -> HistogramPool:
    """Add, for each reset behind a window's second sample, the sample before it."""
    series, low, high = cells
    count = high - low
    window = np.repeat(np.arange(len(series)), count)
    within = np.arange(len(window)) - np.repeat(np.cumsum(count) - count, count)
    at = low[window] + within
    hit = (within >= 2) & fell[series[window], at]
    if not hit.any():
        return result
    window, at = window[hit], at[hit]
    found, segment = np.unique(window, return_inverse=True)
    before = task.pool.take(task.hist[series[window], at - 1])
    lost = totals(before, segment.reshape(-1), len(found))
    more = combine(result.take(found), lost.pool)
    if more.reconciled.any() or lost.reconciled.any():
        text = "mismatched custom buckets were reconciled during addition"
        task.call.annotations.info(text, task.call.node.args[0])
    both = concat_pools([result, more.pool])
    order = np.arange(result.size)
    order[found] = result.size + np.arange(len(found))
    return both.take(order)


def _say_kind(task: Task, where: Bools) -> None:
    """Warn where a gauge is treated as a task.counter or the other way round."""
    gauge = (task.hist >= 0) & (task.pool.hint[task.hist] == GAUGE)
    if task.counter:
        odd = task.chunk.over(gauge, task.chunk.low, task.chunk.high) > 0
        text = NOT_COUNTER
    else:
        low, high = (
            np.broadcast_to(x, task.chunk.shape) for x in (task.chunk.low, task.chunk.high)
        )
        ends = [np.clip(low, 0, gauge.shape[1] - 1), np.clip(high - 1, 0, None)]
        odd = ~(np.take_along_axis(gauge, ends[0], 1) & np.take_along_axis(gauge, ends[1], 1))
        text = NOT_GAUGE
    for name in names_of(task.windows, task.chunk, where & odd):
        task.call.annotations.warn(text + quote(name), task.call.node.args[0])


def rise_with_starts(task: Task, where: Bools, inside: Bools) -> Rise:
    """Work out the difference over windows (k, S), also those whose first sample began within them (``inside``)."""
    several = np.broadcast_to(task.chunk.count() >= 2, task.chunk.shape)
    found = rise(task, where & several)
    if not inside.any():
        return found
    low = np.broadcast_to(task.chunk.low, task.chunk.shape)
    inside = np.broadcast_to(inside, task.chunk.shape)

    def first_of(cells: Bools) -> HistogramPool:
        series, steps = np.nonzero(cells)
        return task.pool.take(task.hist[series, low[series, steps]])

    # what began within the window counts from nothing
    more = found.where & inside
    pool = found.pool
    if more.any():
        place = np.flatnonzero(more[found.where])
        done = combine(pool.take(place), first_of(more))
        order = np.arange(pool.size)
        order[place] = pool.size + np.arange(len(place))
        pool = concat_pools([pool, done.pool]).take(order)
    alone = where & ~several & inside
    everything = found.where | alone
    number = np.full(task.chunk.shape, -1)
    number[found.where] = np.arange(pool.size)
    number[alone] = pool.size + np.arange(int(alone.sum()))
    single = first_of(alone)
    both = concat_pools([pool, single]).take(number[everything])
    counts = np.concatenate([found.first_count, single.count])[number[everything]]
    # a sample alone is taken as it is, hint and all
    hint = np.where(number[everything] < pool.size, GAUGE, both.hint).astype(np.int8)
    return Rise(everything, replace(both, hint=hint), counts)


def instant_difference(task: Task, where: Bools) -> tuple[Bools, HistogramPool]:
    """Return what the last two histograms of windows differ by: ``(where it is known, histograms)``."""
    series, steps = np.nonzero(where)
    high = np.broadcast_to(task.chunk.high, task.chunk.shape)[series, steps]
    last = task.pool.take(task.hist[series, high - 1])
    before = task.pool.take(task.hist[series, high - 2])
    gauges = (last.hint == GAUGE, before.hint == GAUGE)
    odd = where.copy()
    odd[where] = (gauges[0] | gauges[1]) if task.counter else ~(gauges[0] & gauges[1])
    for name in names_of(task.windows, task.chunk, odd):
        task.call.annotations.warn(
            (NOT_COUNTER if task.counter else NOT_GAUGE) + quote(name), task.call.node.args[0]
        )
    anew = np.zeros(len(series), dtype=bool)
    if task.counter:
        anew = is_reset(last, before) | start_resets(task.chunk)[series, high - 1]
    done = combine(last, before, -1.0)
    possible = done.possible | anew
    if (done.reconciled & ~anew).any():
        text = "mismatched custom buckets were reconciled during subtraction"
        task.call.annotations.info(text, task.call.node.args[0])
    kept = where.copy()
    kept[where] = possible
    if (where & ~kept).any():
        say_mixed_buckets(
            task.call, task.windows, task.chunk, where & ~kept, task.call.node.args[0]
        )
    order = np.where(anew, done.pool.size + np.arange(len(series)), np.arange(len(series)))
    pool = concat_pools([done.pool, last]).take(order[possible])
    return kept, replace(pool, hint=np.full(pool.size, GAUGE, dtype=np.int8))
