"""Requests that differ from an earlier one in nothing but values and times.

Senders that have the same series each time (agents, load generators, Prometheus with few targets)
send such requests; one comparison of all bytes then stands for looking at every series.
"""

from collections import OrderedDict
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Ints
from storage.remote.columns import Columns, Rows
from storage.remote.samples import SampleReader, usual_samples
from storage.remote.wire import SAMPLE_BYTES, TIME_OFFSET, VALUE_OFFSET

_TELLING: Final = 64  # bytes at either end that tell requests of one length apart
_FEWEST: Final = 100  # samples; smaller requests are not worth it
_MAX_BYTES: Final = 64 << 20
_MAX_SEEN: Final = 10_000
# where a usual sample differs from the one before it
_VARYING: Final = np.array(
    [*range(VALUE_OFFSET, VALUE_OFFSET + 8), *range(TIME_OFFSET, SAMPLE_BYTES)]
)

Key = tuple[int, bytes, bytes]
Bytes = npt.NDArray[np.uint8]


class _Skeleton(Struct, frozen=True):
    """An earlier request: which bytes must be equal, and what they are."""

    mask: Bytes
    fixed: Bytes
    rows: Rows
    at: Ints


class Skeletons:
    """What earlier requests looked like, the latest ones; for one thread at a time."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, _Skeleton] = OrderedDict()
        self._seen: set[Key] = set()
        self._bytes = 0

    def forget(self) -> None:
        """Begin anew."""
        self._known.clear()
        self._seen.clear()
        self._bytes = 0

    def read(self, data: bytes) -> Columns | None:
        """Return what a request holds if it looks like an earlier one.

        Raises:
            WireError: If it does, but a time in it is none.
        """
        key = _key(data)
        found = self._known.get(key)
        if found is None:
            return None
        raw = np.frombuffer(data, dtype=np.uint8)
        if not np.array_equal(raw & found.mask, found.fixed):
            return None
        self._known.move_to_end(key)
        ts_ms, values = usual_samples(raw, found.at)
        return Columns(found.rows, ts_ms, values)

    def remember(self, data: bytes, samples: SampleReader, found: Columns) -> None:
        """Keep a request that was read otherwise, if one like it came before and there is nothing odd in it."""
        odd = samples.others or samples.started or found.metadata or found.faults
        if odd or found.exemplars or len(found.rows) < _FEWEST:
            return
        key = _key(data)
        if key not in self._seen:
            if len(self._seen) > _MAX_SEEN:
                self._seen.clear()
            self._seen.add(key)
            return
        if old := self._known.pop(key, None):
            self._bytes -= 2 * len(old.mask)
        at = np.array(samples.at, dtype=np.int64)
        mask = np.full(len(data), 0xFF, dtype=np.uint8)
        mask[at[:, None] + _VARYING] = 0
        fixed = np.frombuffer(data, dtype=np.uint8) & mask
        self._known[key] = _Skeleton(mask, fixed, found.rows, at)
        self._bytes += 2 * len(data)
        while self._bytes > _MAX_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= 2 * len(oldest.mask)


def _key(data: bytes) -> Key:
    """Return what likely differs between requests of other series: length, first and last labels."""
    return len(data), data[:_TELLING], data[-SAMPLE_BYTES - _TELLING : -SAMPLE_BYTES]
