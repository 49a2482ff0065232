"""Many series of equal length as one matrix, cut out of what head, lane and blocks keep.

Frames and runs are made for writing: fifty series, or samples one by one. A query wants hundreds of
series at the same columns. A *panel* is that: rows that share their number of columns, timestamps
once for each kind of row. ``frame_panels`` decodes frames into panels, ``run_panels`` sees the runs of
the lane from the side.
"""

import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from model.samples import Bools, Ints
from storage.interface import TS_PAD, Refs
from storage.tsdb.parts import Cells, Part, Place, Positions, column_classes, place
from storage.tsdb.selection import Selection

_MOST_CLASSES: Final = 64  # pairs of first and last column in a range that are cut apart
_keys = itertools.count(1)


class Panel:
    """Rows of equal length, all in memory.

    Args:
        refs: int64, shape (k,): the series of each row.
        ts_ms: int64, shape (g, T).
        ts_row: Shape (k,).
        cells: Shape (k, T); None if who derives from this brings them.
        rows: Those that belong to the panel, if not all do; each series has one of them.

    Attributes:
        key: Unique in this process.
        mint: Time of the first sample.
        maxt: Time of the last one.
    """

    def __init__(
        self,
        refs: Refs,
        ts_ms: Ints,
        ts_row: npt.NDArray[np.integer],
        cells: Cells | None,
        rows: Positions | None = None,
    ) -> None:
        self.key = next(_keys)
        self._order: Positions | None = None
        if rows is not None:
            self._order = rows[np.argsort(refs[rows])]
        elif not (refs[1:] > refs[:-1]).all():
            self._order = np.argsort(refs)
        self._refs = refs if self._order is None else refs[self._order]
        self._ts_ms = ts_ms
        self._ts_row = ts_row
        self._cells = cells
        self.mint = int(ts_ms[:, 0].min())
        self.maxt = int(ts_ms.max(where=ts_ms != TS_PAD, initial=self.mint))

    @property
    def holds_histograms(self) -> bool:
        """Whether some of it, in memory already, are histograms."""
        return self._cells is not None and self._cells.histograms is not None

    @property
    def refs(self) -> Refs:
        """The series in it, rising."""
        return self._refs

    def whole(self, refs: Refs) -> Part:
        """Return everything; ``pos`` points into ``refs``, which hold all of its series."""
        assert self._cells is not None
        rows = slice(None) if self._order is None else self._order
        ts_row = self._ts_row[rows].astype(np.int32)
        pos = np.searchsorted(refs, self._refs)
        return Part(pos, self._ts_ms, ts_row, self._cells.cut(rows, slice(None)))

    def cut(self, selection: Selection, mint: int, maxt: int) -> Iterator[Part]:
        """Yield the selected series with their samples in the range.

        Raises:
            NoPanelError: If they are not in a form that parts can have.
            StorageError: If they cannot be read.
        """
        where = selection.places.get(self.key)
        if where is None and self.key not in selection.elsewhere:
            where = selection.remember(self.key, self._place(selection.refs))
        if where is None:
            return
        ts_ms = self._ts_ms[where.times]
        classes = column_classes(ts_ms, mint, maxt)
        if len(classes) > _MOST_CLASSES:
            raise NoPanelError
        whole: Cells | None = None
        for low, high, mine in classes:
            if whole is None:
                whole = self._matrix(where.rows)
            columns = slice(low, high)
            if mine is None:
                part = Part(
                    where.pos, ts_ms[:, columns], where.ts_row, whole.cut(where.rows, columns)
                )
                yield from self._apart(part, where.rows)
                continue
            sel = np.flatnonzero(mine[where.ts_row])
            rows = np.arange(len(whole.values))[where.rows][sel]
            number = (np.cumsum(mine) - 1).astype(np.int32)
            ts_row = number[where.ts_row[sel]]
            part = Part(where.pos[sel], ts_ms[mine, columns], ts_row, whole.cut(rows, columns))
            yield from self._apart(part, rows)

    def _apart(self, part: Part, rows: Positions | slice) -> Iterator[Part]:
        """Yield the series of a part that have gaps apart from the others."""
        gaps = None if part.dense or part.cells.histograms is not None else self._gaps(rows)
        if gaps is None or gaps.all():
            yield part
            return
        if not gaps.any():  # they are in frames between
            yield replace(part, cells=replace(part.cells, dense=True))
            return
        whole = part.take(np.flatnonzero(~gaps))
        yield replace(whole, cells=replace(whole.cells, dense=True))
        yield part.take(np.flatnonzero(gaps))

    def _gaps(self, rows: Positions | slice) -> Bools | None:
        """Tell which rows have gaps, of rows that ``_matrix`` was asked for; None if that is not known."""
        del rows
        return None

    def _place(self, refs: Refs) -> Place | None:
        found = np.searchsorted(self._refs, refs)
        found[found == len(self._refs)] = 0
        pos = np.flatnonzero(self._refs[found] == refs)
        if not len(pos):
            return None
        rows = found[pos] if self._order is None else self._order[found[pos]]
        return place(pos, rows, self._ts_row[rows])

    def _matrix(self, rows: Positions | slice) -> Cells:
        """Return the cells, of which those rows are right."""
        del rows
        assert self._cells is not None
        return self._cells


class NoPanelError(Exception):
    """Samples lie in a way that parts cannot have."""


class Closed(Panel):
    """Series that no panel can have; whoever wants one of them must look elsewhere."""

    def __init__(self, refs: Refs, mint: int, maxt: int) -> None:
        none = np.zeros(len(refs), dtype=np.int32)
        times = np.array([[mint, maxt]], dtype=np.int64)
        super().__init__(refs, times, none, None)

    def cut(self, selection: Selection, mint: int, maxt: int) -> Iterator[Part]:
        """Refuse if one of the series is wanted: the range may lie between the two times that are known."""
        if self._place(selection.refs) is not None:
            raise NoPanelError
        return iter(())
