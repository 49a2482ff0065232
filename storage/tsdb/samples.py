"""Samples with their own timestamps as columns: put behind one another, sorted, cut."""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Floats, Ints
from storage.interface import Refs
from storage.tsdb.stack import Stack

_TIME_BITS: Final = 40  # 34 years of ms; together with 2**23 refs they fit into one sort key
_TIME_ROOM: Final = 1 << _TIME_BITS
_REF_ROOM: Final = 1 << 23
SAMPLE_BYTES: Final = 24  # of a float without a start timestamp

Where = npt.NDArray[np.integer] | npt.NDArray[np.bool_]


class Samples(Struct, frozen=True):
    """Samples as columns of equal length.

    Attributes:
        refs: int64, shape (n,); refs or positions.
        ts_ms: int64, shape (n,).
        values: float64, shape (n,); NO_SAMPLE where there is a histogram.
        start_ms: int64, shape (n,), 0 for none; None if no sample has one.
        histograms: Of shape (n,); None if all are floats.
    """

    refs: npt.NDArray[np.int64]
    ts_ms: Ints
    values: Floats
    start_ms: Ints | None = None
    histograms: Stack | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.refs)

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        size = (SAMPLE_BYTES if self.start_ms is None else SAMPLE_BYTES + 8) * self.size
        return size if self.histograms is None else size + self.histograms.nbytes

    def take(self, where: Where) -> "Samples":
        """Return the samples at an index array or mask; the pool stays as it is."""
        return Samples(
            self.refs[where],
            self.ts_ms[where],
            self.values[where],
            None if self.start_ms is None else self.start_ms[where],
            None if self.histograms is None else self.histograms.take(where),
        )


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
        Stack.concat([p.histograms for p in parts], [p.size for p in parts]),
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
    stack: Stack | None, shape: tuple[int, ...], here: Where, where: Where
) -> Stack | None:
    """Lay histograms out in a matrix: those at ``where`` go to ``here``."""
    if stack is None:
        return None
    index = np.full(shape, -1, dtype=np.int32)
    index[here] = stack.index[where]
    return Stack(index, stack.pools) if (index >= 0).any() else None


def scattered_starts(
    start_ms: Ints | None, shape: tuple[int, ...], here: Where, where: Where
) -> Ints | None:
    """Lay start timestamps out in a matrix."""
    if start_ms is None:
        return None
    out = np.zeros(shape, dtype=np.int64)
    out[here] = start_ms[where]
    return out if out.any() else None
