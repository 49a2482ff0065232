"""How far rates are extrapolated to the edges of a window (``promql/functions.go extrapolatedRate``)."""

import numpy as np
from msgspec import Struct

from model.samples import Bools, Floats, Ints
from promql.windows import Chunk, Index, Windows


class Edges(Struct, frozen=True):
    """The times rates are worked out from.

    Attributes:
        sampled: Seconds from first to last sample; float64, shape (g, S).
        to_start: Seconds from the window's start to the first sample, as far as is extrapolated.
        to_end: Likewise at the end.
        row: int64, shape (k,): row of the three arrays of each series; None if each has its own.
    """

    sampled: Floats
    to_start: Floats
    to_end: Floats
    row: Index | None = None

    def spread(self, array: Floats) -> Floats:
        """Return an array for each series, or one that broadcasts."""
        return array if self.row is None or len(array) == 1 else array[self.row]


def edges(windows: Windows, chunk: Chunk) -> Edges:
    """Return the times of windows; what windows with less than two samples give says nothing."""
    first, last = chunk.time_rows(chunk.low), chunk.time_rows(chunk.high - 1)
    sampled = (last - first) / 1000
    between = sampled / np.maximum(chunk.count() - 1, 1)
    threshold = between * 1.1
    to_start = (first - windows.starts_ms) / 1000
    to_start = np.where(to_start >= threshold, between / 2, to_start)
    to_end = (windows.ends_ms - last) / 1000
    to_end = np.where(to_end >= threshold, between / 2, to_end)
    return Edges(sampled, to_start, to_end, chunk.ts_row if chunk.uniform else None)


def begun_inside(at: Edges, windows: Windows, chunk: Chunk, inside: Bools, start: Ints) -> Edges:
    """Let windows that hold the counter's start begin there, and not be extrapolated to the left."""
    last = chunk.time_at(chunk.high - 1)
    return Edges(
        np.where(inside, (last - start) / 1000, at.spread(at.sampled)),
        np.where(inside, 0.0, at.spread(at.to_start)),
        np.broadcast_to(at.spread(at.to_end), inside.shape),
    )


def factor(at: Edges, rise: Floats, first: Floats, *, counter: bool) -> Floats:
    """Return what the sampled rise is multiplied by to stand for the whole window."""
    sampled, to_start, to_end = at.sampled, at.to_start, at.to_end
    by = np.where(sampled == 0, 1.0, (sampled + to_start + to_end) / sampled)
    out = np.array(np.broadcast_to(at.spread(by), rise.shape))
    if not counter:
        return out
    # a counter does not begin below zero
    steep = at.spread(np.where(to_start > 0, sampled / to_start, np.inf))
    nearer = (first * steep < rise) & (first >= 0)
    if nearer.any():
        own = [np.broadcast_to(at.spread(x), rise.shape)[nearer] for x in (sampled, to_end)]
        to_zero = own[0] * (first[nearer] / rise[nearer])
        out[nearer] = (own[0] + to_zero + own[1]) / own[0]
    return out
