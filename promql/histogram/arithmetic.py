"""Adding, subtracting and scaling histograms, row by row over whole pools.

Rules are those of Prometheus's ``model/histogram/float_histogram.go``: the coarser schema and the
wider zero bucket win, mismatched custom bounds are reduced to the common ones.
"""

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from model.histogram.layout import (
    aligned,
    coarser,
    common_bounds,
    negative_edges,
    padded_bounds,
    positive_edges,
    same_bounds,
    wider_zero,
)
from model.histogram.pool import GAUGE, UNKNOWN, Hints, HistogramPool, concat_pools
from model.samples import Bools, Floats


class Combined(Struct, frozen=True):
    """What adding two pools row by row gave.

    Attributes:
        pool: The sums; rows that are not ``possible`` say nothing.
        possible: bool, shape (m,): False where exponential meets custom.
        collision: bool, shape (m,): a counter reset met its opposite.
        reconciled: bool, shape (m,): custom bounds did not match.
    """

    pool: HistogramPool
    possible: Bools
    collision: Bools
    reconciled: Bools


def scaled(pool: HistogramPool, factor: Floats) -> HistogramPool:
    """Multiply each row by a number; a negative one makes a gauge."""
    wide = factor[:, None]
    with np.errstate(all="ignore"):
        return replace(
            pool,
            count=pool.count * factor,
            sum=pool.sum * factor,
            zero_count=np.where(pool.custom, 0.0, pool.zero_count * factor),
            positive=np.where(pool.positive == 0, 0.0, pool.positive * wide),
            negative=np.where(pool.negative == 0, 0.0, pool.negative * wide),
            hint=np.where(factor < 0, GAUGE, pool.hint).astype(np.int8),
        )


def divided(pool: HistogramPool, divisor: Floats) -> HistogramPool:
    """Divide each row by a number; division by zero takes the buckets away."""
    wide = divisor[:, None]
    with np.errstate(all="ignore"):
        return replace(
            pool,
            count=pool.count / divisor,
            sum=pool.sum / divisor,
            zero_count=np.where(pool.custom, 0.0, pool.zero_count / divisor),
            positive=np.where((pool.positive == 0) | (wide == 0), 0.0, pool.positive / wide),
            negative=np.where((pool.negative == 0) | (wide == 0), 0.0, pool.negative / wide),
            hint=np.where(divisor < 0, GAUGE, pool.hint).astype(np.int8),
        )


def _with_zero(pool: HistogramPool, threshold: Floats) -> HistogramPool:
    """Widen zero buckets; buckets that went into one are emptied."""
    rows = pool.zero_threshold < threshold
    zero_count, _ = wider_zero(pool, threshold)
    lower, _ = positive_edges(pool)
    near, _ = negative_edges(pool)
    gone, gone_negative = (rows[:, None] & (edge < threshold[:, None]) for edge in (lower, near))
    return replace(
        pool,
        zero_count=np.where(rows, zero_count, pool.zero_count),
        zero_threshold=np.where(rows, threshold, pool.zero_threshold),
        positive=np.where(gone, 0.0, pool.positive),
        negative=np.where(gone_negative, 0.0, pool.negative),
    )


def _same_zero(
    a: HistogramPool, b: HistogramPool, active: Bools
) -> tuple[HistogramPool, HistogramPool]:
    """Give the rows of two pools equal zero buckets."""
    if (a.zero_threshold == b.zero_threshold)[active].all():
        return a, b
    target = np.maximum(a.zero_threshold, b.zero_threshold)
    target = np.where(active, target, 0.0)
    while True:
        _, left = wider_zero(a, np.maximum(target, a.zero_threshold))
        _, right = wider_zero(b, np.maximum(target, b.zero_threshold))
        # a bucket is cut only where the threshold is not the pool's own
        left = np.where(target == a.zero_threshold, target, left)
        right = np.where(target == b.zero_threshold, target, right)
        new = np.where(active, np.maximum(left, right), 0.0)
        if (new == target).all():
            break
        target = new
    return _with_zero(a, np.where(active, target, 0.0)), _with_zero(
        b, np.where(active, target, 0.0)
    )


def combined_hints(a: Hints, b: Hints) -> tuple[Hints, Bools]:
    """Return the hint of a sum, and where a reset met its opposite."""
    out = np.where(a == b, a, np.where((a == GAUGE) | (b == GAUGE), GAUGE, UNKNOWN)).astype(np.int8)
    clash = (a != b) & (a != GAUGE) & (b != GAUGE) & (a != UNKNOWN) & (b != UNKNOWN)
    return out, clash


def combine(a: HistogramPool, b: HistogramPool, sign: float = 1.0) -> Combined:
    """Add the rows of two pools (subtract with ``sign`` -1)."""
    custom = a.custom
    possible = np.equal(custom, b.custom)
    exponential = ~custom & ~b.custom
    hint, clash = combined_hints(a.hint, b.hint)
    reconciled = custom & possible & ~same_bounds(a, b)
    if reconciled.any():
        width = max(a.bounds.shape[1], b.bounds.shape[1])
        left, right = common_bounds(a, b)
        a, b = _chosen(reconciled, left, a, width), _chosen(reconciled, right, b, width)
    a, b = _same_zero(a, b, exponential)
    schema = np.minimum(a.schema, b.schema)
    a, b = coarser(a, schema), coarser(b, schema)
    first, positive, more = aligned(a.first, a.positive, b.first, b.positive)
    negative_first, negative, less = aligned(
        a.negative_first, a.negative, b.negative_first, b.negative
    )
    with np.errstate(all="ignore"):
        pool = HistogramPool(
            schema=schema,
            count=a.count + sign * b.count,
            sum=a.sum + sign * b.sum,
            zero_count=a.zero_count + sign * b.zero_count,
            zero_threshold=a.zero_threshold,
            hint=hint,
            first=first,
            positive=positive + sign * more,
            negative_first=negative_first,
            negative=negative + sign * less,
            bounds=a.bounds,
        )
    return Combined(pool, possible, clash & possible, reconciled)


def _chosen(rows: Bools, yes: HistogramPool, no: HistogramPool, width: int) -> HistogramPool:
    """Take ``yes`` for some rows and ``no`` for the others."""
    both = concat_pools([replace(yes, bounds=padded_bounds(yes, width)), no])
    return both.take(np.where(rows, np.arange(len(rows)), len(rows) + np.arange(len(rows))))


class Totals(Struct, frozen=True):
    """The sums of segments; fields as in Combined, one row per segment, and ``size``, how many were added."""

    pool: HistogramPool
    possible: Bools
    collision: Bools
    reconciled: Bools
    size: npt.NDArray[np.int64]


def totals(pool: HistogramPool, segment: npt.NDArray[np.int64], count: int) -> Totals:
    """Add up rows by segment: neighbours pairwise, then the sums pairwise, and so on.

    Prometheus adds one after the other, which gives another width of the zero bucket where one ends
    within a populated bucket of another; senders do not let it.

    Args:
        pool: m histograms.
        segment: int64, shape (m,), rising: segment of each row; none of the ``count`` may be empty.
        count: How many segments there are.
    """
    size = np.bincount(segment, minlength=count)
    hints = pool.hint
    seen = [np.bincount(segment, hints == kind, count) > 0 for kind in (1, 2)]
    possible, reconciled = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    total, amount = (
        _kahan_by_segment(pool.sum, segment, count),
        _kahan_by_segment(pool.count, segment, count),
    )
    while len(segment) > count:
        starts = np.searchsorted(segment, np.arange(count))
        place = np.arange(len(segment)) - starts[segment]
        left = np.flatnonzero(place % 2 == 0)
        has_right = np.zeros(len(left), dtype=bool)
        inner = left + 1 < len(segment)
        has_right[inner] = segment[left[inner] + 1] == segment[left[inner]]
        pairs = left[has_right]
        done = combine(pool.take(pairs), pool.take(pairs + 1))
        np.logical_and.at(possible, segment[pairs], done.possible)
        np.logical_or.at(reconciled, segment[pairs], done.reconciled)
        both = concat_pools([done.pool, pool.take(left[~has_right])])
        order = np.empty(len(left), dtype=np.int64)
        order[np.flatnonzero(has_right)] = np.arange(len(pairs))
        order[np.flatnonzero(~has_right)] = np.arange(len(pairs), len(left))
        pool, segment = both.take(order), segment[left]
    pool = replace(pool, sum=total, count=amount)
    return Totals(pool, possible, seen[0] & seen[1], reconciled, size)


def begun_alike(pool: HistogramPool, segment: npt.NDArray[np.int64]) -> Bools:
    """Tell which rows come before their segment changes between exponential and custom buckets; shape (m,)."""
    first = np.flatnonzero(np.diff(segment, prepend=-1))[segment]
    other = np.cumsum(pool.custom != pool.custom[first])
    before = other - (pool.custom != pool.custom[first])
    out: Bools = (before == before[first]) & (pool.custom == pool.custom[first])
    return out


def misfits(pool: HistogramPool, segment: npt.NDArray[np.int64]) -> Bools:
    """Tell which rows are the first of their segment with another kind of buckets than its first one; shape (m,)."""
    first = np.flatnonzero(np.diff(segment, prepend=-1))[segment]
    other = pool.custom != pool.custom[first]
    before = np.cumsum(other) - other
    out: Bools = other & (before == before[first])
    return out


def mended(pool: HistogramPool, segment: npt.NDArray[np.int64]) -> Bools:
    """Tell which segments' custom bounds had to be reconciled, as long as they could be added at all."""
    first = np.flatnonzero(np.diff(segment, prepend=-1))
    alike = begun_alike(pool, segment) & pool.custom
    differ = alike & ~same_bounds(pool, pool.take(first[segment]))
    out: Bools = np.bincount(segment, differ, len(first)) > 0
    return out


def means(pool: HistogramPool, segment: npt.NDArray[np.int64], count: int) -> Totals:
    """Return the means of segments, also where their sums are too large for a float; see ``totals``."""
    done = totals(pool, segment, count)
    size = done.size.astype(np.float64)
    mean = divided(done.pool, size)
    endless = _overflown(mean)
    if endless.any():
        small = totals(divided(pool, size[segment]), segment, count).pool
        both = concat_pools([mean, small])
        mean = both.take(np.where(endless, count + np.arange(count), np.arange(count)))
    return replace(done, pool=mean)


def _overflown(pool: HistogramPool) -> Bools:
    out = np.isinf(pool.count) | np.isinf(pool.sum) | np.isinf(pool.zero_count)
    out |= np.isinf(pool.positive).any(axis=1) | np.isinf(pool.negative).any(axis=1)
    return out


def _kahan_by_segment(values: Floats, segment: npt.NDArray[np.int64], count: int) -> Floats:
    """Sum by segment with compensation."""
    starts = np.searchsorted(segment, np.arange(count))
    sizes = np.diff(np.append(starts, len(segment)))
    total, rest = np.zeros(count), np.zeros(count)
    with np.errstate(all="ignore"):
        for i in range(int(sizes.max(initial=0))):
            rows = np.flatnonzero(sizes > i)
            value = values[starts[rows] + i]
            new = total[rows] + value
            bigger = np.abs(total[rows]) >= np.abs(value)
            low = np.where(bigger, (total[rows] - new) + value, (value - new) + total[rows])
            rest[rows] = np.where(np.isinf(new), 0.0, rest[rows] + low)
            total[rows] = new
        return np.where(np.isinf(total), total, total + rest)
