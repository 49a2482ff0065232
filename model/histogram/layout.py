"""Bucket counts brought onto common columns: shifting, widening, coarser schemas, common custom bounds."""

from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

import numpy as np
from msgspec.structs import replace

from model.histogram.pool import CUSTOM_SCHEMA, HistogramPool, Int32s
from model.samples import Bools, Floats

_MAX_FLOAT: Final = np.finfo(np.float64).max
_FINEST: Final = 8  # the schema with the narrowest buckets
_STRETCH: Final = 2  # how much wider columns may become so that all rows begin with the same bucket
_NARROW: Final = 32  # columns that any rows may be stretched to

# prometheus model/histogram/generic.go exponentialBounds was not rounded to the nearest float:
# for each bound in [0.5, 1) of the finest schema, by how many units in the last place less one it is below
_ULPS_BELOW: Final = (
    "1111112111211111112311222222222211211121122211221122102211221122"
    "1111112222332132112111211112111111121011213311221222112121332222"
    "2121223322322122222222323233323311221121223321332233212232332232"
    "2243223233433343333333444455435422322333324422333243223333543344"
)


def trimmed(first: Int32s, counts: Floats) -> tuple[Int32s, Floats]:
    """Take away empty columns: each row then begins with its first bucket that is not empty."""
    some = counts != 0
    if not some.any():
        return np.zeros_like(first), counts[:, :0]
    lead = np.where(some.any(axis=1), some.argmax(axis=1), 0)
    width = counts.shape[1]
    last = np.where(some.any(axis=1), width - some[:, ::-1].argmax(axis=1), 0)
    wide = int((last - lead).max())
    if wide == width:
        return first, counts
    index = lead[:, None] + np.arange(wide)
    out = np.take_along_axis(counts, np.minimum(index, width - 1), axis=1)
    out[index >= width] = 0.0
    return (first + lead).astype(np.int32), out


def on_common_columns(pool: HistogramPool) -> HistogramPool:
    """Let all rows begin with the same bucket, if that does not make them much wider."""
    first, positive = _common(pool.first, pool.positive)
    negative_first, negative = _common(pool.negative_first, pool.negative)
    if first is pool.first and negative_first is pool.negative_first:
        return pool
    return replace(
        pool,
        first=first,
        positive=positive,
        negative_first=negative_first,
        negative=negative,
    )


def _common(first: Int32s, counts: Floats) -> tuple[Int32s, Floats]:
    if not len(first) or (first == first[0]).all():
        return first, counts
    some = np.logical_or.reduce(counts != 0, axis=1)
    if not some.any():
        return np.zeros_like(first), counts
    width = counts.shape[1]
    low = int(first[some].min())
    by = np.where(some, first - low, 0)
    wide = int(by.max()) + width
    if wide > max(width * _STRETCH, _NARROW):
        return first, counts
    out = np.zeros((len(counts), wide))
    np.put_along_axis(out, by[:, None] + np.arange(width), counts, axis=1)
    return np.full_like(first, low), out


def aligned(
    a_first: Int32s, a_counts: Floats, b_first: Int32s, b_counts: Floats
) -> tuple[Int32s, Floats, Floats]:
    """Lay two sides out on the same columns, row by row: ``(first, a, b)``."""
    a_first, a_counts = trimmed(a_first, a_counts)
    b_first, b_counts = trimmed(b_first, b_counts)
    a_some, b_some = (a_counts != 0).any(axis=1), (b_counts != 0).any(axis=1)
    # a side without any count must not stretch the other
    a_first = np.where(a_some, a_first, b_first).astype(np.int32)
    b_first = np.where(b_some, b_first, a_first).astype(np.int32)
    first = np.minimum(a_first, b_first)
    a_width = np.where(a_some, a_counts.shape[1], 0)
    b_width = np.where(b_some, b_counts.shape[1], 0)
    end = np.maximum(a_first + a_width, b_first + b_width)
    width = int((end - first).max(initial=0))
    return (
        first,
        _shifted(a_counts, a_first - first, width),
        _shifted(b_counts, b_first - first, width),
    )


def _shifted(counts: Floats, by: Int32s, width: int) -> Floats:
    have = counts.shape[1]
    if have == width and not by.any():
        return counts
    index = np.arange(width) - by[:, None]
    inside = (index >= 0) & (index < have)
    if not have:
        return np.zeros((len(counts), width))
    out: Floats = np.take_along_axis(counts, np.clip(index, 0, have - 1), axis=1)
    return np.where(inside, out, 0.0)


def coarser(pool: HistogramPool, schema: Int32s) -> HistogramPool:
    """Merge exponential buckets down to a schema for each row; rows that are as coarse stay."""
    down = np.where(pool.custom, 0, pool.schema - schema)
    if not (down > 0).any():
        return pool
    down = np.maximum(down, 0)
    first, positive = _merged(pool.first, pool.positive, down)
    negative_first, negative = _merged(pool.negative_first, pool.negative, down)
    return replace(
        pool,
        schema=np.where(down > 0, schema, pool.schema).astype(np.int32),
        first=first,
        positive=positive,
        negative_first=negative_first,
        negative=negative,
    )


def _merged(first: Int32s, counts: Floats, down: Int32s) -> tuple[Int32s, Floats]:
    first, counts = trimmed(first, counts)
    if not counts.shape[1]:
        return first, counts
    index = first[:, None] + np.arange(counts.shape[1])
    target = ((index - 1) >> down[:, None]) + 1
    new_first = target[:, 0]
    place = target - new_first[:, None]
    out = np.zeros((len(counts), int(place.max()) + 1))
    np.add.at(out, (np.arange(len(counts))[:, None], place), counts)
    return new_first.astype(np.int32), out


def same_bounds(a: HistogramPool, b: HistogramPool) -> Bools:
    """Tell which rows of two pools have equal custom bounds; shape (m,)."""
    width = max(a.bounds.shape[1], b.bounds.shape[1])
    left, right = padded_bounds(a, width), padded_bounds(b, width)
    equal = (left == right) | (np.isnan(left) & np.isnan(right))
    out: Bools = equal.all(axis=1)
    return out


def padded_bounds(pool: HistogramPool, width: int) -> Floats:
    """Return the bounds in at least ``width`` columns."""
    missing = width - pool.bounds.shape[1]
    if missing <= 0:
        return pool.bounds
    return np.concatenate([pool.bounds, np.full((pool.size, missing), np.nan)], axis=1)


def common_bounds(a: HistogramPool, b: HistogramPool) -> tuple[HistogramPool, HistogramPool]:
    """Bring the rows of two pools with custom buckets onto the bounds that both have."""
    known = (a.bounds[:, :, None] == b.bounds[:, None, :]).any(axis=2)
    width = int(known.sum(axis=1).max(initial=0))
    order = np.argsort(~known, axis=1, kind="stable")[:, :width]
    kept = np.take_along_axis(a.bounds, order, axis=1)
    kept = np.where(np.arange(width) < known.sum(axis=1)[:, None], kept, np.nan)
    return _onto_bounds(a, kept), _onto_bounds(b, kept)


def _onto_bounds(pool: HistogramPool, kept: Floats) -> HistogramPool:
    """Move each bucket into the one that ends at the next kept bound."""
    index = pool.first[:, None] + np.arange(pool.positive.shape[1])
    number = (~np.isnan(pool.bounds)).sum(axis=1)[:, None]
    inner = np.clip(index, 0, max(pool.bounds.shape[1] - 1, 0))
    has_bounds = pool.bounds.shape[1] > 0
    end = (
        np.take_along_axis(pool.bounds, inner, axis=1)
        if has_bounds
        else np.full(index.shape, np.nan)
    )
    end = np.where(index < number, end, np.inf)
    target = (kept[:, None, :] < end[:, :, None]).sum(axis=2)
    positive = np.zeros((pool.size, kept.shape[1] + 1))
    np.add.at(positive, (np.arange(pool.size)[:, None], target), pool.positive)
    return replace(pool, first=np.zeros(pool.size, dtype=np.int32), positive=positive, bounds=kept)


def exponential_bounds(index: Int32s, schema: Int32s) -> Floats:
    """Return upper bounds of exponential buckets; the last finite one is the greatest float."""
    up, down = np.maximum(schema, 0), np.maximum(-schema, 0)
    place = (index & ((1 << up) - 1)) << (_FINEST - up)
    exponent = ((index >> up) << down) + 1
    with np.errstate(over="ignore"):
        bound = np.ldexp(_fractions()[place], exponent)
    return np.where((place == 0) & (exponent == 1025), _MAX_FLOAT, bound)


@lru_cache(maxsize=1)
def _fractions() -> Floats:
    """Return 2 ** (i / 256 - 1) for i from 0 to 255, rounded as Prometheus's table has it."""
    with localcontext() as context:
        context.prec = 40
        step = Decimal(2) ** (Decimal(1) / 2**_FINEST)
        exact = [float(step**i / 2) for i in range(2**_FINEST)]
    bits = np.array(exact).view(np.int64) - np.array([int(c) - 1 for c in _ULPS_BELOW])
    out: Floats = bits.view(np.float64)
    return out


def positive_edges(pool: HistogramPool) -> tuple[Floats, Floats]:
    """Return ``(lower, upper)`` of the positive buckets, shape (m, P) each."""
    index: Int32s = np.add(pool.first[:, None], np.arange(pool.positive.shape[1], dtype=np.int32))
    custom = pool.custom[:, None]
    schema = np.where(custom, 0, pool.schema[:, None]).astype(np.int32)
    lower, upper = (
        exponential_bounds(np.subtract(index, 1), schema),
        exponential_bounds(index, schema),
    )
    if not custom.any():
        return lower, upper
    number = (~np.isnan(pool.bounds)).sum(axis=1)[:, None]
    width = pool.bounds.shape[1]

    def at(i: Int32s) -> Floats:
        if not width:
            return np.where(i < 0, -np.inf, np.inf)
        found = np.take_along_axis(pool.bounds, np.clip(i, 0, width - 1), axis=1)
        return np.where(i < 0, -np.inf, np.where(i >= number, np.inf, found))

    return np.where(custom, at(np.subtract(index, 1)), lower), np.where(custom, at(index), upper)


def negative_edges(pool: HistogramPool) -> tuple[Floats, Floats]:
    """Return ``(near, far)``: distances from zero of the negative buckets' edges, shape (m, N) each."""
    spread = np.arange(pool.negative.shape[1], dtype=np.int32)
    index: Int32s = np.add(pool.negative_first[:, None], spread)
    schema = np.where(pool.schema == CUSTOM_SCHEMA, 0, pool.schema)[:, None].astype(np.int32)
    return exponential_bounds(np.subtract(index, 1), schema), exponential_bounds(index, schema)


def wider_zero(pool: HistogramPool, threshold: Floats) -> tuple[Floats, Floats]:
    """Work out the zero bucket if it were at least as wide as ``threshold``.

    Returns:
        ``(zero_count, threshold)``, shape (m,) each: a populated bucket that would be cut is
        taken in whole, which widens the threshold.
    """
    lower, upper = positive_edges(pool)
    near, far = negative_edges(pool)
    some, some_negative = pool.positive != 0, pool.negative != 0
    while True:
        wide = threshold[:, None]
        reach = np.where(some & (lower < wide), upper, -np.inf).max(axis=1, initial=-np.inf)
        other = np.where(some_negative & (near < wide), far, -np.inf)
        new = np.maximum(threshold, np.maximum(reach, other.max(axis=1, initial=-np.inf)))
        if (new == threshold).all():
            break
        threshold = new
    wide = threshold[:, None]
    taken = np.where(lower < wide, pool.positive, 0.0).sum(axis=1)
    taken = taken + np.where(near < wide, pool.negative, 0.0).sum(axis=1)
    return pool.zero_count + taken, threshold
