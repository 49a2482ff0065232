"""Samples with their own timestamps as columns: put behind one another, sorted, cut."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.histogram.pool import HistogramColumn, concat_columns
from model.samples import Floats, Ints
from storage.interface import Refs
from storage.tsdb.resets import kept_hints, told

_TIME_BITS: Final = 40  # 34 years of ms; together with 2**23 refs they fit into one sort key
_TIME_ROOM: Final = 1 << _TIME_BITS
_REF_ROOM: Final = 1 << 23

Where = npt.NDArray[np.integer] | npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples as columns of equal length.

    Attributes:
        refs: int64, shape (n,); refs or positions.
        ts_ms: int64, shape (n,).
        values: float64, shape (n,); NO_SAMPLE where there is a histogram.
        start_ms: int64, shape (n,), 0 for none; None if no sample has one.
        histograms: ``index`` of shape (n,); None if all are floats.
    """

    refs: npt.NDArray[np.int64]
    ts_ms: Ints
    values: Floats
    start_ms: Ints | None = None
    histograms: HistogramColumn | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.refs)

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        size = 24 * self.size if self.start_ms is None else 32 * self.size
        return size + column_bytes(self.histograms)

    def take(self, where: Where) -> "Samples":
        """Return the samples at an index array or mask; the pool stays as it is."""
        return Samples(
            self.refs[where],
            self.ts_ms[where],
            self.values[where],
            None if self.start_ms is None else self.start_ms[where],
            None if self.histograms is None else self.histograms.take(where),
        )


def column_bytes(column: HistogramColumn | None) -> int:
    """Return the size of a column's arrays."""
    if column is None:
        return 0
    arrays: dict[str, npt.NDArray[Any]] = column.pool.columns()
    return column.index.nbytes + sum(a.nbytes for a in arrays.values())


def concat(parts: list[Samples]) -> Samples:
    """Put samples behind one another."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Samples(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    start = None
    if any(p.start_ms is not None for p in parts):
        start = np.concatenate(
            [np.zeros(p.size, np.int64) if p.start_ms is None else p.start_ms for p in parts]
        )
    return Samples(
        np.concatenate([p.refs for p in parts]),
        np.concatenate([p.ts_ms for p in parts]),
        np.concatenate([p.values for p in parts]),
        start,
        concat_columns([p.histograms for p in parts], [(p.size,) for p in parts]),
    )


def settle(samples: Samples) -> Samples:
    """Sort by ref and time; of samples with the same ref and time the last one stays."""
    if not samples.size:
        return samples
    refs, ts = samples.refs, samples.ts_ms
    first = int(ts.min())
    if int(ts.max()) - first < _TIME_ROOM and int(refs.max()) < _REF_ROOM:
        key = (refs << _TIME_BITS) + (ts - first)
        if (key[1:] > key[:-1]).all():
            return samples
        order = np.argsort(key, kind="stable")  # merges what is sorted in parts already
        key = key[order]
        last = np.append(key[1:] != key[:-1], True)
    else:
        order = np.lexsort((ts, refs))
        refs, ts = refs[order], ts[order]
        last = np.append((refs[1:] != refs[:-1]) | (ts[1:] != ts[:-1]), True)
    return samples.take(order if last.all() else order[last])


def compacted(samples: Samples) -> Samples:
    """Leave out of the pool what no sample uses, and put the rest into the samples' order."""
    if samples.histograms is None:
        return samples
    return replace(samples, histograms=compacted_column(samples.histograms))


def compacted_column(column: HistogramColumn) -> HistogramColumn | None:
    """Leave out of a pool what is not used, in the order of use; None if nothing is."""
    here = column.index >= 0
    used = column.index[here]
    if not len(used):
        return None
    if len(used) == column.pool.size and used[0] == 0 and (np.diff(used) == 1).all():
        return column
    pool = kept_hints(column.pool.take(used), used)
    index = np.full(column.index.shape, -1, dtype=np.int32)
    index[here] = np.arange(len(used), dtype=np.int32)
    return HistogramColumn(index, pool)


def with_hints(samples: Samples) -> Samples:
    """Find out where histograms of settled samples fell against the one before them."""
    column = samples.histograms
    if column is None:
        return samples
    index, refs = column.index, samples.refs
    previous = np.full_like(index, -1)
    previous[1:] = np.where(refs[1:] == refs[:-1], index[:-1], np.int32(-1))
    here = index >= 0
    pool = told(column.pool, index[here], previous[here])
    return replace(samples, histograms=HistogramColumn(index, pool))


def settled_whole(samples: Samples) -> Samples:
    """Settle samples, their pool in the same order and with hints."""
    settled = settle(samples)
    return settled if settled.histograms is None else with_hints(compacted(settled))


def groups_of(refs: Refs) -> tuple[Refs, npt.NDArray[np.int64]]:
    """Return the distinct refs of a sorted column, and where each begins, the end included."""
    edges = np.flatnonzero(refs[1:] != refs[:-1]) + 1
    starts = np.zeros(len(edges) + 1 + bool(len(refs)), dtype=np.int64)
    starts[1 : len(edges) + 1] = edges
    starts[-1] = len(refs)
    return refs[starts[:-1]], starts


def ranges(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return all indices of some half-open ranges, one range after the other."""
    sizes = stops - starts
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    shifts: npt.NDArray[np.int64] = np.repeat(starts - (ends - sizes), sizes)
    shifts += np.arange(total)
    return shifts


def scattered(
    column: HistogramColumn | None, shape: tuple[int, ...], here: Where, where: Where
) -> HistogramColumn | None:
    """Lay a column's histograms out in a matrix: those at ``where`` go to ``here``."""
    if column is None:
        return None
    index = np.full(shape, -1, dtype=np.int32)
    index[here] = column.index[where]
    return HistogramColumn(index, column.pool) if (index >= 0).any() else None


def scattered_starts(
    start_ms: Ints | None, shape: tuple[int, ...], here: Where, where: Where
) -> Ints | None:
    """Lay start timestamps out in a matrix."""
    if start_ms is None:
        return None
    out = np.zeros(shape, dtype=np.int64)
    out[here] = start_ms[where]
    return out if out.any() else None
