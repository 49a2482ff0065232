"""The newest samples of all scraped series, as one matrix that is written by columns.

A *slot* is one target: a row of timestamps and a contiguous range of series rows. Publish protocol:
a column's values are written first, its timestamp next, the slot's count last. Readers take the
counts before they look at anything else, so a column they can see is whole. Only dropping columns
and freeing rows move what readers may be copying; both make the slot's sequence odd while they
work and even again afterwards, and a reader whose slots changed their sequence copies again.
"""

import time
from collections.abc import Iterator
from threading import RLock
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Floats, Ints, no_samples
from storage.interface import TS_PAD, Refs
from storage.tsdb.growable import Growable
from storage.tsdb.parts import Cells, Part, Place, classes_apart, place
from storage.tsdb.selection import Selection

# the memory of a scraped series; with 128 columns blocks and CPU are the same
WIDTH: Final = 96
KEPT: Final = 24  # columns left in place at sealing: an instant query's look-back never decodes

_FIRST_ROWS: Final = 2048
_FIRST_SLOTS: Final = 64
_HASTY_TRIES: Final = 20

Lookup = npt.NDArray[np.int32]


class SlabPart(Struct, frozen=True):
    """Series of some slots whose columns in range have the same indices.

    Attributes:
        pos: int32, shape (k,): position of each series in the caller's list.
        ts_ms: int64, shape (g, T).
        ts_row: int32, shape (k,).
        values: float64, shape (k, T).
        dense: True if there is no NaN of any kind.
    """

    pos: npt.NDArray[np.int32]
    ts_ms: Ints
    ts_row: npt.NDArray[np.int32]
    values: Floats
    dense: bool


class Slab:
    """Slots, rows and columns. One writer at a time (it holds ``lock``), any number of readers."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.values: Floats = no_samples((_FIRST_ROWS, WIDTH))
        self.ts_ms: Ints = np.full((_FIRST_SLOTS, WIDTH), TS_PAD, dtype=np.int64)
        self.count: Growable[np.int64] = Growable(np.int64, 0, _FIRST_SLOTS)
        self._seq: Growable[np.int64] = Growable(np.int64, 0, _FIRST_SLOTS)
        self._nan_col: Growable[np.int64] = Growable(np.int64, -1, _FIRST_SLOTS)
        self._row_ref: Growable[np.int64] = Growable(np.int64, -1, _FIRST_ROWS)
        self._row_slot: Growable[np.int32] = Growable(np.int32, -1, _FIRST_ROWS)
        self._ref_row: Growable[np.int64] = Growable(np.int64, -1, _FIRST_ROWS)
        self._row_blank: Growable[np.int32] = Growable(np.int32, 0, _FIRST_ROWS)
        self._extent: dict[int, tuple[int, int]] = {}
        self._free_slots: list[int] = []
        self._free_rows: list[tuple[int, int]] = []
        self._top_row = 0
        self._top_slot = 0
        self._used_rows = 0
        self._mapped_rows = 0
        self._moves = 0  # rises when rows are given or taken back

    @property
    def used_rows(self) -> int:
        """Rows that belong to a slot."""
        return self._used_rows

    def owners(self, refs: Refs) -> dict[int, int]:
        """Return the slots that hold some of these series now, and how many each."""
        room = self._ref_row.reserve(int(refs.max(initial=-1)) + 1)
        rows = room[refs]
        slots, counts = np.unique(self._row_slot.data[rows[rows >= 0]], return_counts=True)
        return dict(zip(slots.tolist(), counts.tolist(), strict=True))

    def allocate(self, refs: Refs) -> int:
        """Give a target a slot and rows for its series (each ref once), and return the slot."""
        size = len(refs)
        slot = self._free_slots.pop() if self._free_slots else self._new_slot()
        start = self._take_rows(size)
        self._row_ref.data[start : start + size] = refs
        self._row_slot.data[start : start + size] = slot
        self._row_blank.data[start : start + size] = 0
        self._extent[slot] = (start, size)
        self._nan_col.data[slot] = -1
        rows = self._ref_row.reserve(int(refs.max(initial=-1)) + 1)
        self._mapped_rows += int((rows[refs] < 0).sum())
        rows[refs] = np.arange(start, start + size)
        self._used_rows += size
        self._moves += 1
        return slot

    def write(self, slot: int, ts_ms: int, values: Floats) -> None:
        """Append one column to a slot that has room."""
        start, size = self._extent[slot]
        col = int(self.count.data[slot])
        self.values[start : start + size, col] = values
        if np.isnan(values).any():
            self._nan_col.data[slot] = col
        self.ts_ms[slot, col] = ts_ms
        self.count.data[slot] = col + 1

    def write_columns(self, slot: int, ts_ms: Ints, values: Floats) -> None:
        """Append columns, shape (k, T), to a slot that has room for them."""
        start, size = self._extent[slot]
        col = int(self.count.data[slot])
        stop = col + len(ts_ms)
        self.values[start : start + size, col:stop] = values
        gaps = np.flatnonzero(np.isnan(values).any(axis=0))
        if len(gaps):
            self._nan_col.data[slot] = col + int(gaps[-1])
        self.ts_ms[slot, col:stop] = ts_ms
        self.count.data[slot] = stop

    def columns(self, slot: int) -> tuple[Ints, Floats]:
        """Return a slot's timestamps (T,) and values (k, T); views, for the writer only."""
        start, size = self._extent[slot]
        count = int(self.count.data[slot])
        return self.ts_ms[slot, :count], self.values[start : start + size, :count]

    def drop(self, slot: int, columns: int) -> None:
        """Take the oldest columns of a slot away."""
        start, size = self._extent[slot]
        left = int(self.count.data[slot]) - columns
        self._seq.data[slot] += 1
        self.count.data[slot] = left
        block = self.values[start : start + size]
        block[:, :left] = block[:, columns : columns + left].copy()
        self.ts_ms[slot, :left] = self.ts_ms[slot, columns : columns + left].copy()
        self.ts_ms[slot, left:] = TS_PAD
        self._nan_col.data[slot] -= columns
        blank = self._row_blank.data[start : start + size]
        np.maximum(blank - columns, 0, out=blank)
        self._seq.data[slot] += 1

    def erase(self, refs: Refs, mint: int, maxt: int) -> None:
        """Let some series have no samples in [mint, maxt]; the caller holds the lock."""
        wanted = np.zeros(
            max(len(self._ref_row.data), int(refs.max(initial=0)) + 1), dtype=np.bool_
        )
        wanted[refs] = True
        for slot, (start, size) in self._extent.items():
            mine = np.flatnonzero(wanted[self._row_ref.data[start : start + size]]) + start
            count = int(self.count.data[slot])
            ts = self.ts_ms[slot, :count]
            low, high = np.searchsorted(ts, mint), np.searchsorted(ts, maxt, side="right")
            if not len(mine) or low >= high:
                continue
            self._seq.data[slot] += 1
            self.values[mine, low:high] = no_samples(1)
            self._nan_col.data[slot] = max(int(self._nan_col.data[slot]), int(high) - 1)
            blank = self._row_blank.data[mine]
            self._row_blank.data[mine] = np.where(blank >= low, np.maximum(blank, high), blank)
            self._seq.data[slot] += 1

    def free(self, slot: int) -> None:
        """Give a slot and its rows back."""
        start, size = self._extent.pop(slot)
        self._seq.data[slot] += 1
        self.count.data[slot] = 0
        self.ts_ms[slot] = TS_PAD
        refs = self._row_ref.data[start : start + size].copy()
        mine = self._ref_row.data[refs] == np.arange(start, start + size)
        self._ref_row.data[refs[mine]] = -1
        self._row_ref.data[start : start + size] = -1
        self._row_slot.data[start : start + size] = -1
        self._mapped_rows -= int(mine.sum())
        self._used_rows -= size
        self._seq.data[slot] += 1
        self._moves += 1
        self._free_slots.append(slot)
        self._give_rows(start, size)

    def gather(self, refs: Refs, lookup: Lookup, mint: int, maxt: int) -> list[SlabPart]:
        """Copy the samples of some series in [mint, maxt].

        Args:
            refs: The series.
            lookup: Position in ``refs`` by ref, -1 for every other series.
            mint: First time.
            maxt: Last time.
        """
        for attempt in range(_HASTY_TRIES):
            parts = self._try_gather(refs, lookup, mint, maxt)
            if parts is not None:
                return parts
            time.sleep(0 if attempt < _HASTY_TRIES // 2 else 0.001)
        with self._lock:  # the writer is too busy for us: make it wait
            parts = self._try_gather(refs, lookup, mint, maxt)
        assert parts is not None, "nobody else moves rows while the lock is held"
        return parts

    def cut(self, selection: Selection, mint: int, maxt: int) -> list[Part] | None:
        """Copy the samples of selected series in [mint, maxt]; None if it must be done by ``gather``."""
        moves = self._moves
        if self._used_rows != self._mapped_rows:
            return None  # a series is in two slots
        key = ("slab", moves)
        where = selection.places.get(key)
        if where is None and key not in selection.elsewhere:
            where = self._place(selection.refs)
            if self._moves != moves:
                return None
            selection.remember(key, where)
        if where is None:
            return []
        for _ in range(_HASTY_TRIES):
            parts = self._try_cut(where, mint, maxt)
            if self._moves != moves:
                return None
            if parts is not None:
                return parts
            time.sleep(0)
        return None

    def _place(self, refs: Refs) -> Place | None:
        known = refs[: np.searchsorted(refs, len(self._ref_row.data))]
        rows = self._ref_row.data[known]
        pos = np.flatnonzero(rows >= 0)
        if not len(pos):
            return None
        return place(pos, rows[pos], self._row_slot.data[rows[pos]])

    def _try_cut(self, where: Place, mint: int, maxt: int) -> list[Part] | None:
        slots = where.times
        count, seq = self.count.data[slots].copy(), self._seq.data[slots].copy()
        ts_ms = self.ts_ms[slots]
        lows = np.minimum((ts_ms < mint).sum(axis=1), count)
        highs = np.minimum((ts_ms <= maxt).sum(axis=1), count)
        clean = self._nan_col.data[slots] < lows
        values = self.values  # after the counts: at least as new as they are
        parts = []
        for low, high, mine in classes_apart(lows, highs, clean):
            columns = values[:, low:high]
            if mine is None:
                got, times = columns[where.rows], ts_ms[:, low:high]
                copied = got.copy() if isinstance(where.rows, slice) else got
                cells = Cells(copied, bool(clean.all()))
                parts.append(Part(where.pos, times.copy(), where.ts_row, cells))
                continue
            sel = np.flatnonzero(mine[where.ts_row])
            if not len(sel):
                continue
            rows = where.rows
            rows = np.arange(rows.start, rows.stop)[sel] if isinstance(rows, slice) else rows[sel]
            ts_row = (np.cumsum(mine) - 1).astype(np.int32)[where.ts_row[sel]]
            cells = Cells(columns[rows], bool(clean[mine].all()))
            parts.append(Part(where.pos[sel], ts_ms[mine, low:high], ts_row, cells))
        now = self._seq.data[slots]
        return None if (now != seq).any() or (now & 1).any() else parts

    def present(self, mint: int, maxt: int) -> Refs:
        """Return the refs of slots that have columns in the range."""
        count, ts = self.count.data, self.ts_ms
        some = count[: len(ts)] > 0
        last = np.maximum(count[: len(ts)] - 1, 0)
        near = some & (ts[:, 0] <= maxt) & (ts[np.arange(len(ts)), last] >= mint)
        slots = self._row_slot.data[: self._top_row]
        refs = self._row_ref.data[: len(slots)]
        some = self._row_blank.data[: len(slots)] < count[slots]
        return refs[(slots >= 0) & (refs >= 0) & near[slots] & some]

    def span(self) -> tuple[int, int]:
        """Return the times of the oldest and the newest column; the first is larger if there is none."""
        some = self.ts_ms[self.ts_ms != TS_PAD]
        return int(some.min(initial=TS_PAD)), int(some.max(initial=-TS_PAD))

    def _try_gather(
        self, refs: Refs, lookup: Lookup, mint: int, maxt: int
    ) -> list[SlabPart] | None:
        count, seq = self.count.data.copy(), self._seq.data.copy()
        rows = self._rows(refs, lookup)
        if not len(rows):
            return []
        slot_of = self._row_slot.data[rows]
        row_refs = self._row_ref.data[rows]
        here = (slot_of >= 0) & (slot_of < len(count)) & (row_refs >= 0)
        here &= row_refs < len(lookup)
        rows, slot_of, row_refs = rows[here], slot_of[here], row_refs[here]
        slots, slot_at = np.unique(slot_of, return_inverse=True)
        ts = self.ts_ms[slots]
        valid = np.arange(WIDTH) < count[slots][:, None]
        low = (valid & (ts < mint)).sum(axis=1)
        high = (valid & (ts <= maxt)).sum(axis=1)
        clean = self._nan_col.data[slots] < low
        pos = lookup[row_refs]
        values = self.values  # after the counts: at least as new as they are
        parts = list(
            _split(
                values,
                rows,
                pos,
                slot_at=slot_at.reshape(-1),
                ts=ts,
                low=low,
                high=high,
                clean=clean,
            )
        )
        now = self._seq.data[slots]
        if (now != seq[slots]).any() or (now & 1).any():
            return None
        return parts

    def _rows(self, refs: Refs, lookup: Lookup) -> npt.NDArray[np.int64]:
        if self._used_rows == self._mapped_rows:
            known = refs[: np.searchsorted(refs, len(self._ref_row.data))]
            rows = self._ref_row.data[known]
            return rows[rows >= 0]
        row_ref = self._row_ref.data[: self._top_row]
        seen = np.flatnonzero((row_ref >= 0) & (row_ref < len(lookup)))
        return seen[lookup[row_ref[seen]] >= 0]

    def _new_slot(self) -> int:
        slot = self._top_slot
        self._top_slot += 1
        if slot >= len(self.ts_ms):
            grown = np.full((len(self.ts_ms) * 2, WIDTH), TS_PAD, dtype=np.int64)
            grown[: len(self.ts_ms)] = self.ts_ms
            self.ts_ms = grown
        for column in (self._seq, self._nan_col, self.count):
            column.reserve(slot + 1)
        return slot

    def _take_rows(self, size: int) -> int:
        for i, (start, room) in enumerate(self._free_rows):
            if room >= size:
                if room == size:
                    del self._free_rows[i]
                else:
                    self._free_rows[i] = (start + size, room - size)
                return start
        start = self._top_row
        self._top_row += size
        if self._top_row > len(self.values):
            grown = np.empty((max(self._top_row, len(self.values) * 3 // 2), WIDTH))
            grown[:start] = self.values[:start]
            self.values = grown
        self._row_ref.reserve(self._top_row)
        self._row_slot.reserve(self._top_row)
        self._row_blank.reserve(self._top_row)
        return start

    def _give_rows(self, start: int, size: int) -> None:
        merged: list[tuple[int, int]] = []
        for at, room in sorted([*self._free_rows, (start, size)]):
            if merged and sum(merged[-1]) == at:
                merged[-1] = (merged[-1][0], merged[-1][1] + room)
            else:
                merged.append((at, room))
        if merged and sum(merged[-1]) == self._top_row:
            self._top_row = merged.pop()[0]
        self._free_rows = merged


def _split(
    values: Floats,
    rows: npt.NDArray[np.int64],
    pos: npt.NDArray[np.int32],
    *,
    slot_at: npt.NDArray[np.intp],
    ts: Ints,
    low: npt.NDArray[np.int64],
    high: npt.NDArray[np.int64],
    clean: npt.NDArray[np.bool_],
) -> Iterator[SlabPart]:
    """Yield one part for each pair of first and last column that occurs."""
    key = (low * (WIDTH + 1) + high) * 2 + clean
    key[high <= low] = -1
    for one in np.unique(key).tolist():
        if one < 0:
            continue
        mine = key == one
        first, last = divmod(one // 2, WIDTH + 1)
        number = np.cumsum(mine) - 1
        if mine.all():
            picked, ts_row, at = rows, slot_at, pos
        else:
            sel = mine[slot_at]
            picked, ts_row, at = rows[sel], number[slot_at[sel]], pos[sel]
        yield SlabPart(
            at,
            np.ascontiguousarray(ts[mine, first:last]),
            ts_row.astype(np.int32),
            values[:, first:last][picked],
            bool(one & 1),
        )
