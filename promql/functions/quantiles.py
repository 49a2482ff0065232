"""The quantile of some values, as ``quantile`` and ``quantile_over_time`` define it."""

import numpy as np
import numpy.typing as npt

from model.samples import Floats
from promql.annotations import Annotations
from promql.ast import Expr
from promql.text import format_g

Counts = npt.NDArray[np.integer]


def warn_quantile(annotations: Annotations, q: Floats, node: Expr) -> None:
    """Warn of each value that is no quantile."""
    for value in dict.fromkeys(map(format_g, q[~((q >= 0) & (q <= 1))].tolist())):
        text = f"quantile value should be between 0 and 1, got {value}"
        annotations.warn(text, node)


def extremes(param: Floats) -> Floats:
    """Return what is said of a parameter that is out of bounds: its ends over all steps, or NaN if it is that once."""
    if not len(param):
        return param
    return np.unique([param.max(), param.min()])[::-1]


def quantile_of_sorted(values: Floats, count: Counts, nans: Counts, q: Floats) -> Floats:
    """Interpolate quantiles.

    Args:
        values: Sorted along the last axis: first ``nans`` places that stand for NaN, then the
            values up to ``count``; what follows is not looked at. Shape (..., W).
        count: Shape (...).
        nans: Shape (...).
        q: Broadcasts to shape (...); below 0 gives -Inf, above 1 +Inf.
    """
    with np.errstate(all="ignore"):
        rank = np.where((q >= 0) & (q <= 1), q, 0.0) * (count - 1)
        low = np.clip(np.floor(rank), 0, np.maximum(count - 1, 0)).astype(np.int64)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        weight = rank - np.floor(rank)

        def at(index: npt.NDArray[np.int64]) -> Floats:
            index = np.broadcast_to(index, values.shape[:-1])
            picked = np.take_along_axis(values, index[..., None], axis=-1)[..., 0]
            return np.where(index < nans, np.nan, picked)

        below, above = at(low), at(high)
        # an exact rank must not be spoilt by infinity times nothing
        mixed = np.where(weight == 0, below, below * (1 - weight) + above * weight)
        mixed = np.where(below == above, below, mixed)
    out = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, mixed))
    return np.where(np.isnan(q) | (count == 0), np.nan, out)
