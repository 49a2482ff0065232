"""What a store gave, cut for the steps of a query: instant vectors and windows."""

from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.histogram.pool import (
    GAUGE,
    UNKNOWN,
    HistogramColumn,
    HistogramPool,
    Int32s,
    concat_pools,
)
from model.samples import Bools, Floats, Ints, is_no_sample, is_stale
from model.steady import rows_of
from promql.block import Block, Rows
from promql.windows import Chunk, Extension, Index, Windows, columns_of, index_classes, search_rows
from storage.interface import TS_PAD, Group, SeriesSet

_FEW_CLASSES = 16


class _Pools:
    """Collects the histograms of several groups into one pool."""

    def __init__(self) -> None:
        self._pools: list[HistogramPool] = []
        self._size = 0

    def add(self, group: Group) -> Int32s | None:
        """Return the pool rows of a group's histograms, shape (k, T); -1 where there is none."""
        found = group.histograms
        if found is None:
            return None
        index = np.where(found.index >= 0, found.index + np.int32(self._size), np.int32(-1))
        pool = found.pool
        self._pools.append(pool)
        self._size += pool.size
        return index

    def pool(self) -> HistogramPool | None:
        return concat_pools(self._pools) if self._pools else None


def _split(index: Index, ts_row: Index) -> list[tuple[Index, Index | None]]:
    """Cut the series of a group by window indices.

    Returns:
        Pairs ``(series, representative)``: positions of series in the group, and the row of
        ``index`` they share; None where there are too many kinds to go through one by one.
    """
    classes = index_classes(index)
    if len(classes) == 1:
        return [(np.arange(len(ts_row)), classes[0][:1])]
    if len(classes) > max(_FEW_CLASSES, len(ts_row) // _FEW_CLASSES):
        return [(np.arange(len(ts_row)), None)]
    class_of = np.empty(len(index), dtype=np.int64)
    for number, rows in enumerate(classes):
        class_of[rows] = number
    of_series = class_of[ts_row]
    parts = [(np.flatnonzero(of_series == n), rows[:1]) for n, rows in enumerate(classes)]
    return [part for part in parts if len(part[0])]


def instant(
    found: SeriesSet,
    ts_ms: Ints,
    lookback_ms: int,
    *,
    times: bool = False,
    start_times: bool = False,
) -> Block:
    """Return the most recent sample of each series at each step.

    Args:
        found: What a select gave.
        ts_ms: int64, shape (S,): the times looked at, offsets taken off.
        lookback_ms: How old a sample may be; one exactly that old is too old.
        times: Whether ``sample_ms`` is wanted.
        start_times: Whether ``start_ms`` is wanted.
    """
    if len(found.groups) == 1 and not times and not start_times:
        block = _aligned(found, ts_ms, lookback_ms)
        if block is not None:
            return block
    shape = (found.labels.size, len(ts_ms))
    values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
    sample_ms = np.zeros(shape, dtype=np.int64) if times else None
    start_ms = np.zeros(shape, dtype=np.int64) if start_times else None
    pools = _Pools()
    hist_index: Int32s | None = None
    for group in [part for whole in found.groups for part in _apart(whole)]:
        hist = pools.add(group)
        if hist is not None and hist_index is None:
            hist_index = np.full(shape, -1, dtype=np.int32)
        ts_row = group.ts_row.astype(np.int64)
        last = search_rows(group.ts_ms, ts_ms) - 1
        for series, shared in _split(last, ts_row):
            rows = group.rows[series]
            index = last[shared[0]] if shared is not None else last[ts_row[series]]
            part = _Part(group, series, ts_row[series])
            if not group.dense:
                index = part.skip_holes(index, hist)
            got = part.pick(group.values, index)
            at = part.times(index)
            here = (index >= 0) & (at > ts_ms - lookback_ms)
            if not group.dense:
                here &= ~is_stale(got)
            values[rows] = got
            present[rows] = here
            if sample_ms is not None:
                sample_ms[rows] = at
            if start_ms is not None and group.start_ms is not None:
                start_ms[rows] = part.pick(group.start_ms, index)
            if hist is not None and hist_index is not None:
                hist_index[rows] = part.pick(hist, index)
    pool, column = pools.pool(), None
    if pool is not None and hist_index is not None:
        column = HistogramColumn(np.where(present, hist_index, np.int32(-1)), pool)
    keep = np.zeros(shape[0], dtype=bool)
    block = Block(found.labels, values, present, keep, column, sample_ms, start_ms)
    return block.compact()


def _apart(group: Group) -> list[Group]:
    """Cut a group in two: the series without a hole or stale marker, and the others."""
    if group.dense or group.histograms is not None:
        return [group]
    odd = is_no_sample(group.values) | is_stale(group.values)
    whole: Bools = ~(odd & (group.ts_ms != TS_PAD)[group.ts_row]).any(axis=1)
    if whole.all():
        return [replace(group, dense=True)]
    if not np.any(whole):
        return [group]
    return [_some(group, whole, dense=True), _some(group, ~whole, dense=False)]


def _some(group: Group, keep: Bools, *, dense: bool) -> Group:
    start = None if group.start_ms is None else rows_of(group.start_ms, keep)
    rows, ts_row = group.rows[keep], group.ts_row[keep]
    return Group(rows, group.ts_ms, ts_row, group.values[keep], dense, None, start)


class _Part(Struct, frozen=True):
    """Some series of a group, and how cells of theirs are picked."""

    group: Group
    series: Index
    ts_row: Index

    def _own(self, matrix: Any) -> Any:
        return matrix if len(self.series) == len(matrix) else matrix[self.series]

    def pick(self, matrix: Any, index: Index) -> Any:
        """Return cells of a (k, T) matrix; ``index`` is (S,) for all series alike, or (k, S)."""
        index = np.maximum(index, 0)
        if index.ndim == 1:
            return self._own(matrix)[:, columns_of(index)]
        return np.take_along_axis(self._own(matrix), index, axis=1)

    def times(self, index: Index) -> Ints:
        """Return sample times; (1, S) where all series share them."""
        index, ts_ms = np.maximum(index, 0), self.group.ts_ms
        out: Ints
        if index.ndim == 1:
            out = ts_ms[:, index]
            return out if len(ts_ms) == 1 else out[self.ts_row]
        out = np.take_along_axis(ts_ms[self.ts_row], index, axis=1)
        return out

    def skip_holes(self, index: Index, hist: Int32s | None) -> Index:
        """Return, for each series, the index of its last sample at or before ``index``."""
        last = _last_sample(self._own(self.group.values), None if hist is None else self._own(hist))
        spread = np.broadcast_to(index, (len(self.series), index.shape[-1]))
        found = np.take_along_axis(last, np.maximum(spread, 0), axis=1)
        return np.where(spread < 0, -1, found)


def _aligned(found: SeriesSet, ts_ms: Ints, lookback_ms: int) -> Block | None:
    """Return the vector as a view of the samples where all series share the columns; None elsewhere."""
    (group,) = found.groups
    size = found.labels.size
    if not group.dense or group.histograms is not None or not group.ts_ms.size:
        return None
    if not _covers(group, size):
        return None
    keep = np.zeros(size, dtype=bool)
    if len(ts_ms) == 1 and _within(group, int(ts_ms[0]) - lookback_ms, int(ts_ms[0])):
        # all of it is recent, so the last column is the answer
        return Block(found.labels, group.values[:, -1:], np.ones((size, 1), dtype=bool), keep)
    last = search_rows(group.ts_ms, ts_ms) - 1
    if (last != last[0]).any():
        return None
    index = np.maximum(last[0], 0)
    here = (last[0] >= 0) & (group.ts_ms[:, index] > ts_ms - lookback_ms)
    if not here.all() and len(here) > 1:
        here = here[group.ts_row]
    present = np.broadcast_to(here if len(here) == size else here[:1], (size, len(ts_ms)))
    return Block(found.labels, group.values[:, columns_of(index)], present, keep).compact()


def _covers(group: Group, size: int) -> bool:
    """Tell whether a group has all series, in their order."""
    return len(group.rows) == size and bool((group.rows == np.arange(size)).all())


def _last_sample(values: Floats, hist: Int32s | None) -> Index:
    """Return for each cell the index of the last sample at or before it, -1 for none; shape (k, T)."""
    sample = ~is_no_sample(values)
    if hist is not None:
        sample |= hist >= 0
    marks = np.where(sample, np.arange(values.shape[1]), -1)
    return np.maximum.accumulate(marks, axis=1)


def windows(
    found: SeriesSet,
    starts_ms: Ints,
    ends_ms: Ints,
    range_ms: int,
    extension: Extension | None = None,
) -> Windows:
    """Return the windows (start, end] of each series; stale markers are in none."""
    pools = _Pools()
    chunks: list[Chunk] = []
    for group in found.groups:
        alone = len(ends_ms) == 1 and extension is None
        if alone and _within(group, int(starts_ms[0]), int(ends_ms[0])):
            chunks.append(_only_window(group))
            continue
        hist = pools.add(group)
        ts_row = group.ts_row.astype(np.int64)
        low, high = search_rows(group.ts_ms, starts_ms), search_rows(group.ts_ms, ends_ms)
        high = np.maximum(low, high)
        index = [low, high]
        if extension is not None:
            index.append(search_rows(group.ts_ms, extension.starts_ms))
            index.append(search_rows(group.ts_ms, extension.ends_ms - 1))
        for series, shared in _split(np.concatenate(index, axis=1), ts_row):
            rows = shared[0] if shared is not None else ts_row[series]
            picked = [np.asarray(part[rows]) for part in index]
            whole = len(series) == len(group.rows)
            chunk = Chunk(
                rows=group.rows[series].astype(np.int64),
                ts_ms=group.ts_ms if shared is not None else group.ts_ms[ts_row[series]],
                ts_row=ts_row[series] if shared is not None else np.arange(len(series)),
                values=group.values if whole else group.values[series],
                low=picked[0],
                high=picked[1],
                hist=hist if whole or hist is None else hist[series],
                start_ms=_starts_of(group, series),
                inner_low=picked[2] if extension is not None else None,
                inner_high=picked[3] if extension is not None else None,
            )
            chunks.extend([chunk] if group.dense else _without_holes(chunk))
    keep = np.zeros(found.labels.size, dtype=bool)
    ranges = starts_ms, ends_ms, range_ms
    return Windows(found.labels, keep, tuple(chunks), *ranges, pools.pool(), extension)


def _starts_of(group: Group, series: Index) -> Ints | None:
    if group.start_ms is None or len(series) == len(group.rows):
        return group.start_ms
    return rows_of(group.start_ms, series)


def _within(group: Group, start_ms: int, end_ms: int) -> bool:
    """Tell whether a group holds the samples of one window and nothing else."""
    if not group.dense or group.histograms is not None or not group.ts_ms.size:
        return False
    return bool(group.ts_ms[:, 0].min() > start_ms and group.ts_ms[:, -1].max() <= end_ms)


def _only_window(group: Group) -> Chunk:
    """Return a group that is one window, as stores give it for an instant query."""
    low = np.zeros(1, dtype=np.int64)
    return Chunk(
        rows=group.rows.astype(np.int64),
        ts_ms=group.ts_ms,
        ts_row=group.ts_row.astype(np.int64),
        values=group.values,
        low=low,
        high=low + group.values.shape[1],
        start_ms=group.start_ms,
    )


def _without_holes(chunk: Chunk) -> list[Chunk]:
    """Take holes and stale markers out of the series that have some; the others stay as they are."""
    sample = ~is_no_sample(chunk.values) & ~is_stale(chunk.values)
    if chunk.hist is not None:
        sample |= chunk.hist >= 0
    padding = chunk.ts_ms == TS_PAD
    whole: Bools = (sample | padding[chunk.ts_row]).all(axis=1)
    if whole.all():
        return [chunk]
    kept = [chunk_rows(chunk, whole)] if np.any(whole) else []
    rest, sample = chunk_rows(chunk, ~whole) if kept else chunk, sample[~whole]
    alike = _alike(sample) if chunk.uniform else None
    if alike is None:
        return [*kept, rest.only(sample)]
    return [*kept, *(chunk_rows(rest, rows).columns(sample[rows[0]]) for rows in alike)]


def _alike(sample: Bools) -> list[Index] | None:
    """Group rows that have holes in the same places, as what was scraped or deleted at once; None if few have."""
    bits = np.packbits(sample, axis=1)
    classes: dict[bytes, list[int]] = {}
    for row, key in enumerate(map(bytes, bits)):
        classes.setdefault(key, []).append(row)
    if len(classes) > max(_FEW_CLASSES, len(sample) // _FEW_CLASSES):
        return None
    some = [np.array(rows, dtype=np.int64) for rows in classes.values()]
    return [rows for rows in some if sample[rows[0]].any()]


def chunk_rows(chunk: Chunk, keep: Rows) -> Chunk:
    """Return some series of a chunk."""

    def own(index: Index | None) -> Index | None:
        return index if index is None or chunk.uniform else index[keep]

    return replace(
        chunk,
        rows=chunk.rows[keep],
        ts_row=chunk.ts_row[keep],
        values=chunk.values[keep],
        low=chunk.low if chunk.uniform else chunk.low[keep],
        high=chunk.high if chunk.uniform else chunk.high[keep],
        hist=None if chunk.hist is None else chunk.hist[keep],
        start_ms=None if chunk.start_ms is None else rows_of(chunk.start_ms, keep),
        inner_low=own(chunk.inner_low),
        inner_high=own(chunk.inner_high),
    )


def block_windows(
    block: Block, at_ms: Ints, starts_ms: Ints, ends_ms: Ints, range_ms: int
) -> Windows:
    """Return the windows over a vector that was evaluated at the steps of a sub-query."""
    block = block.compact()
    low = np.searchsorted(at_ms, starts_ms, side="right")
    high = np.maximum(low, np.searchsorted(at_ms, ends_ms, side="right"))
    chunks: list[Chunk] = []
    if block.size and len(at_ms):
        hist = (
            None if block.hist is None else np.where(block.present, block.hist.index, np.int32(-1))
        )
        whole = Chunk(
            np.arange(block.size),
            at_ms[None, :],
            np.zeros(block.size, dtype=np.int64),
            block.values,
            low,
            high,
            hist,
        )
        full = block.present.all(axis=1)
        if full.any():
            chunks.append(whole if full.all() else chunk_rows(whole, full))
        if not full.all():
            chunks.append(chunk_rows(whole, ~full).only(block.present[~full]))
    pool = None if block.hist is None else block.hist.pool
    if pool is not None:
        # steps skip and repeat samples, so what a hint said of the sample before is not true any more
        hint = np.where(pool.hint == GAUGE, GAUGE, UNKNOWN).astype(np.int8)
        pool = replace(pool, hint=hint)
    return Windows(block.labels, block.drop_name, tuple(chunks), starts_ms, ends_ms, range_ms, pool)
