"""Native histograms one at a time, each operation from its definition (``model/histogram/float_histogram.go``)."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec.structs import replace

from tests.promql.histograms import Hist

Bucket = tuple[float, float, float]  # lower edge, upper edge, observations


def edges(schema: int, index: int) -> tuple[float, float]:
    """Return the edges of a positive bucket."""
    return 2 ** ((index - 1) * 2.0**-schema), 2 ** (index * 2.0**-schema)


def coarser(hist: Hist, schema: int) -> Hist:
    """Merge buckets until the resolution is that of a lower schema."""

    def merged(buckets: dict[int, float]) -> dict[int, float]:
        out: dict[int, float] = {}
        for index, count in buckets.items():
            target = math.ceil(index / 2 ** (hist.schema - schema))
            out[target] = out.get(target, 0.0) + count
        return out

    return replace(hist, schema=schema, positive=merged(hist.positive), negative=merged(hist.negative))  # fmt: skip


def widened(hist: Hist, threshold: float) -> Hist:
    """Move what lies within a wider zero bucket into it; a bucket that straddles its edge widens it further."""
    if threshold == hist.zero_threshold:
        return hist
    for side in (hist.positive, hist.negative):
        for index, count in side.items():
            lower, upper = edges(hist.schema, index)
            if count and lower < threshold < upper:
                return widened(hist, upper)
    keep = [
        {i: c for i, c in side.items() if edges(hist.schema, i)[0] >= threshold}
        for side in (hist.positive, hist.negative)
    ]
    moved = sum(sum(side.values()) for side in (hist.positive, hist.negative))
    moved -= sum(sum(side.values()) for side in keep)
    return replace(hist, zero_threshold=threshold, zero_count=hist.zero_count + moved, positive=keep[0], negative=keep[1])  # fmt: skip


def plus(left: Hist, right: Hist, sign: float = 1.0) -> Hist:
    """Return the sum, or with a sign of -1 the difference."""
    while left.zero_threshold != right.zero_threshold:
        widest = max(left.zero_threshold, right.zero_threshold)
        left, right = widened(left, widest), widened(right, widest)
    schema = min(left.schema, right.schema)
    left, right = coarser(left, schema), coarser(right, schema)

    def both(mine: dict[int, float], other: dict[int, float]) -> dict[int, float]:
        return {k: mine.get(k, 0.0) + sign * other.get(k, 0.0) for k in {*mine, *other}}

    return replace(
        left,
        count=left.count + sign * right.count,
        sum=left.sum + sign * right.sum,
        zero_count=left.zero_count + sign * right.zero_count,
        positive=both(left.positive, right.positive),
        negative=both(left.negative, right.negative),
    )


def times(hist: Hist, factor: float) -> Hist:
    """Return it with every number of observations multiplied."""
    return replace(
        hist,
        count=hist.count * factor,
        sum=hist.sum * factor,
        zero_count=hist.zero_count * factor,
        positive={k: v * factor for k, v in hist.positive.items()},
        negative={k: v * factor for k, v in hist.negative.items()},
    )


def total(hists: Sequence[Hist]) -> Hist:
    """Return the sum of some."""
    out = hists[0]
    for one in hists[1:]:
        out = plus(out, one)
    return out


def is_reset(before: Hist, after: Hist) -> bool:
    """Tell whether a counter began anew: something that cannot become less, or finer, did."""
    if after.count < before.count or after.schema > before.schema:
        return True
    if after.zero_threshold < before.zero_threshold:
        return True
    wide = widened(before, after.zero_threshold)
    if wide.zero_threshold != after.zero_threshold or after.zero_count < wide.zero_count:
        return True
    wide = coarser(wide, after.schema)
    return any(
        getattr(after, side).get(index, 0.0) < count
        for side in ("positive", "negative")
        for index, count in getattr(wide, side).items()
    )


def resets(hists: Sequence[Hist]) -> float:
    """Return how often a counter began anew."""
    return float(sum(is_reset(a, b) for a, b in pairwise(hists)))


def increase(points: list[tuple[int, Hist]], start_ms: int, end_ms: int, *, counter: bool) -> Hist | None:  # fmt: skip
    """Return the rise over a window, extrapolated to its ends as that of floats is."""
    if len(points) < 2:
        return None
    (first_t, first), (last_t, last) = points[0], points[-1]
    hists = [hist for _, hist in points]
    if counter and is_reset(first, hists[1]):
        hists[0] = Hist(schema=hists[1].schema)  # nothing of it is looked at, its layout neither
    schema = min(hist.schema for hist in hists) if counter else last.schema
    rise = plus(coarser(last, schema), hists[0], -1.0)
    if counter:
        for before, after in pairwise(hists):
            rise = plus(rise, before) if is_reset(before, after) else rise
    sampled = (last_t - first_t) / 1000
    between = sampled / (len(points) - 1)
    to_start, to_end = (first_t - start_ms) / 1000, (end_ms - last_t) / 1000
    to_start = between / 2 if to_start >= between * 1.1 else to_start
    to_end = between / 2 if to_end >= between * 1.1 else to_end
    if counter and rise.count > 0 and first.count >= 0:
        to_start = min(to_start, sampled * first.count / rise.count)
    return times(rise, (sampled + to_start + to_end) / sampled)


def buckets(hist: Hist) -> list[Bucket]:
    """Return the populated buckets, lowest first; the zero bucket ends at zero where only one side is populated."""

    def side(counts: dict[int, float]) -> Iterator[Bucket]:
        for index in sorted(counts):
            if counts[index]:
                yield (*edges(hist.schema, index), counts[index])

    above, below = list(side(hist.positive)), list(side(hist.negative))
    found = [(-upper, -lower, count) for lower, upper, count in reversed(below)]
    if hist.zero_count:
        width = hist.zero_threshold
        found.append((0.0 if above and not below else -width, 0.0 if below and not above else width, hist.zero_count))  # fmt: skip
    return found + above


def quantile(q: float, hist: Hist) -> float:
    """Return the quantile, interpolated within its bucket: from below in the lower half, from above in the upper."""
    if q < 0 or q > 1:
        return math.copysign(math.inf, q - 0.5)
    if not hist.count:
        return math.nan
    found = buckets(hist)
    if q < 0.5:
        rank, left = q * hist.count, 0.0
        for lower, upper, count in found:
            left += count
            if left >= rank:
                return _within(lower, upper, (rank - (left - count)) / count, hist)
    rank, right = (1 - q) * hist.count, 0.0
    for lower, upper, count in reversed(found):
        right += count
        if right >= rank:
            return _within(lower, upper, (right - rank) / count, hist)
    return math.nan


def _within(lower: float, upper: float, part: float, hist: Hist) -> float:
    if max(abs(lower), abs(upper)) <= hist.zero_threshold:
        return lower + (upper - lower) * part
    if lower > 0:
        return float(lower * (upper / lower) ** part)
    return float(upper * (lower / upper) ** (1 - part))


def fraction(low: float, high: float, hist: Hist) -> float:
    """Return the part of the observations between two values."""
    if not hist.count or math.isnan(low) or math.isnan(high):
        return math.nan
    if low >= high:
        return 0.0
    inside = sum(count * _share(low, high, lower, upper, hist) for lower, upper, count in buckets(hist))  # fmt: skip
    return inside / hist.count


def _share(low: float, high: float, lower: float, upper: float, hist: Hist) -> float:
    """Return the part of a bucket that lies between two values."""
    low, high = max(low, lower), min(high, upper)
    if low >= high:
        return 0.0
    if max(abs(lower), abs(upper)) <= hist.zero_threshold:
        return (high - low) / (upper - lower)
    low, high, lower, upper = (math.log2(abs(edge)) for edge in (low, high, lower, upper))
    return (high - low) / (upper - lower)


def spread(hist: Hist) -> float:
    """Return the variance, each bucket standing for its (geometric) middle."""
    if not hist.count:
        return math.nan
    mean = hist.sum / hist.count
    out = 0.0
    for lower, upper, count in buckets(hist):
        middle = 0.0 if lower <= 0 <= upper else math.copysign(math.sqrt(lower * upper), lower)
        out += count * (middle - mean) ** 2
    return out / hist.count
