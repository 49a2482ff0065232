"""Telling counter resets and changes between histograms that follow each other."""

import numpy as np

from model.histogram.layout import (
    aligned,
    coarser,
    common_bounds,
    negative_edges,
    positive_edges,
    same_bounds,
    wider_zero,
)
from model.histogram.pool import NOT_RESET, RESET, HistogramPool, Int32s
from model.samples import Bools, Floats


def is_reset(current: HistogramPool, previous: HistogramPool) -> Bools:
    """Tell which rows fell against the row before them (``DetectReset`` upstream); shape (m,)."""
    told = np.isin(current.hint, (RESET, NOT_RESET))
    out: Bools = (current.hint == RESET) | (~told & (current.count < previous.count))
    rest = ~told & ~out
    out |= rest & current.custom & ~previous.custom
    out |= rest & (current.schema > previous.schema) & ~current.custom
    rest &= ~out
    both_custom = rest & current.custom & previous.custom
    if both_custom.any():
        rows = np.flatnonzero(both_custom)
        out[rows] |= _custom_fell(current.take(rows), previous.take(rows))
    exponential = np.flatnonzero(rest & ~current.custom & ~previous.custom)
    if len(exponential):
        out[exponential] |= _exponential_fell(current.take(exponential), previous.take(exponential))
    return out


def _custom_fell(current: HistogramPool, previous: HistogramPool) -> Bools:
    differ = ~same_bounds(current, previous)
    out = _buckets_fell(current, previous)
    if differ.any():
        rows = np.flatnonzero(differ)
        out[rows] = _buckets_fell(*common_bounds(current.take(rows), previous.take(rows)))
    return out


def _buckets_fell(current: HistogramPool, previous: HistogramPool) -> Bools:
    _, now, before = aligned(current.first, current.positive, previous.first, previous.positive)
    out: Bools = np.any(np.less(now, before), axis=1)
    return out


def _exponential_fell(current: HistogramPool, previous: HistogramPool) -> Bools:
    threshold = current.zero_threshold
    out: Bools = np.asarray(threshold < previous.zero_threshold)
    target = np.maximum(threshold, previous.zero_threshold)
    zero, reached = wider_zero(previous, target)
    same = previous.zero_threshold == target
    zero = np.where(same, previous.zero_count, zero)
    cut = np.not_equal(reached, target)
    np.logical_or(out, ~same & cut, out=out)
    np.logical_or(out, current.zero_count < zero, out=out)
    previous = coarser(previous, current.schema)
    for edges, sides in ((positive_edges, _positive), (negative_edges, _negative)):
        # what lies in the zero bucket was compared there
        kept = [
            np.where(edges(pool)[0] < threshold[:, None], 0.0, sides(pool)[1])
            for pool in (current, previous)
        ]
        _, now, before = aligned(sides(current)[0], kept[0], sides(previous)[0], kept[1])
        np.logical_or(out, (now < before).any(axis=1), out=out)
    return out


def _positive(pool: HistogramPool) -> tuple[Int32s, Floats]:
    return pool.first, pool.positive


def _negative(pool: HistogramPool) -> tuple[Int32s, Floats]:
    return pool.negative_first, pool.negative


def is_equal(a: HistogramPool, b: HistogramPool) -> Bools:
    """Tell which rows are equal, hints apart; empty buckets do not count; shape (m,)."""

    def same(x: object, y: object) -> Bools:
        left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        return np.equal(left, right) | (np.isnan(left) & np.isnan(right))

    out: Bools = (a.schema == b.schema) & same(a.count, b.count) & same(a.sum, b.sum)
    out &= same(a.zero_threshold, b.zero_threshold) & same(a.zero_count, b.zero_count)
    out &= ~a.custom | same_bounds(a, b)
    for side in (_positive, _negative):
        _, left, right = aligned(*side(a), *side(b))
        out &= same(left, right).all(axis=1)
    return out
