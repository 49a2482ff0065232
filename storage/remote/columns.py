"""What one request holds, as columns; both versions of the protocol are decoded to this."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from model.histogram.pool import HistogramPool, concat_pools
from model.samples import Floats, Ints
from storage.interface import BadWriteError, Metadata

Rows = npt.NDArray[np.int64]


class RemoteWriteError(BadWriteError):
    """A remote write request that will never be right, or something in it."""


class HistogramRows(Struct, frozen=True):
    """The native histograms of a request; all arrays have shape (histograms,).

    Attributes:
        rows: Number of the series of each.
        ts_ms: Their times.
        start_ms: Their start timestamps, 0 for none.
        stale: Which ones are stale markers.
        pool: The histograms themselves.
    """

    rows: Rows
    ts_ms: Ints
    start_ms: Ints
    stale: npt.NDArray[np.bool_]
    pool: HistogramPool

    def of_series(self, numbers: Rows) -> "HistogramRows":
        """Return it with other series' numbers: ``numbers[rows]``; those with -1 are left out."""
        rows = numbers[self.rows]
        good = rows >= 0
        return HistogramRows(
            rows[good],
            self.ts_ms[good],
            self.start_ms[good],
            self.stale[good],
            self.pool.take(good),
        )


def joined(parts: Sequence[HistogramRows], order: Rows) -> HistogramRows:
    """Put histograms behind one another, and take them in an order."""
    return HistogramRows(
        np.concatenate([part.rows for part in parts])[order],
        np.concatenate([part.ts_ms for part in parts])[order],
        np.concatenate([part.start_ms for part in parts])[order],
        np.concatenate([part.stale for part in parts])[order],
        concat_pools([part.pool for part in parts]).take(order),
    )


class RawExemplar(Struct, frozen=True):
    """An exemplar as it came: the number of its series, its labels in pairs, and what it says."""

    row: int
    pairs: tuple[tuple[str, str], ...]
    value: float
    ts_ms: int


class Columns(Struct):
    """What one request holds.

    Attributes:
        rows: int64, shape (samples,): number of the series of each sample.
        ts_ms: int64, shape (samples,).
        values: float64, shape (samples,); bits as they came.
        start_ms: int64, shape (samples,), start timestamps, 0 for none; None if no sample has any.
        histograms: None if there are none.
        exemplars: In the order in which they came.
        metadata: By metric family.
        faults: What is wrong, a sentence for each series or histogram that is left out.
    """

    rows: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    ts_ms: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    values: Floats = field(default_factory=lambda: np.empty(0, dtype=np.float64))
    start_ms: Ints | None = None
    histograms: HistogramRows | None = None
    exemplars: list[RawExemplar] = field(default_factory=list)
    metadata: dict[str, Metadata] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
