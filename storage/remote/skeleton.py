"""Remote-write requests that differ from an earlier one in nothing but values and times."""

from typing import Final

import numpy as np
from msgspec import Struct

from model.samples import Ints
from storage.remote.columns import Columns, Rows
from storage.remote.lookalikes import Lookalikes
from storage.remote.samples import SampleReader, usual_samples
from storage.remote.wire import SAMPLE_BYTES, TIME_OFFSET, VALUE_OFFSET

_TELLING: Final = 64  # bytes at either end that tell requests of one length apart
_FEWEST: Final = 100  # samples; smaller requests are not worth it
# where a usual sample differs from the one before it
_VARYING: Final = np.array(
    [*range(VALUE_OFFSET, VALUE_OFFSET + 8), *range(TIME_OFFSET, SAMPLE_BYTES)]
)

Key = tuple[int, bytes, bytes]


class _Skeleton(Struct, frozen=True):
    """Whose samples an earlier request had, and where they stood."""

    rows: Rows
    at: Ints


class Skeletons:
    """What earlier requests looked like, the latest ones; for one thread at a time."""

    def __init__(self) -> None:
        self._known: Lookalikes[_Skeleton] = Lookalikes()

    def forget(self) -> None:
        """Begin anew."""
        self._known.forget()

    def read(self, data: bytes) -> Columns | None:
        """Return what a request holds if it looks like an earlier one.

        Raises:
            WireError: If it does, but a time in it is none.
        """
        found = self._known.find(_key(data), data)
        if found is None:
            return None
        ts_ms, values = usual_samples(np.frombuffer(data, dtype=np.uint8), found.at)
        return Columns(found.rows, ts_ms, values)

    def remember(self, data: bytes, samples: SampleReader, found: Columns) -> None:
        """Keep a request that was read otherwise, if one like it came before and there is nothing odd in it."""
        odd = samples.others or samples.started or found.metadata or found.faults
        if odd or found.exemplars or len(found.rows) < _FEWEST:
            return
        if self._known.is_due(key := _key(data)):
            at = np.array(samples.at, dtype=np.int64)
            kept = _Skeleton(found.rows, at)
            self._known.keep(key, data, at[:, None] + _VARYING, kept, at.nbytes)


def _key(data: bytes) -> Key:
    """Return what likely differs between requests of other series: length, first and last labels."""
    return len(data), data[:_TELLING], data[-SAMPLE_BYTES - _TELLING : -SAMPLE_BYTES]
