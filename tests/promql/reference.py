"""A slow engine, one sample at a time, that says what some functions must give."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

Points = list[tuple[int, float]]


def window(points: Points, end_ms: int, range_ms: int) -> Points:
    """Return the samples in (end - range, end]; NaN stands for itself."""
    return [(t, v) for t, v in points if end_ms - range_ms < t <= end_ms]


def rate(points: Points, end_ms: int, range_ms: int) -> float | None:
    """Per-second rise with Prometheus's extrapolation."""
    if len(points) < 2:
        return None
    times, values = [t for t, _ in points], [v for _, v in points]
    rise = values[-1] - values[0]
    for before, after in pairwise(values):
        rise += before if after < before else 0.0
    sampled = (times[-1] - times[0]) / 1000
    between = sampled / (len(points) - 1)
    to_start = (times[0] - (end_ms - range_ms)) / 1000
    to_end = (end_ms - times[-1]) / 1000
    to_start = between / 2 if to_start >= between * 1.1 else to_start
    to_end = between / 2 if to_end >= between * 1.1 else to_end
    if rise > 0 and values[0] >= 0:
        to_start = min(to_start, sampled * values[0] / rise)
    return rise * (sampled + to_start + to_end) / sampled / (range_ms / 1000)


def over(change: Callable[[Sequence[float]], float]) -> Callable[[Points, int, int], float | None]:
    """Lift a function of values to windows."""

    def run(points: Points, end_ms: int, range_ms: int) -> float | None:
        return change([v for _, v in points]) if points else None

    return run


def quantile(q: float, values: Sequence[float]) -> float:
    """Interpolated quantile; no NaN."""
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] * (1 - (rank - low)) + ordered[high] * (rank - low)


def deriv(points: Points, end_ms: int, range_ms: int) -> float | None:
    """Slope of the least squares line."""
    if len(points) < 2:
        return None
    xs, ys = [(t - points[0][0]) / 1000 for t, _ in points], [v for _, v in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    up = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return up / sum((x - mean_x) ** 2 for x in xs)


def variance(values: Sequence[float]) -> float:
    """Population variance; equal values have none, however their mean is rounded."""
    if len(set(values)) == 1 and math.isfinite(values[0]):
        return 0.0
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / len(values)


def changes(values: Sequence[float]) -> float:
    """How often a value differs from the one before."""
    return float(sum(a != b for a, b in pairwise(values)))


def resets(values: Sequence[float]) -> float:
    """How often a value is lower than the one before."""
    return float(sum(b < a for a, b in pairwise(values)))
