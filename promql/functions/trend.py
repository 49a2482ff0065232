"""Functions that look at the order of a window's floats: slopes and smoothing."""

import numpy as np

from model.errors import QueryError
from model.samples import Floats
from promql.block import Block
from promql.call import CallContext
from promql.functions.over_time import float_function
from promql.functions.table import MATRIX, SCALAR, function
from promql.windows import Chunk


def _regression(chunk: Chunk, origin_ms: Floats | None) -> tuple[Floats, Floats]:
    """Fit a line by least squares.

    Returns:
        ``(slope, intercept)`` per second and at ``origin_ms`` (S,); each window's first sample if None.
    """
    if chunk.uniform and len(chunk.low) == 1 and chunk.high[0] > chunk.low[0]:
        return _one_window(chunk, origin_ms)
    slope, intercept = np.empty(chunk.shape), np.empty(chunk.shape)
    for part, values, times, inside in chunk.cells():
        count = np.maximum(inside.sum(axis=2), 1)
        start = times[..., :1] if origin_ms is None else origin_ms[:, None]
        x = np.where(inside, (times - start) / 1000, 0.0)
        first = values[..., :1]
        y = np.where(inside, values - first, 0.0)
        mean_x, mean_y = x.sum(axis=2) / count, y.sum(axis=2) / count
        away = np.where(inside, x - mean_x[..., None], 0.0)
        up = np.where(inside, y - mean_y[..., None], 0.0)
        rise = (away * up).sum(axis=2) / (away * away).sum(axis=2)
        flat = (np.where(inside, values, first) == first).all(axis=2)
        endless = np.isinf(first[..., 0])
        rise = np.where(flat, np.where(endless, np.nan, 0.0), rise)
        slope[part] = rise
        level = np.where(flat, 0.0, mean_y - rise * mean_x) + first[..., 0]
        intercept[part] = np.where(flat & endless, np.nan, level)
    return slope, intercept


def _one_window(chunk: Chunk, origin_ms: Floats | None) -> tuple[Floats, Floats]:
    """Fit a line where series share one window: what times weigh is worked out once for each target."""
    columns = slice(int(chunk.low[0]), int(chunk.high[0]))
    values, times = chunk.values[:, columns], chunk.ts_ms[:, columns]
    x = (times - (times[:, :1] if origin_ms is None else origin_ms)) / 1000
    mean_x = x.sum(axis=1) / x.shape[1]
    away = x - mean_x[:, None]
    weight = away / (away * away).sum(axis=1)[:, None]
    first = values[:, 0]
    y = values - first[:, None]
    mean_y = y.sum(axis=1) / x.shape[1]
    if len(times) == 1:
        rise = y @ weight[0]
    else:
        rise, mean_x = np.einsum("ij,ij->i", y, weight[chunk.ts_row]), mean_x[chunk.ts_row]
    rise = np.where(np.isfinite(mean_y), rise, np.nan)
    flat = (values == first[:, None]).all(axis=1)
    endless = np.isinf(first)
    rise = np.where(flat, np.where(endless, np.nan, 0.0), rise)
    level = np.where(flat, 0.0, mean_y - rise * mean_x) + first
    return rise[:, None], np.where(flat & endless, np.nan, level)[:, None]


@function("deriv", MATRIX, doc="Slope per second of the line that fits the range best.")
def run_deriv(call: CallContext) -> Block:
    """Needs two floats."""
    return float_function(call, call.windows(0), lambda c: _regression(c, None)[0], least=2)


@function(
    "predict_linear", MATRIX, SCALAR, doc="Value that many seconds from now, by linear regression."
)
def run_predict_linear(call: CallContext) -> Block:
    """Needs two floats."""
    ahead = call.scalar(1)
    now = call.ts_ms.astype(np.float64)

    def change(chunk: Chunk) -> Floats:
        slope, intercept = _regression(chunk, now)
        return slope * ahead + intercept

    return float_function(call, call.windows(0), change, least=2)


@function(
    "double_exponential_smoothing",
    MATRIX,
    SCALAR,
    SCALAR,
    doc="Smoothed value (Holt-Winters): (range, smoothing factor, trend factor).",
)
def run_double_exponential_smoothing(call: CallContext) -> Block:
    """Both factors lie between 0 and 1; needs two floats."""
    smoothing, trend = call.scalar(1), call.scalar(2)
    windows = call.windows(0)
    used = np.zeros(call.steps, dtype=bool)
    for chunk in windows.chunks:
        used |= (chunk.count() > 0).any(axis=0)
    for what, factors, short in (("smoothing", smoothing, "sf"), ("trend", trend, "tf")):
        odd = factors[used & ((factors <= 0) | (factors >= 1))]  # NaN makes everything NaN
        if len(odd):
            message = f"invalid {what} factor. Expected: 0 < {short} < 1, got: {odd[0]:f}"
            raise QueryError(message)

    def change(chunk: Chunk) -> Floats:
        out = np.empty(chunk.shape)
        for part, values, _, inside in chunk.cells():
            level = values[..., 0].copy()
            before = np.zeros_like(level)
            slope = values[..., min(1, values.shape[2] - 1)] - level
            for i in range(1, values.shape[2]):
                here = inside[..., i]
                if i > 1:
                    new = trend * (level - before) + (1 - trend) * slope
                    slope = np.where(here, new, slope)
                new = smoothing * values[..., i] + (1 - smoothing) * (level + slope)
                before = np.where(here, level, before)
                level = np.where(here, new, level)
            out[part] = level
        return out

    return float_function(call, windows, change, least=2)
