"""The operators ``</`` and ``>/``: cutting a histogram off above or below a value."""

import numpy as np
from msgspec.structs import replace

from model.histogram.layout import negative_edges, positive_edges
from model.histogram.pool import HistogramPool
from model.samples import Bools, Floats
from promql.histogram.measure import Line, share_below


def trimmed_above(pool: HistogramPool, limit: Floats) -> HistogramPool:
    """Keep observations at or below ``limit`` (m,)."""
    return _trim(pool, limit, upper=True)


def trimmed_below(pool: HistogramPool, limit: Floats) -> HistogramPool:
    """Keep observations above ``limit`` (m,)."""
    return _trim(pool, limit, upper=False)


def _trim(pool: HistogramPool, limit: Floats, *, upper: bool) -> HistogramPool:
    custom = pool.custom[:, None]
    low, high = positive_edges(pool)
    near, far = negative_edges(pool)
    positive, positive_sum = _side(pool.positive, low, high, limit, custom, upper=upper, sign=1.0)
    negative, negative_sum = _side(
        pool.negative, -far, -near, limit, custom, upper=upper, sign=-1.0
    )
    zero, zero_sum = _zero(pool, limit, upper=upper)
    some = pool.zero_count > 0
    count = positive.sum(axis=1) + negative.sum(axis=1) + np.where(some, zero, 0.0)
    changed = (positive != pool.positive).any(axis=1) | (negative != pool.negative).any(axis=1)
    changed |= some & (zero != pool.zero_count)
    return replace(
        pool,
        count=np.where(changed, count, pool.count),
        sum=np.where(changed, positive_sum + negative_sum + zero_sum, pool.sum),
        zero_count=zero,
        positive=positive,
        negative=negative,
    )


def _middle(low: Floats, high: Floats, custom: Bools, sign: float) -> Floats:
    """Return what stands for the observations between two edges."""
    with np.errstate(all="ignore"):
        inner = np.where(custom, (low + high) / 2, sign * np.sqrt(np.abs(low * high)))
        endless = np.where(np.isinf(high), 0.0, np.where(high > 0, high / 2, high))
        return np.where(np.isinf(low), endless, np.where(np.isinf(high), low, inner))


def _side(
    counts: Floats,
    low: Floats,
    high: Floats,
    limit: Floats,
    custom: Bools,
    *,
    upper: bool,
    sign: float,
) -> tuple[Floats, Floats]:
    """Return what is left of the buckets of one side, and its sum."""
    at = np.broadcast_to(limit[:, None], counts.shape)
    custom = np.broadcast_to(custom, counts.shape)
    share = share_below(Line(low, high, counts, 0), limit, custom)
    with np.errstate(all="ignore"):
        if upper:
            whole, cut = high <= at, (low < at) & ~(high <= at)
            kept, middle = counts * share, _middle(low, at, custom, sign)
        else:
            whole, cut = low >= at, (high > at) & ~(low >= at)
            kept, middle = counts * (1 - share), _middle(at, high, custom, sign)
        odd_kept, odd_middle = _endless(counts, low, high, at, upper=upper)
        endless = np.isinf(low) | np.isinf(high)
        kept, middle = np.where(endless, odd_kept, kept), np.where(endless, odd_middle, middle)
        kept = np.where(whole, counts, np.where(cut, kept, 0.0))
        middle = np.where(whole, _middle(low, high, custom, sign), middle)
        total = np.where(kept == 0, 0.0, kept * middle).sum(axis=1)
    return kept, total


def _endless(
    counts: Floats, low: Floats, high: Floats, at: Floats, *, upper: bool
) -> tuple[Floats, Floats]:
    """Cut a bucket without a finite edge: half a guess where one edge is known to be above zero, else all or nothing."""
    finite = np.isfinite(high) & (high > 0)
    first = np.isneginf(low)
    if upper:
        inner = first & (at > 0) & finite
        below = first & ~inner & (high <= 0)
        kept = np.where(inner, counts * at / high, np.where(below, counts, 0.0))
        return kept, np.where(inner, at / 2, at)
    inner = first & (at >= 0) & (high > at) & np.isfinite(high)
    top = ~first & np.isposinf(high) & (at >= low)
    kept = np.where(inner, counts * (1 - at / high), np.where(top, counts, 0.0))
    return kept, np.where(inner, (at + high) / 2, at)


def _zero(pool: HistogramPool, limit: Floats, *, upper: bool) -> tuple[Floats, Floats]:
    """Return what is left of the zero bucket, and its sum."""
    positive, negative = (pool.positive != 0).any(axis=1), (pool.negative != 0).any(axis=1)
    low = np.where(positive & ~negative, 0.0, -pool.zero_threshold)
    high = np.where(negative & ~positive, 0.0, pool.zero_threshold)
    with np.errstate(all="ignore"):
        if upper:
            share = np.where(
                limit <= low, 0.0, np.where(limit >= high, 1.0, (limit - low) / (high - low))
            )
            middle = np.where(limit >= high, (low + high) / 2, (low + limit) / 2)
        else:
            share = np.where(
                limit <= low, 1.0, np.where(limit >= high, 0.0, (high - limit) / (high - low))
            )
            middle = np.where(limit <= low, (low + high) / 2, (limit + high) / 2)
        some = pool.zero_count > 0
        kept = np.where(some, pool.zero_count * share, pool.zero_count)
        used = some & (kept != 0)
        return kept, np.where(used, kept, 0.0) * np.where(used, middle, 0.0)
