"""Frames of chunks as panels: decoded into one matrix when somebody asks for one of their rows."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from model.histogram.layout import on_common_columns
from model.histogram.pool import HistogramColumn, HistogramPool, concat_pools
from model.samples import Bools, Floats, Ints, is_no_sample, is_stale
from model.steady import made_steady, spread
from storage.interface import Refs
from storage.tsdb.chunk import Chunk, FrameTable, times_of
from storage.tsdb.merge import distinct
from storage.tsdb.panel import Panel
from storage.tsdb.parts import Cells, Positions
from storage.tsdb.stack import Stack, level_of, pool_bytes
from storage.tsdb.typed import Frame, decode_whole

_PANEL_BYTES: Final = 4 << 20
_NOT_YET: Final = -1


class Decoded:
    """What is decoded of a panel.

    Each time that frames are decoded their histograms become pools, one for each level (see ``stack``):
    rows that were given out stay where they are, and wide ones do not make the others wide. Readers take
    the index of histograms first and the pools, of which there only come more, behind it.

    Attributes:
        values: The matrix.
        state: Of each frame: -1 not decoded, 0 has gaps, 1 dense.
    """

    def __init__(self, shape: tuple[int, int], frames: int) -> None:
        self.values: Floats = np.empty(shape)
        self.state = np.full(frames, _NOT_YET, dtype=np.int8)
        self._lock = threading.Lock()
        self._begin = np.zeros(shape[0], dtype=np.int64)
        self._starts: Ints | None = None
        self._started = False
        self._index = np.full((0, 0), -1, dtype=np.int32)
        self._pools: tuple[HistogramPool, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        size = self.values.nbytes + self._begin.nbytes + self._index.nbytes
        size += 0 if self._starts is None else self._starts.nbytes
        return size + sum(pool_bytes(pool) for pool in self._pools)

    def put(self, frames: Sequence[tuple[int, int, int, Frame]]) -> None:
        """Take decoded frames: ``(number, first row, last row + 1, frame)``."""
        with self._lock:
            done: dict[int, bool] = {}
            columns: dict[int, list[tuple[slice, HistogramColumn]]] = {}
            for number, start, stop, frame in frames:
                if self.state[number] != _NOT_YET:
                    continue  # another reader was faster
                rows = slice(start, stop)
                self.values[rows] = frame.values
                done[number] = frame.dense
                if frame.start_ms is not None:
                    self._put_starts(rows, made_steady(frame.start_ms))
                    odd = is_no_sample(frame.values) | is_stale(frame.values)
                    done[number] = frame.histograms is None and not odd.any()
                if frame.histograms is not None:
                    level = level_of(frame.histograms.pool)
                    columns.setdefault(level, []).append((rows, frame.histograms))
            for alike in columns.values():
                self._put_histograms(alike)
            for number, dense in done.items():  # who sees this finds the rest
                self.state[number] = dense

    def _put_histograms(self, columns: Sequence[tuple[slice, HistogramColumn]]) -> None:
        if not self._index.size:
            self._index = np.full(self.values.shape, -1, dtype=np.int32)
        offset = sum(pool.size for pool in self._pools)
        for rows, column in columns:
            self._index[rows] = np.where(column.index >= 0, column.index + offset, -1)
            offset += column.pool.size
        pool = on_common_columns(concat_pools([column.pool for _, column in columns]))
        self._pools = (*self._pools, pool)

    def _put_starts(self, rows: slice, starts: Ints) -> None:
        self._started = True
        self._begin[rows] = starts[:, 0]
        if self._starts is None and starts.shape[1] > 1 and starts.strides[1]:
            width = self.values.shape[1]
            self._starts = np.repeat(self._begin[:, None], width, axis=1)
        if self._starts is not None:
            self._starts[rows] = starts

    def cells(self, used: Positions) -> Cells:
        """Return everything; the rows of the frames ``used`` are right."""
        start, histograms = self._starts, None
        if start is None and self._started:
            start = spread(self._begin, self.values.shape[1])
        if self._index.size:
            histograms = Stack(self._index, self._pools)
        return Cells(self.values, bool(self.state[used].all()), start, histograms)


class PanelCache:
    """Decoded panels, the most recently used ones."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[Decoded, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: int, make: Callable[[], Decoded]) -> Decoded:
        """Return what is decoded of a panel; room for it if that is nothing."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found[0]
            made = make()
            self._keep(key, made)
            return made

    def grown(self, key: int, decoded: Decoded) -> None:
        """Note that more of a panel is decoded than before."""
        with self._lock:
            if key in self._kept:
                self._keep(key, decoded)

    def _keep(self, key: int, decoded: Decoded) -> None:
        _, before = self._kept.pop(key, (None, 0))
        self._kept[key] = (decoded, decoded.nbytes)
        self.bytes += decoded.nbytes - before
        while self.bytes > self._max_bytes and len(self._kept) > 1:
            _, (_, gone) = self._kept.popitem(last=False)
            self.bytes -= gone


class FramePanel(Panel):
    """Frames of some chunks, one below the other; decoded on demand.

    Args:
        chunks: The chunks.
        times: Their timestamps: a row for all series of a chunk, or one for each.
        cache: Where what is decoded is kept.
        rows: Those that belong to the panel; None for all.
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        times: Sequence[Ints],
        cache: PanelCache,
        rows: Positions | None = None,
    ) -> None:
        once, inverse = distinct(np.concatenate(list(times)))
        refs = np.concatenate([chunk.refs for chunk in chunks])
        sizes = [len(chunk.refs) for chunk in chunks]
        each = [1 if len(ts) == k else k for ts, k in zip(times, sizes, strict=True)]
        ts_row = np.repeat(inverse, np.repeat(each, [len(ts) for ts in times]))
        super().__init__(refs, once, ts_row, None, rows)
        offsets = np.cumsum([0, *sizes[:-1]]).tolist()
        bounds = [c.bounds[:-1] + at for c, at in zip(chunks, offsets, strict=True)]
        self._bounds = np.append(np.concatenate(bounds), len(refs))
        self._frames = [
            (chunk, number) for chunk in chunks for number in range(len(chunk.bounds) - 1)
        ]
        self._cache = cache
        self._shape = (len(refs), once.shape[1])

    def _matrix(self, rows: Positions | slice) -> Cells:
        """See ``Panel``.

        Raises:
            StorageError: If a frame cannot be read.
        """
        decoded = self._cache.get(self.key, self._room)
        if isinstance(rows, slice):
            ends = np.array([rows.start, rows.stop - 1])
            first, last = (np.searchsorted(self._bounds, ends, side="right") - 1).tolist()
            used = np.arange(first, last + 1)
        else:
            used = np.unique(np.searchsorted(self._bounds, rows, side="right") - 1)
        missing = used[decoded.state[used] < 0].tolist()
        if missing:
            decoded.put([self._decoded(number) for number in missing])
            self._cache.grown(self.key, decoded)
        return decoded.cells(used)

    def _gaps(self, rows: Positions | slice) -> Bools | None:
        decoded = self._cache.get(self.key, self._room)
        if isinstance(rows, slice):
            rows = np.arange(rows.start, rows.stop)
        gaps: Bools = decoded.state[np.searchsorted(self._bounds, rows, side="right") - 1] != 1
        return gaps

    def _room(self) -> Decoded:
        return Decoded(self._shape, len(self._frames))

    def _decoded(self, number: int) -> tuple[int, int, int, Frame]:
        chunk, local = self._frames[number]
        start, stop = self._bounds[number : number + 2].tolist()
        return number, start, stop, decode_whole(chunk.frames.frame(local))


class TablePanels:
    """The panels of a table of frames; those whose chunks did not change stay when the table does."""

    def __init__(self, cache: PanelCache) -> None:
        self._cache = cache
        self._known: tuple[FrameTable | None, tuple[Panel, ...]] = (None, ())
        self._made: dict[tuple[int, ...], tuple[Panel, ...]] = {}

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
        made: dict[tuple[int, ...], tuple[Panel, ...]] = {}
        for pile in (pile for piles in stacks.values() for pile in piles):
            self._stack(pile, made)
        panels = tuple(panel for some in made.values() for panel in some)
        self._made = made
        self._known = (table, panels)
        return panels

    def _stack(self, pile: list[Chunk], made: dict[tuple[int, ...], tuple[Panel, ...]]) -> None:
        refs = np.concatenate([chunk.refs for chunk in pile])
        key = tuple(chunk.key for chunk in pile)
        known = self._made.get(key)
        if known is not None:
            made[key] = known
            return
        times = [times_of(chunk) for chunk in pile]
        if len(np.unique(refs)) == len(refs):
            made[key] = (FramePanel(pile, times, self._cache),)
        elif len(pile) > 1:
            for chunk in pile:
                self._stack([chunk], made)
        else:  # long series, cut where they became too long for one row
            made[key] = tuple(
                FramePanel(pile, times, self._cache, rows) for rows in _each_once(refs)
            )


def _each_once(refs: Refs) -> list[Positions]:
    """Cut rows apart so that no ref is twice in a part."""
    order = np.argsort(refs, kind="stable")
    ordered = refs[order]
    number = np.arange(len(refs)) - np.searchsorted(ordered, ordered)
    return [np.sort(order[number == one]) for one in range(int(number.max()) + 1)]
