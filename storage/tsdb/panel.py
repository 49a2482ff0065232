"""Many series of equal length as one matrix, cut out of what head, lane and blocks keep.

Frames and runs are made for writing: fifty series, or samples one by one. A query wants hundreds of
series at the same columns. A *panel* is that: rows that share their number of columns, timestamps
once for each kind of row. Frames are decoded into their panel when somebody asks for one of their
rows; a run of the lane is one already, seen from the side.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Bools, Floats, Ints, is_stale
from storage.interface import Refs
from storage.tsdb.chunk import Chunk, FrameTable, times_of
from storage.tsdb.lane import Run
from storage.tsdb.merge import distinct
from storage.tsdb.parts import Part, Place, Positions, column_classes, place
from storage.tsdb.selection import Selection
from storage.tsdb.typed import decode_whole

_PANEL_BYTES: Final = 4 << 20
_TYPED: Final = 2
_MOST_LENGTHS: Final = 8  # of series in one run
_FEW_TIMES: Final = 8  # that are told apart
_keys = itertools.count(1)


class Panel:
    """Rows of equal length, all in memory.

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
        values: Floats | None,
        *,
        dense: bool,
    ) -> None:
        self.key = next(_keys)
        self._order = None if (refs[1:] > refs[:-1]).all() else np.argsort(refs)
        self._refs = refs if self._order is None else refs[self._order]
        self._ts_ms = ts_ms
        self._ts_row = ts_row
        self._values = values
        self._dense = dense
        self.mint = int(ts_ms[:, 0].min())
        self.maxt = int(ts_ms[:, -1].max())

    @property
    def refs(self) -> Refs:
        """The series in it, rising."""
        return self._refs

    def whole(self, refs: Refs) -> Part:
        """Return everything; ``pos`` points into ``refs``, which hold all of its series."""
        assert self._values is not None
        rows = slice(None) if self._order is None else self._order
        ts_row = self._ts_row[rows].astype(np.int32)
        pos = np.searchsorted(refs, self._refs)
        return Part(pos, self._ts_ms, ts_row, self._values[rows], self._dense)

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
        whole: tuple[Floats, bool] | None = None
        for low, high, mine in column_classes(ts_ms, mint, maxt):
            if whole is None:
                whole = self._matrix(where.rows)
            values, dense = whole
            if mine is None:
                cut = values[:, low:high][where.rows]
                yield Part(where.pos, ts_ms[:, low:high], where.ts_row, cut, dense)
                continue
            sel = np.flatnonzero(mine[where.ts_row])
            rows = np.arange(len(values))[where.rows][sel]
            number = (np.cumsum(mine) - 1).astype(np.int32)
            ts_row = number[where.ts_row[sel]]
            cut = values[:, low:high][rows]
            yield Part(where.pos[sel], ts_ms[mine, low:high], ts_row, cut, dense)

    def _place(self, refs: Refs) -> Place | None:
        found = np.searchsorted(self._refs, refs)
        found[found == len(self._refs)] = 0
        pos = np.flatnonzero(self._refs[found] == refs)
        if not len(pos):
            return None
        rows = found[pos] if self._order is None else self._order[found[pos]]
        return place(pos, rows, self._ts_row[rows])

    def _matrix(self, rows: Positions | slice) -> tuple[Floats, bool]:
        """Return the values, of which those rows are right, and whether these are dense."""
        del rows
        assert self._values is not None
        return self._values, self._dense


class NoPanelError(Exception):
    """Samples have timestamps of their own, are histograms, or tell when they began."""


class Closed(Panel):
    """Series that no panel can have; whoever wants one of them must look elsewhere."""

    def __init__(self, refs: Refs, mint: int, maxt: int) -> None:
        none = np.zeros(len(refs), dtype=np.int32)
        times = np.array([[mint, maxt]], dtype=np.int64)
        super().__init__(refs, times, none, None, dense=False)

    def cut(self, selection: Selection, mint: int, maxt: int) -> Iterator[Part]:
        """Refuse if one of the series is wanted: the range may lie between the two times that are known."""
        if self._place(selection.refs) is not None:
            raise NoPanelError
        return iter(())


class PanelCache:
    """Decoded panels, the most recently used ones."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Decoded] = OrderedDict()
        self.bytes = 0

    def get(self, key: int, shape: tuple[int, int], frames: int) -> "Decoded":
        """Return what is decoded of a panel; room for it if that is nothing."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
            found = Decoded(np.empty(shape), np.full(frames, -1, dtype=np.int8))
            self._kept[key] = found
            self.bytes += found.values.nbytes
            while self.bytes > self._max_bytes and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                self.bytes -= gone.values.nbytes
            return found


class Decoded(Struct, frozen=True):
    """A panel's matrix, and of each frame: -1 not decoded, 0 has gaps, 1 dense, 2 more than floats."""

    values: Floats
    state: npt.NDArray[np.int8]


class FramePanel(Panel):
    """Frames of some chunks, one below the other; decoded on demand."""

    def __init__(self, chunks: Sequence[Chunk], times: Sequence[Ints], cache: PanelCache) -> None:
        ts_ms = np.concatenate(list(times))
        once, inverse = distinct(ts_ms)
        refs = np.concatenate([chunk.refs for chunk in chunks])
        sizes = [len(chunk.refs) for chunk in chunks]
        super().__init__(refs, once, np.repeat(inverse, sizes), None, dense=True)
        offsets = np.cumsum([0, *sizes[:-1]]).tolist()
        bounds = [c.bounds[:-1] + at for c, at in zip(chunks, offsets, strict=True)]
        self._bounds = np.append(np.concatenate(bounds), len(refs))
        self._frames = [
            (chunk, number) for chunk in chunks for number in range(len(chunk.bounds) - 1)
        ]
        self._cache = cache

    def _matrix(self, rows: Positions | slice) -> tuple[Floats, bool]:
        """See ``Panel``.

        Raises:
            NoPanelError: If some are histograms or tell when they began.
            StorageError: If a frame cannot be read.
        """
        shape = (int(self._bounds[-1]), self._ts_ms.shape[1])
        decoded = self._cache.get(self.key, shape, len(self._frames))
        if isinstance(rows, slice):
            ends = np.array([rows.start, rows.stop - 1])
            first, last = (np.searchsorted(self._bounds, ends, side="right") - 1).tolist()
            used = np.arange(first, last + 1)
        elif (decoded.state == 1).all():
            return decoded.values, True
        else:
            used = np.unique(np.searchsorted(self._bounds, rows, side="right") - 1)
        for number in used[decoded.state[used] < 0].tolist():
            chunk, local = self._frames[number]
            frame = decode_whole(chunk.frames.frame(local))
            if frame.start_ms is not None or frame.histograms is not None:
                decoded.state[number] = _TYPED
                continue
            start, stop = self._bounds[number : number + 2].tolist()
            decoded.values[start:stop] = frame.values
            decoded.state[number] = frame.dense
        if (decoded.state[used] == _TYPED).any():
            raise NoPanelError
        return decoded.values, bool(decoded.state[used].all())


class TablePanels:
    """The panels of a table of frames; those whose chunks did not change stay when the table does."""

    def __init__(self, cache: PanelCache) -> None:
        self._cache = cache
        self._known: tuple[FrameTable | None, tuple[Panel, ...]] = (None, ())
        self._made: dict[tuple[int, ...], Panel] = {}

    def of(self, table: FrameTable) -> tuple[Panel, ...]:
        """Return the panels.

        Raises:
            StorageError: If timestamps cannot be read.
        """
        known, panels = self._known
        if known is table:
            return panels
        stacks: dict[tuple[int, int], list[list[Chunk]]] = {}
        for chunk in table.chunks:
            length = max(1, (chunk.maxt - chunk.mint).bit_length())
            piles = stacks.setdefault((chunk.width, chunk.mint >> length), [[]])
            rows = sum(len(c.refs) for c in piles[-1]) + len(chunk.refs)
            if piles[-1] and rows * chunk.width * 8 > _PANEL_BYTES:
                piles.append([])
            piles[-1].append(chunk)
        made: dict[tuple[int, ...], Panel] = {}
        for pile in (pile for piles in stacks.values() for pile in piles):
            self._stack(pile, made)
        panels = tuple(made.values())
        self._made = made
        self._known = (table, panels)
        return panels

    def _stack(self, pile: list[Chunk], made: dict[tuple[int, ...], Panel]) -> None:
        refs = np.concatenate([chunk.refs for chunk in pile])
        key = tuple(chunk.key for chunk in pile)
        known = self._made.get(key)
        if known is not None:
            made[key] = known
            return
        times = [times_of(chunk) for chunk in pile]
        alone = any(len(ts) > 1 for ts in times) or len(np.unique(refs)) < len(refs)
        if alone and len(pile) > 1:
            for chunk in pile:
                self._stack([chunk], made)
        elif alone:
            made[key] = Closed(refs, pile[0].mint, pile[0].maxt)
        else:
            made[key] = FramePanel(pile, times, self._cache)


def run_panels(run: Run) -> tuple[Panel, ...]:
    """Return a run of the lane as panels."""
    counts = np.diff(run.starts)
    special = _special(run)
    lengths, members = np.unique(counts[~special], return_counts=True)
    kept = lengths[np.argsort(-members, kind="stable")[:_MOST_LENGTHS]]
    special |= ~np.isin(counts, kept)
    panels = [
        panel for n in kept.tolist() for panel in _of_length(run, (counts == n) & ~special, n)
    ]
    if special.any():
        ts_ms = run.samples.ts_ms
        panels.append(Closed(run.refs[special], int(ts_ms.min()), int(ts_ms.max())))
    return tuple(panels)


def _special(run: Run) -> Bools:
    """Tell which series have histograms or start timestamps."""
    samples = run.samples
    odd = np.zeros(samples.size, dtype=np.bool_)
    if samples.histograms is not None:
        odd |= samples.histograms.index >= 0
    if samples.start_ms is not None:
        odd |= samples.start_ms != 0
    out: Bools = np.logical_or.reduceat(odd, run.starts[:-1])
    return out


def _of_length(run: Run, which: Bools, length: int) -> Iterator[Panel]:
    members = np.flatnonzero(which)
    first, last = int(members[0]), int(members[-1])
    if last - first + 1 == len(members):  # one behind the other: a view
        cells = slice(int(run.starts[first]), int(run.starts[last + 1]))
        ts = run.samples.ts_ms[cells].reshape(-1, length)
        values = run.samples.values[cells].reshape(-1, length)
    else:
        index = run.starts[members][:, None] + np.arange(length)
        ts, values = run.samples.ts_ms[index], run.samples.values[index]
    once, ts_row = distinct(ts)
    refs, gaps = run.refs[members], is_stale(values)
    if not 1 < len(once) <= _FEW_TIMES:
        yield Panel(refs, once, ts_row, values, dense=not gaps.any())
        return
    for number in range(len(once)):  # senders beside one another: each at a time of its own
        mine = np.flatnonzero(ts_row == number)
        none = np.zeros(len(mine), dtype=np.int32)
        dense = not gaps[mine].any()
        yield Panel(refs[mine], once[number : number + 1], none, values[mine], dense=dense)
