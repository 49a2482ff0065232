"""Range vectors: the samples of many series, and which of them each step's window holds.

A window is the half-open index range [low, high) of a series' samples. Series of targets whose
windows fall on the same indices share one pair of rows ``low``, ``high`` of shape (S,), so that a
window function is a gather of columns; the others (holes, staleness, odd scrapes) carry theirs one
by one, shape (k, S), and are gathered cell by cell.
"""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from model.histogram.pool import HistogramPool, Int32s
from model.labels import LabelTable
from model.samples import Bools, Floats, Ints
from model.steady import steady

Index = npt.NDArray[np.int64]

_CELLS_AT_ONCE = 1 << 20


class Chunk(Struct, frozen=True):
    """Some series of a range vector: k series, at most N samples each, S windows.

    Attributes:
        rows: int64, shape (k,): rows in the range vector's labels.
        ts_ms: int64, shape (g, N), rising; what lies behind a row's last sample is in no window.
        ts_row: int64, shape (k,): row of ``ts_ms`` of each series.
        values: float64, shape (k, N), without holes.
        low: int64, shape (S,) or (k, S).
        high: int64, shape like ``low``.
        hist: int32, shape (k, N): row in the pool or -1; None without histograms.
        start_ms: int64, shape (k, N), start timestamps, 0 for none; None without any.
        inner_low: int64, shape like ``low``, for extended windows: index of the first sample
            behind the start of the range itself.
        inner_high: Likewise the first sample at or behind the range's end.
    """

    rows: Index
    ts_ms: Ints
    ts_row: Index
    values: Floats
    low: Index
    high: Index
    hist: Int32s | None = None
    start_ms: Ints | None = None
    inner_low: Index | None = None
    inner_high: Index | None = None

    @property
    def uniform(self) -> bool:
        """Whether all series share their window indices."""
        return self.low.ndim == 1

    @property
    def shape(self) -> tuple[int, int]:
        """(k, S)."""
        return len(self.rows), self.low.shape[-1]

    def count(self) -> Index:
        """Samples in each window; shape (k, S) or (1, S)."""
        return np.atleast_2d(self.high - self.low)

    def gather(self, matrix: Any, index: Index) -> Any:
        """Return ``matrix[i, index]`` for each series i; ``index`` is shaped like ``low`` and clipped."""
        if index.ndim == 1 and len(index) == 1:
            at = min(max(int(index[0]), 0), matrix.shape[1] - 1)
            return matrix[:, at : at + 1]
        index = np.clip(index, 0, matrix.shape[1] - 1)
        if index.ndim == 1:
            return matrix[:, index]
        return np.take_along_axis(matrix, index, axis=1)

    def value_at(self, index: Index) -> Floats:
        """Return values; shape (k, S)."""
        out: Floats = self.gather(self.values, index)
        return out

    def time_rows(self, index: Index) -> Ints:
        """Return sample times by row of ``ts_ms``, shape (g, S); by series, (k, S), unless ``uniform``."""
        out: Ints = self.gather(self.ts_ms, index) if self.uniform else self.time_at(index)
        return out

    def time_at(self, index: Index) -> Ints:
        """Return sample times; shape (k, S), or (1, S) where all series share them."""
        out: Ints
        if index.ndim == 1:
            out = self.gather(self.ts_ms, index)
            return out if len(out) == 1 else out[self.ts_row]
        out = self.gather(self.ts_ms[self.ts_row], index)
        return out

    def running(self, marks: Any) -> Floats:
        """Return sums of ``marks`` (k, N) from the left, with a leading 0; shape (k, N + 1)."""
        out = np.zeros((marks.shape[0], marks.shape[1] + 1))
        np.cumsum(marks, axis=1, out=out[:, 1:])
        return out

    def over(self, marks: Any, low: Index, high: Index) -> Floats:
        """Return the sum of ``marks`` over [low, high) of each window; shape (k, S)."""
        running = self.running(marks)
        high = np.maximum(high, low)
        if not np.isfinite(running[:, -1]).all():
            return self._over_odd(marks, low, high)
        out: Floats = self.gather(running, high) - self.gather(running, low)
        return out

    def _over_odd(self, marks: Any, low: Index, high: Index) -> Floats:
        """Sum marks of which some are not finite, so that they count only in the windows that hold them."""
        odd = ~np.isfinite(marks)
        total = self.over(np.where(odd, 0.0, marks), low, high)
        for value in (np.inf, -np.inf, np.nan):
            same = np.isnan(marks) if np.isnan(value) else marks == value
            if same.any():
                total = total + np.where(self.over(same, low, high) > 0, value, 0.0)
        return total

    def only(self, keep: Bools) -> Self:
        """Return the chunk with only the samples marked in ``keep`` (k, N)."""
        order = np.argsort(~keep, axis=1, kind="stable")
        counts = np.zeros((keep.shape[0], keep.shape[1] + 1), dtype=np.int64)
        np.cumsum(keep, axis=1, out=counts[:, 1:])

        def moved(index: Index) -> Index:
            return np.take_along_axis(counts, np.broadcast_to(index, self.shape), axis=1)

        return replace(
            self,
            ts_ms=np.take_along_axis(self.ts_ms[self.ts_row], order, axis=1),
            ts_row=np.arange(len(self.rows)),
            values=np.take_along_axis(self.values, order, axis=1),
            low=moved(self.low),
            high=moved(self.high),
            inner_low=None if self.inner_low is None else moved(self.inner_low),
            inner_high=None if self.inner_high is None else moved(self.inner_high),
            hist=None if self.hist is None else np.take_along_axis(self.hist, order, axis=1),
            start_ms=self.start_ms
            if self.start_ms is None or steady(self.start_ms)
            else np.take_along_axis(self.start_ms, order, axis=1),
        )

    def columns(self, keep: Bools) -> Self:
        """Return a ``uniform`` chunk with only some columns (N,)."""
        counts = np.concatenate([[0], np.cumsum(keep)])
        return replace(
            self,
            ts_ms=self.ts_ms[:, keep],
            values=self.values[:, keep],
            low=counts[self.low],
            high=counts[self.high],
            inner_low=None if self.inner_low is None else counts[self.inner_low],
            inner_high=None if self.inner_high is None else counts[self.inner_high],
            hist=None if self.hist is None else self.hist[:, keep],
            start_ms=None
            if self.start_ms is None
            else self.start_ms[:, : int(counts[-1])]
            if steady(self.start_ms)
            else self.start_ms[:, keep],
        )

    def floats(self) -> tuple[Self, Bools | None]:
        """Return the chunk without histograms, and which windows (k, S) held some; None for none at all."""
        if self.hist is None:
            return self, None
        is_hist = self.hist >= 0
        had = self.over(is_hist, self.low, self.high) > 0
        if not had.any():
            return replace(self, hist=None), None
        return replace(self.only(~is_hist), hist=None), had

    def cells(self) -> Iterator[tuple[slice, Floats, Ints, Bools]]:
        """Lay the windows out side by side, some series at a time.

        Yields:
            ``(rows, values, ts_ms, inside)``: a slice of the chunk's series, then arrays of shape
            (b, S, W); values outside a window are NaN. ``ts_ms`` and ``inside`` may have a leading 1.
        """
        size, steps = self.shape
        width = max(1, int((self.high - self.low).max(initial=0)))
        many = max(1, _CELLS_AT_ONCE // max(1, steps * width))
        spread = np.arange(width)
        for at in range(0, size, many):
            part = slice(at, min(size, at + many))
            low = self.low if self.uniform else self.low[part]
            high = self.high if self.uniform else self.high[part]
            index = low[..., None] + spread
            inside = index < high[..., None]
            index = np.minimum(index, self.values.shape[1] - 1)
            if self.uniform:
                values, inside = self.values[part][:, index], inside[None]
                times = self.ts_ms[:, index]
                times = times if len(times) == 1 else times[self.ts_row[part]]
            else:
                flat = index.reshape(len(index), -1)
                values = np.take_along_axis(self.values[part], flat, axis=1).reshape(index.shape)
                times = self.ts_ms[self.ts_row[part]]
                times = np.take_along_axis(times, flat, axis=1).reshape(index.shape)
            yield part, np.where(inside, values, np.nan), times, inside


class Extension(Struct, frozen=True):
    """What ``anchored`` and ``smoothed`` selectors are about: the windows reach further than the range.

    Attributes:
        starts_ms: int64, shape (S,): start of each range, not in it.
        ends_ms: int64, shape (S,): end of each range.
        smoothed: Whether values at both are interpolated.
    """

    starts_ms: Ints
    ends_ms: Ints
    smoothed: bool


class Windows(Struct, frozen=True):
    """A range vector at every step.

    Attributes:
        labels: n series.
        drop_name: bool, shape (n,): see Block.
        chunks: Each series that has a sample is in one of them.
        starts_ms: int64, shape (S,): start of each window, not in it.
        ends_ms: int64, shape (S,): end of each window.
        range_ms: Length of the range.
        pool: The histograms that chunks point to; None without any.
        extension: The ranges themselves, where the windows reach beyond them.
    """

    labels: LabelTable
    drop_name: Bools
    chunks: tuple[Chunk, ...]
    starts_ms: Ints
    ends_ms: Ints
    range_ms: int
    pool: HistogramPool | None = None
    extension: Extension | None = None

    @property
    def steps(self) -> int:
        """Number of windows of each series."""
        return len(self.ends_ms)

    def scatter(self, parts: list[tuple[Floats, Bools]]) -> tuple[Floats, Bools]:
        """Put what was worked out for each chunk, of shape (k, S), where its series stand: shape (n, S)."""
        size = self.labels.size
        if len(parts) == 1 and np.array_equal(self.chunks[0].rows, np.arange(size)):
            values, present = parts[0]
            shape = (size, self.steps)
            return np.broadcast_to(values, shape), np.broadcast_to(present, shape)
        out = np.zeros((size, self.steps))
        here = np.zeros((size, self.steps), dtype=bool)
        for chunk, (values, present) in zip(self.chunks, parts, strict=True):
            out[chunk.rows] = values
            here[chunk.rows] = present
        return out, here


def search_rows(ts_ms: Ints, targets: Ints) -> Index:
    """Find, in each row of ``ts_ms`` (g, N), how many times are at or before each target; shape (g, S)."""
    if len(ts_ms) == 1:
        return np.searchsorted(ts_ms[0], targets, side="right")[None, :]
    if not ts_ms.size or not targets.size:
        return np.zeros((len(ts_ms), len(targets)), dtype=np.int64)
    base = int(min(ts_ms.min(), targets.min()))
    top = int(targets.max()) - base + 2
    # one search over all rows: each row lies on a stretch of its own
    lift = np.arange(len(ts_ms))[:, None] * (top + 1)
    keys = np.minimum(ts_ms, base + top - 1) - base + lift
    found = np.searchsorted(keys.ravel(), (targets - base + lift).ravel(), side="right")
    before: Index = np.arange(len(ts_ms))[:, None] * ts_ms.shape[1]
    return np.subtract(found.reshape(len(ts_ms), -1), before)


def index_classes(index: Index) -> list[Index]:
    """Group the rows of ``index`` (g, S) that are equal; returns the row numbers of each group."""
    if len(index) == 1:
        return [np.zeros(1, dtype=np.int64)]
    classes: dict[bytes, list[int]] = {}
    for row, key in enumerate(map(bytes, np.ascontiguousarray(index))):
        classes.setdefault(key, []).append(row)
    return [np.array(rows, dtype=np.int64) for rows in classes.values()]


def columns_of(index: Index) -> Index | slice:
    """Return column numbers as a slice where they rise by equal steps, so that picking them copies nothing."""
    if len(index) == 1:
        return slice(int(index[0]), int(index[0]) + 1)
    step = int(index[1] - index[0])
    if step > 0 and (np.diff(index) == step).all():
        return slice(int(index[0]), int(index[-1]) + 1, step)
    return index
