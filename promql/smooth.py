"""Instant vectors of ``smoothed`` selectors: values between two samples are interpolated (``smoothSeries`` upstream)."""

import numpy as np
from msgspec.structs import replace

from model.histogram.pool import GAUGE, UNKNOWN, HistogramPool, concat_pools
from model.samples import Bools, Ints
from promql.annotations import Annotations
from promql.ast import Expr
from promql.block import Block
from promql.functions.mixed import MIXED_BUCKETS, names_of
from promql.histogram.extended import Samples, between_histograms
from promql.histogram.over_time import WindowResults, only_histograms
from promql.text import quote
from promql.windows import Chunk, Windows


def smooth(node: Expr, windows: Windows, at_ms: Ints, annotations: Annotations) -> Block:
    """Return the value at each time, from windows that reach a lookback to both sides.

    The windows' ranges begin and end at ``at_ms`` (S,), so that ``inner_high`` is the first sample at or
    behind it. Behind the last sample the value stays; before the first there is none.
    """
    out = WindowResults(windows)
    for whole in windows.chunks:
        chunk, had = whole.floats()
        some = np.broadcast_to(chunk.count() > 0, chunk.shape)
        if had is not None:
            for name in names_of(windows, whole, had & some):
                text = "encountered a mix of histograms and floats for metric name "
                annotations.warn(text + quote(name), node)
            some = some & ~had
        assert chunk.inner_high is not None
        after = np.minimum(chunk.inner_high, chunk.high - 1)
        before = np.maximum(chunk.inner_high - 1, chunk.low)
        times = chunk.time_at(before), chunk.time_at(after)
        values = chunk.value_at(before), chunk.value_at(after)
        with np.errstate(all="ignore"):
            inner = values[0] + (values[1] - values[0]) * (at_ms - times[0]) / (times[1] - times[0])
        exact = times[1] == at_ms
        inner = np.where(exact, values[1], np.where(times[1] < at_ms, values[0], inner))
        known = exact | np.atleast_2d(chunk.inner_high > chunk.low)
        out.floats(whole, inner, some & known)
        if had is not None and windows.pool is not None:
            only, had_floats = only_histograms(whole)
            where, pool = _histograms(node, windows, only, had & ~had_floats, at_ms, annotations)
            out.histograms(whole, where, pool)
    block = out.block()
    return replace(block, drop_name=np.zeros(block.size, dtype=bool))


def _histograms(
    node: Expr,
    windows: Windows,
    chunk: Chunk,
    where: Bools,
    at_ms: Ints,
    annotations: Annotations,
) -> tuple[Bools, HistogramPool]:
    assert chunk.hist is not None
    assert chunk.inner_high is not None
    assert windows.pool is not None
    after = np.broadcast_to(np.minimum(chunk.inner_high, chunk.high - 1), chunk.shape)
    before = np.broadcast_to(np.maximum(chunk.inner_high - 1, chunk.low), chunk.shape)
    times = [np.broadcast_to(chunk.time_at(i), chunk.shape) for i in (before, after)]
    rows = [chunk.gather(chunk.hist, i) for i in (before, after)]
    exact = times[1] == at_ms
    behind = (times[1] < at_ms) & where
    inside = (times[0] < at_ms) & (times[1] > at_ms) & where
    custom = [windows.pool.custom[r] for r in rows]
    odd = inside & (custom[0] != custom[1])
    for name in names_of(windows, chunk, odd):
        annotations.warn(MIXED_BUCKETS + quote(name), node)
    inside &= ~odd
    here = (exact & where) | behind | inside
    picked = windows.pool.take(np.where(exact, rows[1], rows[0])[here])
    hint = np.where(behind[here], UNKNOWN, picked.hint).astype(np.int8)
    picked = replace(picked, hint=hint)
    if not inside.any():
        return here, picked
    at = np.broadcast_to(at_ms, chunk.shape)[inside]
    ends = [
        Samples(windows.pool.take(r[inside]), t[inside]) for r, t in zip(rows, times, strict=True)
    ]
    counter = (ends[0].pool.hint != GAUGE) | (ends[1].pool.hint != GAUGE)
    found = between_histograms(ends[0], ends[1], at, counter, annotations, node)
    order = np.arange(picked.size)
    order[inside[here]] = picked.size + np.arange(found.size)
    return here, concat_pools([picked, found]).take(order)
