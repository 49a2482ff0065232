"""Cutting what the lane held into chunks for a block."""

import itertools
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from model.samples import Ints, no_samples
from storage.interface import TS_PAD, Refs
from storage.tsdb.chunk import FRAME_SERIES, Chunk, encode_late_chunk
from storage.tsdb.samples import Samples, groups_of, scattered, scattered_starts

MOST_COLUMNS: Final = 512  # of a chunk in a block: what one series costs to read
_MOST_NUMBERS: Final = 1 << 17  # of the buckets of a frame: what one series of histograms costs
_SHARED: Final = 8  # rows with the same times that are worth frames of their own
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)

Rows = npt.NDArray[np.int64]


def late_chunks(
    samples: Samples, metric_codes: Callable[[Refs], npt.NDArray[np.int32]]
) -> Iterator[Chunk]:
    """Cut settled samples into chunks of one frame.

    Series that stand together are of one kind (floats or histograms) and like length, have the
    same times if enough of them do, and are of one metric as far as that goes.
    """
    refs, starts = groups_of(samples.refs)
    starts, counts = starts[:-1], np.diff(starts)
    pieces = -(-counts // MOST_COLUMNS)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    row_ref = np.repeat(refs, pieces)
    row_start = np.repeat(starts, pieces) + number * MOST_COLUMNS
    row_stop = np.minimum(row_start + MOST_COLUMNS, np.repeat(starts + counts, pieces))
    size = row_stop - row_start
    size_class = np.ceil(np.log2(size)).astype(np.int64)
    kind = _kinds(samples, row_start)
    times = _same_times(samples.ts_ms, row_start, size)
    order = np.lexsort((row_start, metric_codes(row_ref), times, size_class, kind))
    edges = np.flatnonzero(
        (np.diff(size_class[order]) != 0)
        | (np.diff(kind[order]) != 0)
        | (times[order][1:] != times[order][:-1])
    )
    for first, stop in itertools.pairwise([0, *(edges + 1).tolist(), len(order)]):
        part = order[first:stop]
        step = FRAME_SERIES
        if kind[part[0]]:
            numbers = int(size[part].max()) << int(kind[part[0]])
            step = max(1, min(step, _MOST_NUMBERS // numbers))
        for at in range(0, len(part), step):
            rows = part[at : at + step]
            yield _late_chunk(samples, row_ref[rows], row_start[rows], size[rows])


def _kinds(samples: Samples, starts: Rows) -> Rows:
    """Return the level of each row's widest histogram; 0 if it has none."""
    if samples.histograms is None or not len(starts):
        return np.zeros(len(starts), dtype=np.int64)
    kinds: Rows = np.maximum.reduceat(samples.histograms.levels, starts)
    return kinds


def _same_times(ts_ms: Ints, starts: Rows, sizes: Rows) -> npt.NDArray[np.uint64]:
    """Return a number for each row that rows with the same times share; 0 where few do."""
    if not len(starts):
        return np.zeros(0, dtype=np.uint64)
    place = np.arange(len(ts_ms)) - np.repeat(starts, sizes)
    weights = (place.astype(np.uint64) * _ODD) | np.uint64(1)
    signature = np.add.reduceat(ts_ms.view(np.uint64) * weights, starts)
    _, inverse, shared = np.unique(signature, return_inverse=True, return_counts=True)
    return np.where(shared[inverse.reshape(-1)] >= _SHARED, signature, np.uint64(0))


def _late_chunk(samples: Samples, refs: Refs, starts: Ints, sizes: Ints) -> Chunk:
    width = int(sizes.max())
    columns = np.arange(width)
    here = columns < sizes[:, None]
    where = (starts[:, None] + columns)[here]
    shape = (len(refs), width)
    ts = np.full(shape, TS_PAD, dtype=np.int64)
    values = no_samples(shape)
    ts[here] = samples.ts_ms[where]
    values[here] = samples.values[where]
    if (ts == ts[0]).all():
        ts = ts[:1]
    start_ms = scattered_starts(samples.start_ms, shape, here, where)
    column = scattered(samples.histograms, shape, here, where)
    return encode_late_chunk(refs, ts, values, start_ms, column)
