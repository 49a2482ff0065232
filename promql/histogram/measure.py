"""Quantiles, fractions and spread of native histograms, all rows at once (``promql/quantile.go``)."""

import numpy as np
from msgspec import Struct

from model.histogram.layout import negative_edges, positive_edges
from model.histogram.pool import HistogramPool
from model.samples import Bools, Floats
from promql.rounding import exp2, log2


class Line(Struct, frozen=True):
    """All buckets of each row from the lowest to the highest; shape (m, B).

    Attributes:
        lower: Lower edges.
        upper: Upper edges.
        counts: Observations.
        zero: Which column is the zero bucket.
    """

    lower: Floats
    upper: Floats
    counts: Floats
    zero: int


def all_buckets(pool: HistogramPool) -> Line:
    """Lay out negative, zero and positive buckets."""
    lower, upper = positive_edges(pool)
    near, far = negative_edges(pool)
    wide = pool.zero_threshold[:, None]
    return Line(
        lower=np.concatenate([-far[:, ::-1], -wide, lower], axis=1),
        upper=np.concatenate([-near[:, ::-1], wide, upper], axis=1),
        counts=np.concatenate(
            [pool.negative[:, ::-1], np.maximum(pool.zero_count, 0)[:, None], pool.positive], axis=1
        ),
        zero=near.shape[1],
    )


def _one_sided(pool: HistogramPool) -> tuple[Bools, Bools]:
    """Tell which rows have only positive, and which only negative buckets."""
    positive, negative = (pool.positive != 0).any(axis=1), (pool.negative != 0).any(axis=1)
    return positive & ~negative, negative & ~positive


def quantile(pool: HistogramPool, q: Floats) -> tuple[Floats, Bools, Bools]:
    """Return quantiles.

    Returns:
        ``(values, spoilt, skewed)``, shape (m,) each: where NaN observations made the result NaN,
        and where they only moved it up.
    """
    line = all_buckets(pool)
    counts, total = line.counts, pool.count
    with np.errstate(all="ignore"):
        forward = np.isnan(pool.sum) | (q < 0.5)
        rank = np.where(forward, q, 1 - q) * total
        up = np.cumsum(counts, axis=1)
        down = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
        some = counts != 0
        reached_up, reached_down = some & (up >= rank[:, None]), some & (down >= rank[:, None])
        width = counts.shape[1]
        last_some = width - 1 - some[:, ::-1].argmax(axis=1)
        at_up = np.where(reached_up.any(axis=1), reached_up.argmax(axis=1), last_some)
        at_down = np.where(
            reached_down.any(axis=1),
            width - 1 - reached_down[:, ::-1].argmax(axis=1),
            some.argmax(axis=1),
        )
        at = np.where(forward, at_up, at_down)
        rows = np.arange(pool.size)
        lower, upper, inside = line.lower[rows, at], line.upper[rows, at], counts[rows, at]
        none = ~some.any(axis=1)  # observations, but no bucket that holds them
        lower, upper = np.where(none, 0.0, lower), np.where(none, 0.0, upper)
        count = np.minimum(np.where(forward, up[rows, at], down[rows, at]), total)
        lower, upper, fixed, value = _edges(pool, lower, upper)
        short = ~fixed & (count < rank)
        within = np.where(forward, rank - (count - inside), count - rank)
        fraction = within / inside
        linear = lower + (upper - lower) * fraction
        low_log, high_log = log2(np.abs(lower)), log2(np.abs(upper))
        raised = exp2(low_log + (high_log - low_log) * fraction)
        mirrored = -exp2(high_log + (low_log - high_log) * (1 - fraction))
        inner = np.where(lower > 0, raised, mirrored)
        inner = np.where(pool.custom | ((lower <= 0) & (upper >= 0)), linear, inner)
        out = np.where(fixed, value, np.where(short, upper, inner))
        nan_sum = np.isnan(pool.sum)
        spoilt = short & nan_sum
        skewed = ~short & ~fixed & nan_sum & (counts.sum(axis=1) < total)
        out = np.where(spoilt, np.nan, out)
    odd = (total == 0) | np.isnan(q)
    below, above = q < 0, q > 1
    plain = odd | below | above
    out = np.where(odd, np.nan, out)
    out = np.where(below, -np.inf, np.where(above, np.inf, out))
    return out, spoilt & ~plain, skewed & ~plain


def _edges(
    pool: HistogramPool, lower: Floats, upper: Floats
) -> tuple[Floats, Floats, Bools, Floats]:
    """Mend the edges of the buckets quantiles fell into; where that already gives the value, say so."""
    only_positive, only_negative = _one_sided(pool)
    custom = pool.custom
    zero = ~custom & (lower < 0) & (upper > 0)
    lower = np.where(zero & only_positive, 0.0, lower)
    upper = np.where(zero & only_negative, 0.0, upper)
    lowest = custom & np.isneginf(lower)
    highest = custom & ~lowest & np.isposinf(upper)
    fixed = (lowest & (upper <= 0)) | highest
    value = np.where(highest, lower, upper)
    lower = np.where(lowest, 0.0, lower)
    return lower, upper, fixed, value


def share_below(line: Line, x: Floats, linear: Bools) -> Floats:
    """Return which part of each bucket lies at or below x; shape (m, B)."""
    at = x[:, None]
    with np.errstate(all="ignore"):
        straight = (at - line.lower) / (line.upper - line.lower)
        low_log, high_log = log2(np.abs(line.lower)), log2(np.abs(line.upper))
        log = log2(np.abs(at))
        positive = (log - low_log) / (high_log - low_log)
        negative = 1 - (log - high_log) / (low_log - high_log)
        part = np.where(linear, straight, np.where(at > 0, positive, negative))
    part = np.where(np.isneginf(line.lower), 1.0, part)
    part = np.where(np.isposinf(line.upper), 0.0, part)
    return np.where(line.upper <= at, 1.0, np.where(line.lower >= at, 0.0, part))


def fraction(pool: HistogramPool, lower: Floats, upper: Floats) -> tuple[Floats, Bools]:
    """Return the share of observations between two values, and where NaN observations were left out."""
    line = all_buckets(pool)
    only_positive, only_negative = _one_sided(pool)
    custom = pool.custom[:, None]
    around_zero = ~custom & (line.lower <= 0) & (line.upper >= 0)
    from_zero = (around_zero & only_positive[:, None]) | (
        custom & np.isneginf(line.lower) & (line.upper > 0)
    )
    line = Line(
        np.where(from_zero, 0.0, line.lower),
        np.where(around_zero & only_negative[:, None], 0.0, line.upper),
        line.counts,
        line.zero,
    )
    linear = custom | around_zero
    nan_sum = np.isnan(pool.sum)
    buckets = line.counts.sum(axis=1)
    count = np.where(nan_sum, buckets, pool.count)
    with np.errstate(all="ignore"):
        ranks = []
        for x in (lower, upper):
            rank = (line.counts * share_below(line, x, linear)).sum(axis=1)
            beyond = (
                np.where(line.counts != 0, line.upper, -np.inf).max(axis=1, initial=-np.inf) <= x
            )
            ranks.append(np.where(beyond, count, np.minimum(rank, count)))
        value = (ranks[1] - ranks[0]) / pool.count
    odd = (pool.count == 0) | np.isnan(lower) | np.isnan(upper)
    empty = lower >= upper
    value = np.where(odd, np.nan, np.where(empty, 0.0, value))
    return value, nan_sum & (buckets < pool.count) & ~odd & ~empty


def variance(pool: HistogramPool) -> Floats:
    """Return the estimated population variance; geometric means stand for exponential buckets."""
    line = all_buckets(pool)
    with np.errstate(all="ignore"):
        mean = (pool.sum / pool.count)[:, None]
        geometric = np.sqrt(line.upper * line.lower)
        geometric = np.where(line.upper < 0, -geometric, geometric)
        around_zero = (line.lower <= 0) & (line.upper >= 0)
        value = np.where(around_zero, 0.0, geometric)
        value = np.where(pool.custom[:, None], (line.upper + line.lower) / 2, value)
        away = np.where(line.counts == 0, 0.0, line.counts * (value - mean) ** 2)
        out: Floats = away.sum(axis=1) / pool.count
    return out
