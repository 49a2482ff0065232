"""Samples on their way in: batches of columns, and the two special values.

Both special values are signalling NaNs: ``x + 0.0`` and float32 casts change their bits, so they
are told apart only by ``is_stale`` and ``is_no_sample``, which look at ``view(int64)``.
"""

from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.labels import Labels

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STALE_BITS: Final = 0x7FF0000000000002  # prometheus model/value: StaleNaN
NO_SAMPLE_BITS: Final = 0x7FF0000000000A5E  # ours: this series has no sample at this time
STALE: Final = np.array([STALE_BITS], dtype=np.int64).view(np.float64)
NO_SAMPLE: Final = np.array([NO_SAMPLE_BITS], dtype=np.int64).view(np.float64)


def is_stale(values: Floats) -> Bools:
    """Tell which values are stale markers; any shape."""
    bits: Ints = np.ascontiguousarray(values).view(np.int64)
    return np.equal(bits, STALE_BITS)


def is_no_sample(values: Floats) -> Bools:
    """Tell where there is no sample at all; any shape."""
    bits: Ints = np.ascontiguousarray(values).view(np.int64)
    return np.equal(bits, NO_SAMPLE_BITS)


def no_samples(shape: int | tuple[int, ...]) -> Floats:
    """Return an array that holds no sample anywhere."""
    return np.full(shape, NO_SAMPLE_BITS, dtype=np.int64).view(np.float64)


def stale_markers(shape: int | tuple[int, ...]) -> Floats:
    """Return an array of stale markers."""
    return np.full(shape, STALE_BITS, dtype=np.int64).view(np.float64)


class ScrapeBatch(Struct, frozen=True):
    """One sample of each series of a layout, all at one time: what one scrape gives.

    Attributes:
        layout_id: What ``Appender.layout`` returned for these series.
        ts_ms: Time of the scrape, ms since the epoch, UTC.
        values: float64, shape (series of the layout,), in the layout's order; NO_SAMPLE where
            the scrape had none, STALE where a series has gone.
    """

    layout_id: int
    ts_ms: int
    values: Floats


class Exemplar(Struct, frozen=True):
    """One measurement that went into a sample, and what it belongs to (usually ``trace_id``)."""

    labels: Labels
    value: float
    ts_ms: int


class Ticket(Protocol):
    """The receipt of an append."""

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the data survives ``kill -9`` (it is fsynced at most 1 s later); False on time-out.

        Raises:
            StorageError: If it could not be written; nothing of it is stored then.
        """
        ...


class SeriesBlock(Struct, frozen=True):
    """The series of one thing that is measured (a container, the node, one health check), now.

    Attributes:
        key: Stable name of the thing, unique within its source (``container/<task id>``).
        labels: One label set per series, ``__name__`` included. The same object as last time as
            long as the set of series is the same, so that a consumer may key on its ``id()``.
        values: float64, shape (series,); NO_SAMPLE where there is none now.
    """

    key: str
    labels: tuple[Labels, ...]
    values: Floats


class SeriesSource(Protocol):
    """Measures something when asked. The collector stores its answers, ``/metrics`` shows them."""

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        """Return one block per thing measured; a thing that is gone has no block any more.

        Never raises for what it measures: what cannot be read is left out and counted.
        """
        ...
