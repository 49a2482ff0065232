"""Functions of one window of samples, each from its definition."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from tests.promql.reference import deriv, rate, resets, variance
from tests.promql.rowwise.series import Points, Window


def quantile(q: float, values: Sequence[float]) -> float:
    """Interpolate between the two nearest ranks; NaN is the smallest value."""
    if not values or math.isnan(q):
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    ordered = sorted(values, key=lambda v: (not math.isnan(v), v if not math.isnan(v) else 0.0))
    rank = q * (len(ordered) - 1)
    low = math.floor(rank)
    weight = rank - low
    below, above = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    if weight == 0 or below == above:
        return below
    return below * (1 - weight) + above * weight


def _sum(values: Sequence[float]) -> float:
    return sum(values, 0.0)


def _greatest(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return max(known) if known else math.nan


def _least(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return min(known) if known else math.nan


def changes(values: Sequence[float]) -> float:
    """How often a value differs from the one before; NaN does not differ from NaN."""
    return float(sum(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in pairwise(values)))


def _mad(values: Sequence[float]) -> float:
    if any(math.isnan(v) for v in values):
        return math.nan
    middle = quantile(0.5, values)
    return quantile(0.5, [abs(v - middle) for v in values])


def _deviation(values: Sequence[float]) -> float:
    return math.sqrt(variance(values))


def _increase(window: Window) -> float | None:
    per_second = _rate(window)
    return None if per_second is None else per_second * (window.end_ms - window.start_ms) / 1000


def _rate(window: Window) -> float | None:
    return rate(window.points, window.end_ms, window.end_ms - window.start_ms)


def _delta(window: Window) -> float | None:
    """Extrapolate as a rate does, but falls are falls."""
    if len(window.points) < 2:
        return None
    (first_t, first), (last_t, last) = window.points[0], window.points[-1]
    sampled = (last_t - first_t) / 1000
    between = sampled / (len(window.points) - 1)
    to_start, to_end = (first_t - window.start_ms) / 1000, (window.end_ms - last_t) / 1000
    to_start = between / 2 if to_start >= between * 1.1 else to_start
    to_end = between / 2 if to_end >= between * 1.1 else to_end
    return (last - first) * (sampled + to_start + to_end) / sampled


def _last_two(window: Window, *, counter: bool) -> float | None:
    if len(window.points) < 2:
        return None
    (before_t, before), (t, value) = window.points[-2:]
    rise = value if counter and value < before else value - before
    return rise / ((t - before_t) / 1000) if counter else rise


def _of(change: Callable[[Sequence[float]], float]) -> Callable[[Window], float | None]:
    return lambda window: change([v for _, v in window.points]) if window.points else None


def _place(choose: Callable[[Points], int]) -> Callable[[Window], float | None]:
    return lambda w: choose(w.points) / 1000 if w.points else None


def _time_of(points: Points, extreme: float) -> int:
    """Return when the extreme was last there; the first time if all is NaN."""
    return max((t for t, v in points if v == extreme), default=points[0][0])


WINDOW_FUNCTIONS: Final[Mapping[str, Callable[[Window], float | None]]] = {
    "rate": _rate,
    "increase": _increase,
    "delta": _delta,
    "irate": lambda w: _last_two(w, counter=True),
    "idelta": lambda w: _last_two(w, counter=False),
    "deriv": lambda w: deriv(w.points, w.end_ms, w.end_ms - w.start_ms),
    "changes": _of(changes),
    "resets": _of(resets),
    "sum_over_time": _of(_sum),
    "avg_over_time": _of(lambda values: _sum(values) / len(values)),
    "min_over_time": _of(_least),
    "max_over_time": _of(_greatest),
    "count_over_time": _of(lambda values: float(len(values))),
    "last_over_time": _of(lambda values: values[-1]),
    "first_over_time": _of(lambda values: values[0]),
    "present_over_time": _of(lambda _: 1.0),
    "stddev_over_time": _of(_deviation),
    "stdvar_over_time": _of(variance),
    "mad_over_time": _of(_mad),
    "ts_of_first_over_time": _place(lambda points: points[0][0]),
    "ts_of_last_over_time": _place(lambda points: points[-1][0]),
}
KEEP_NAME: Final = frozenset({"last_over_time", "first_over_time"})
