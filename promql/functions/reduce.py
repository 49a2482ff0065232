"""Sums and extremes over windows: one pass in C where indices are shared, laid-out cells elsewhere."""

from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from model.samples import Bools, Floats, Ints
from promql.windows import Chunk

_EPSILON: Final = np.finfo(np.float64).eps
_TRUSTED: Final = 1e-11  # relative error at which a plain sum is as good as a compensated one


def window_reduce(chunk: Chunk, ufunc: Any, neutral: float) -> Floats:
    """Reduce each window by a ufunc; shape (k, S). What empty windows give says nothing."""
    size, steps = chunk.shape
    if not size or not chunk.values.shape[1]:
        return np.full((size, steps), neutral)
    if chunk.uniform:
        values = np.concatenate([chunk.values, np.full((size, 1), neutral)], axis=1)
        edges = np.empty(2 * steps, dtype=np.int64)
        edges[0::2], edges[1::2] = chunk.low, chunk.high
        out: Floats = ufunc.reduceat(values, edges, axis=1)[:, ::2]
        return out
    result = np.empty((size, steps))
    for part, values, _, inside in chunk.cells():
        result[part] = ufunc.reduce(np.where(inside, values, neutral), axis=2)
    return result


def window_sum(chunk: Chunk) -> Floats:
    """Sum each window; exact to the last digits also where terms cancel. Shape (k, S)."""
    with np.errstate(all="ignore"):
        plain = window_reduce(chunk, np.add, 0.0)
        if not plain.size:
            return plain
        count = chunk.count()
        # an error grows with the size of the terms; terms of one sign cannot cancel
        size = np.abs(plain)
        if not chunk.values.min() >= 0:
            size = window_reduce(replace(chunk, values=np.abs(chunk.values)), np.add, 0.0)
        doubtful = ~(size * count * _EPSILON <= _TRUSTED * np.abs(plain)) & (count > 2)
        if doubtful.any() and (np.floor(chunk.values) == chunk.values).all():
            doubtful &= ~(size < 2.0**53)  # whole numbers add up without error
    rows = np.flatnonzero(doubtful.any(axis=1))
    if not len(rows):
        return plain
    out = plain.copy()
    out[rows] = compensated_sum(_rows(chunk, rows))
    return out


def compensated_sum(chunk: Chunk) -> Floats:
    """Sum each window as Prometheus does (Neumaier's form of Kahan's sum); shape (k, S)."""
    out = np.empty(chunk.shape)
    for part, values, _, inside in chunk.cells():
        out[part] = kahan(np.where(inside, values, 0.0))
    return out


def kahan(values: Floats) -> Floats:
    """Sum over the last axis with compensation; once infinite, always infinite (or NaN)."""
    total = np.zeros(values.shape[:-1])
    rest = np.zeros(values.shape[:-1])
    with np.errstate(all="ignore"):
        for i in range(values.shape[-1]):
            value = values[..., i]
            new = total + value
            bigger = np.abs(total) >= np.abs(value)
            low = np.where(bigger, (total - new) + value, (value - new) + total)
            rest = np.where(np.isinf(new), 0.0, rest + low)
            total = new
        return np.where(np.isinf(total), total, total + rest)


def window_mean(chunk: Chunk, count: Ints) -> Floats:
    """Mean of each window, also where the sum is too large for a float; shape (k, S)."""
    with np.errstate(all="ignore"):
        mean = window_sum(chunk) / count
        rows = np.flatnonzero((np.isinf(mean) & (count > 0)).any(axis=1))
        if len(rows):
            part = _rows(chunk, rows)
            counts = np.broadcast_to(count, chunk.shape)[rows]
            scaled = np.empty(part.shape)
            for piece, values, _, inside in part.cells():
                share = np.where(inside, values, 0.0) / np.maximum(counts[piece], 1)[..., None]
                scaled[piece] = kahan(share)
            mean = mean.copy()
            mean[rows] = np.where(np.isinf(mean[rows]), scaled, mean[rows])
    return mean


def _rows(chunk: Chunk, rows: Ints) -> Chunk:
    from promql.select import chunk_rows

    keep: Bools = np.zeros(len(chunk.rows), dtype=bool)
    keep[rows] = True
    return chunk_rows(chunk, keep)
