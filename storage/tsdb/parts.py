"""Where series stand in a source, and what was cut out of it."""

from typing import Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Bools, Floats, Ints
from model.steady import rows_of
from storage.tsdb.stack import Stack

Positions = npt.NDArray[np.int64]


class Place(Struct, frozen=True):
    """Where series of a selection stand in one source.

    Attributes:
        pos: int64, shape (k,), rising: which of the selection's series are in the source.
        rows: Their rows there, as an index array or, where they are neighbours, a slice.
        times: Rows of timestamps that they use, likewise.
        ts_row: int32, shape (k,): which of ``times`` belongs to each.
    """

    pos: Positions
    rows: Positions | slice
    times: Positions | slice
    ts_row: npt.NDArray[np.int32]


def place(pos: Positions, rows: Positions, ts_row: npt.NDArray[np.integer]) -> Place:
    """Note where series stand; ``ts_row`` has one entry for each of ``pos``."""
    times, own = np.unique(ts_row, return_inverse=True)
    return Place(
        pos, as_slice(rows), as_slice(times.astype(np.int64)), own.reshape(-1).astype(np.int32)
    )


def as_slice(rows: Positions) -> Positions | slice:
    """Return rows that follow one another as a slice."""
    first = int(rows[0])
    if int(rows[-1]) - first + 1 == len(rows) and (np.diff(rows) == 1).all():
        return slice(first, first + len(rows))
    return rows


Rows = Positions | Bools | slice


class Cells(Struct, frozen=True):
    """What stands in a matrix of samples.

    Attributes:
        values: float64, shape (k, T).
        dense: True if there is neither NO_SAMPLE nor a stale marker.
        start_ms: int64, shape (k, T), start timestamps, 0 for none; None if no sample has any.
        histograms: ``index`` of shape (k, T); None if there is none.
    """

    values: Floats
    dense: bool
    start_ms: Ints | None = None
    histograms: Stack | None = None

    def cut(self, rows: Rows, columns: slice) -> Self:
        """Return some rows and columns; views where both are slices."""
        start, histograms = self.start_ms, self.histograms
        if start is not None:
            start = rows_of(start[:, columns], rows)
        if histograms is not None:
            histograms = Stack(histograms.index[:, columns][rows], histograms.pools)
        return type(self)(self.values[:, columns][rows], self.dense, start, histograms)


class Part(Struct, frozen=True):
    """Some series of a selection with all their samples of one source in a range.

    Attributes:
        pos: int64, shape (k,), rising: positions in the selection.
        ts_ms: int64, shape (g, T).
        ts_row: int32, shape (k,).
        cells: What they are, shape (k, T).
    """

    pos: Positions
    ts_ms: Ints
    ts_row: npt.NDArray[np.int32]
    cells: Cells

    @property
    def values(self) -> Floats:
        """The values, shape (k, T)."""
        return self.cells.values

    @property
    def dense(self) -> bool:
        """True if there is neither NO_SAMPLE nor a stale marker."""
        return self.cells.dense

    def take(self, at: Positions, columns: slice = slice(None)) -> "Part":
        """Return some of the series (by their place here, rising) and columns."""
        if len(at) == len(self.pos):
            cells = self.cells.cut(slice(None), columns)
            return Part(self.pos, self.ts_ms[:, columns], self.ts_row, cells)
        used, ts_row = np.unique(self.ts_row[at], return_inverse=True)
        own = ts_row.reshape(-1).astype(np.int32)
        cells = self.cells.cut(at, columns)
        return Part(self.pos[at], self.ts_ms[used, columns], own, cells)


def column_classes(ts_ms: Ints, mint: int, maxt: int) -> list[tuple[int, int, Bools | None]]:
    """Return each pair of first and last column in the range, and which rows it is of (None for all)."""
    if len(ts_ms) == 1:
        low = int(np.searchsorted(ts_ms[0], mint))
        high = int(np.searchsorted(ts_ms[0], maxt, side="right"))
        return [(low, high, None)] if high > low else []
    lows, highs = (ts_ms < mint).sum(axis=1), (ts_ms <= maxt).sum(axis=1)
    return classes_of(lows, highs)


def classes_of(
    lows: npt.NDArray[np.integer], highs: npt.NDArray[np.integer]
) -> list[tuple[int, int, Bools | None]]:
    """Group rows by their columns; see ``column_classes``."""
    low, high = int(lows[0]), int(highs[0])
    if (lows == low).all() and (highs == high).all():
        return [(low, high, None)] if high > low else []
    keys = lows.astype(np.int64) << 32 | highs
    out: list[tuple[int, int, Bools | None]] = []
    for key in np.unique(keys).tolist():
        low, high = key >> 32, key & 0xFFFFFFFF
        if high > low:
            out.append((low, high, keys == key))
    return out


def classes_apart(
    lows: npt.NDArray[np.int64], highs: npt.NDArray[np.int64], clean: Bools
) -> list[tuple[int, int, Bools | None]]:
    """Group slots by their columns; those that have gaps stand apart."""
    if clean.all() or not clean.any():
        return classes_of(lows, highs)
    both = [
        classes_of(np.where(some, lows, 0), np.where(some, highs, 0)) for some in (clean, ~clean)
    ]
    return [one for classes in both for one in classes]
