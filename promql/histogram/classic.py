"""Quantiles and fractions of classic histograms: series with an ``le`` label.

The buckets of one histogram are sorted by bound once for all steps; each step is then a row of
arithmetic. Rules and tolerances are those of Prometheus's ``promql/quantile.go``.
"""

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from model.labels import LabelTable
from model.samples import Bools, Floats
from promql.annotations import Monotonicity, place_of
from promql.ast import Expr
from promql.block import Block, Index
from promql.call import CallContext, metric_name
from promql.functions.labels import column_of
from promql.text import quote

_SMALL_DELTA: Final = 1e-12  # quantile.go smallDeltaTolerance
BUCKET_LABEL: Final = "le"
_NUMBER: Final = re.compile(
    r"[+-]?(?:inf(?:inity)?|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
    r"|0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)p[+-]?[0-9]+)",
    re.IGNORECASE | re.ASCII,
)


class Buckets(Struct, frozen=True):
    """Classic histograms: h of them, at most B buckets each, T steps.

    Attributes:
        first: int64, shape (h,): a row of the vector whose labels (but ``le``) they share.
        bounds: float64, shape (h, B, T): upper bounds, rising, those present first.
        counts: float64, shape (h, B, T): cumulative.
        number: int64, shape (h, T): buckets at each step.
    """

    first: Index
    bounds: Floats
    counts: Floats
    number: Index


def classic_buckets(call: CallContext, block: Block, node: Expr) -> Buckets | None:
    """Sort the floats of a vector into histograms; tells about series without a usable ``le``."""
    floats = block.floats
    plan = None
    if floats.all():
        plan = block.labels.once("buckets", lambda: (_plan(block.labels),))[0]
    if plan is not None:
        shape = (*plan.bounds.shape, block.values.shape[1])
        bounds = np.broadcast_to(plan.bounds[:, :, None], shape)
        number = np.full((shape[0], shape[2]), shape[1])
        return Buckets(plan.first, bounds, block.values[plan.order].reshape(shape), number)
    column = column_of(block.labels, BUCKET_LABEL)
    bounds_of = np.array([_bound(text) for text in column.values])
    bound = bounds_of[column.codes]
    readable = np.array([_readable(text) for text in column.values])[column.codes]
    for row in np.flatnonzero(~readable & floats.any(axis=1)).tolist():
        name = metric_name(block.labels, row)
        text = f'bucket label "le" is missing or has a malformed value of {quote(column.values[column.codes[row]])}'
        call.annotations.warn(text + (f" for metric name {quote(name)}" if name else ""), node)
    rows = np.flatnonzero(readable & floats.any(axis=1))
    if not len(rows):
        return None
    table = block.labels.take(rows)
    names = [n for n in table.columns if n != BUCKET_LABEL]
    group, first = table.group(names)
    order = np.lexsort((bound[rows], group))
    sorted_group = group[order]
    starts = np.searchsorted(sorted_group, np.arange(len(first)))
    place = np.arange(len(order)) - starts[sorted_group]
    shape = (len(first), int(place.max()) + 1, block.values.shape[1])
    bounds, counts = np.full(shape, np.inf), np.full(shape, np.nan)
    here = np.zeros(shape, dtype=bool)
    source = rows[order]
    bounds[sorted_group, place] = bound[source][:, None]
    counts[sorted_group, place] = block.values[source]
    here[sorted_group, place] = floats[source]
    if not here.all():
        front = np.argsort(~here, axis=1, kind="stable")
        bounds = np.take_along_axis(bounds, front, axis=1)
        counts = np.take_along_axis(counts, front, axis=1)
    return Buckets(rows[first], bounds, counts, here.sum(axis=1))


class _Plan(Struct, frozen=True):
    """Where the buckets of histograms stand that all have equally many.

    Attributes:
        first: int64, shape (h,): a row of each histogram.
        order: int64, shape (h * B,): rows, histogram by histogram, by bound.
        bounds: float64, shape (h, B).
    """

    first: Index
    order: Index
    bounds: Floats


def _plan(table: LabelTable) -> _Plan | None:
    """Sort the rows of a table; None if some are no buckets, or if histograms differ in size."""
    column = table.columns.get(BUCKET_LABEL)
    used, code = np.unique([] if column is None else column.codes, return_inverse=True)
    if column is None or not all(_readable(column.values[one]) for one in used.tolist()):
        return None
    bound = np.array([_bound(column.values[one]) for one in used.tolist()])[code.reshape(-1)]
    group, first = table.group([name for name in table.columns if name != BUCKET_LABEL])
    counts = np.bincount(group)
    if not len(first) or (counts != counts[0]).any():
        return None
    order = np.lexsort((bound, group))
    return _Plan(first, order, bound[order].reshape(len(first), -1))


def _bound(text: str) -> float:
    """Read a bound as Go does: no blanks, no underscores, hexadecimal with an exponent; NaN if it is none."""
    if not _NUMBER.fullmatch(text):
        return np.nan
    try:
        value = float.fromhex(text) if "x" in text.lower() else float(text)
    except OverflowError:
        return np.nan
    return np.nan if np.isinf(value) and "i" not in text.lower() else value


def _readable(text: str) -> bool:
    return bool(text) and not np.isnan(_bound(text))


def _merge_equal_bounds(buckets: Buckets) -> Buckets:
    """Add up buckets that were given twice, such as le="1" and le="1.0"."""
    bounds, counts, number = buckets.bounds, buckets.counts, buckets.number
    inside = np.arange(bounds.shape[1])[None, :, None] < number[:, None, :]
    same = inside[:, 1:] & (bounds[:, 1:] == bounds[:, :-1])
    if not same.any():
        return buckets
    fresh = inside.copy()
    fresh[:, 1:] &= ~same
    target = np.cumsum(fresh, axis=1) - 1
    new_counts = np.zeros_like(counts)
    new_bounds = np.full_like(bounds, np.inf)
    h, b, t = np.nonzero(inside)
    np.add.at(new_counts, (h, target[h, b, t], t), counts[h, b, t])
    new_bounds[h, target[h, b, t], t] = bounds[h, b, t]
    return Buckets(buckets.first, new_bounds, new_counts, fresh.sum(axis=1))


class Mended(Struct, frozen=True):
    """Counts that rise, and what was done for it; arrays of shape (h, T) but for ``counts``."""

    counts: Floats
    forced: Bools
    min_bucket: Floats
    max_bucket: Floats
    max_diff: Floats


def _make_monotonic(buckets: Buckets) -> Mended:
    """Raise counts that fall behind the bucket before; tiny falls are rounding and not told."""
    shape = buckets.counts.shape[0], buckets.counts.shape[2]
    if _rises_clearly(buckets):
        none = np.zeros(shape)
        return Mended(buckets.counts, np.zeros(shape, dtype=bool), none, none, none)
    counts = buckets.counts.copy()
    forced = np.zeros(shape, dtype=bool)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    most = np.zeros(shape)
    previous = counts[:, 0].copy()
    for i in range(1, counts.shape[1]):
        current = counts[:, i]
        inside = i < buckets.number
        with np.errstate(all="ignore"):
            change = np.abs(current - previous)
            near = change / (np.abs(current) + np.abs(previous)) < _SMALL_DELTA
            same = (current == previous) | near
            fell = inside & ~same & (current < previous)
            diff = previous - current
        low = np.where(fell, np.minimum(low, buckets.bounds[:, i]), low)
        high = np.where(fell, np.maximum(high, buckets.bounds[:, i]), high)
        most = np.where(fell & (diff > most), diff, most)
        forced |= fell
        current = np.where(inside & (same | fell), previous, current)
        counts[:, i] = current
        previous = np.where(inside, current, previous)
    return Mended(counts, forced, low, high, most)


def _rises_clearly(buckets: Buckets) -> bool:
    """Tell whether each count equals the one before or is greater by more than rounding."""
    before, after = buckets.counts[:, :-1], buckets.counts[:, 1:]
    with np.errstate(all="ignore"):
        near = (after - before) / (np.abs(after) + np.abs(before)) < _SMALL_DELTA
    odd = near & (after != before)
    odd |= np.isnan(after) | np.isnan(before)
    if not odd.any():
        return True
    inside = np.arange(1, buckets.counts.shape[1])[None, :, None] < buckets.number[:, None, :]
    return not (odd & inside).any()


def bucket_quantile(q: Floats, buckets: Buckets) -> tuple[Floats, Buckets, Mended]:
    """Return the quantile of each histogram at each step, shape (h, T), and what had to be mended."""
    buckets = _merge_equal_bounds(buckets)
    mended = _make_monotonic(buckets)
    counts, bounds, number = mended.counts, buckets.bounds, buckets.number
    last = np.maximum(number - 1, 0)[:, None, :]

    def at(matrix: Floats, index: Index) -> Floats:
        return np.take_along_axis(matrix, index[:, None, :], axis=1)[:, 0]

    top = np.take_along_axis(bounds, last, axis=1)[:, 0]
    total = np.take_along_axis(counts, last, axis=1)[:, 0]
    with np.errstate(all="ignore"):
        rank = q * total
        before_last = np.arange(counts.shape[1])[None, :, None] < last
        b = (before_last & ~(counts >= rank[:, None, :])).sum(axis=1)
        end, count = at(bounds, b), at(counts, b)
        previous = np.maximum(b - 1, 0)
        start = np.where(b == 0, 0.0, at(bounds, previous))
        below = np.where(b == 0, 0.0, at(counts, previous))
        inner = start + (end - start) * ((rank - below) / (count - below))
        second = np.maximum(last[:, 0] - 1, 0)
        value = np.where((b == 0) & (end <= 0), end, inner)
        value = np.where(b == last[:, 0], at(bounds, second), value)
    odd = (number < 2) | ~np.isposinf(top) | (total == 0)
    value = np.where(odd, np.nan, value)
    value = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, np.where(np.isnan(q), np.nan, value)))
    looked_at = (q >= 0) & (q <= 1) & np.isposinf(top)
    return value, buckets, replace(mended, forced=mended.forced & looked_at)


class Mendings(Struct):
    """What one call had to mend, by metric name, over all its quantiles.

    Attributes:
        counts: Histograms mended at each step, int64, shape (T,).
        notes: Where and how far.
    """

    counts: dict[str, Index] = field(default_factory=dict)
    notes: dict[str, Monotonicity] = field(default_factory=dict)
    _done: Bools | None = None

    def add(
        self, call: CallContext, block: Block, buckets: Buckets, mended: Mended, node: Expr
    ) -> None:
        """Take in histograms whose counts had to be mended; one that was mended stays so for the next quantile."""
        forced = mended.forced if self._done is None else mended.forced & ~self._done
        self._done = mended.forced if self._done is None else self._done | mended.forced
        for i in np.flatnonzero(forced.any(axis=1)).tolist():
            name = metric_name(block.labels, int(buckets.first[i]))
            steps = np.flatnonzero(forced[i])
            found = Monotonicity(
                place_of(node),
                int(call.ts_ms[steps[0]]),
                int(call.ts_ms[steps[-1]]),
                float(mended.min_bucket[i, steps].min()),
                float(mended.max_bucket[i, steps].max()),
                float(mended.max_diff[i, steps].max()),
                0,
            )
            self.notes.setdefault(name, found).merge(found)
            counts = self.counts.setdefault(name, np.zeros(call.steps, dtype=np.int64))
            counts += forced[i]

    def say(self, call: CallContext) -> None:
        """Tell of it; the number of samples is Prometheus's, which adds what it has so far again at each step."""
        for name, found in self.notes.items():
            found.count = _repeated_count(self.counts[name].tolist())
            call.annotations.forced_monotonicity(name, found)


def _repeated_count(counts: Iterable[int]) -> int:
    total = 0
    for count in counts:
        total = 2 * (total + count) % 2**64 if total else count
    return total


def bucket_fraction(lower: Floats, upper: Floats, buckets: Buckets) -> Floats:
    """Return the share of observations between two values; shape (h, T)."""
    buckets = _merge_equal_bounds(buckets)
    counts, number = buckets.counts, buckets.number
    last = np.maximum(number - 1, 0)[:, None, :]
    total = np.take_along_axis(counts, last, axis=1)[:, 0]
    top = np.take_along_axis(buckets.bounds, last, axis=1)[:, 0]
    with np.errstate(all="ignore"):
        ranks = [_rank_of(x, buckets.bounds, counts, number) for x in (lower, upper)]
        low, high = (np.where(rank > total, total, rank) for rank in ranks)
        value = (high - low) / total
    value = np.where(lower >= upper, 0.0, value)
    odd = (number < 1) | ~np.isposinf(top) | (total == 0)
    return np.where(odd | np.isnan(lower) | np.isnan(upper), np.nan, value)


def _rank_of(x: Floats, bounds: Floats, counts: Floats, number: Index) -> Floats:
    """Return how many observations lie at or below x, interpolated; shape (h, T)."""
    inside = np.arange(bounds.shape[1])[None, :, None] < number[:, None, :]
    b = (inside & (bounds < x)).sum(axis=1)
    b = np.minimum(b, np.maximum(number - 1, 0))
    end = np.take_along_axis(bounds, b[:, None, :], axis=1)[:, 0]
    count = np.take_along_axis(counts, b[:, None, :], axis=1)[:, 0]
    previous = np.maximum(b - 1, 0)[:, None, :]
    before = np.take_along_axis(bounds, previous, axis=1)[:, 0]
    below = np.where(b == 0, 0.0, np.take_along_axis(counts, previous, axis=1)[:, 0])
    start = np.where(b == 0, np.where(end > 0, 0.0, -np.inf), before)
    share = np.where(np.isinf(end), 0.0, (x - start) / (end - start))
    # nothing is known of how a bucket without a lower edge is filled
    share = np.where(np.isneginf(start), 1.0, share)
    rank = below + (count - below) * np.clip(share, 0.0, 1.0)
    return np.where(x >= end, count, np.where(x <= start, below, rank))
