"""Requests that differ from an earlier one in nothing but numbers.

An exporter whose points come in the same order each time sends such requests; one comparison of all
bytes then stands for looking at every point.
"""

from collections import OrderedDict
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from storage.otlp.gather import Columns, Plan
from storage.otlp.walk import Walked
from storage.remote.wire import WireError, read_delimited

_FEWEST: Final = 50  # samples; smaller requests are not worth it
_MAX_BYTES: Final = 64 << 20
_MAX_SEEN: Final = 10_000
_MOST_TELLING: Final = 4_096

Key = tuple[int, bytes]
Bytes = npt.NDArray[np.uint8]


class _Skeleton(Struct, frozen=True):
    """An earlier request: which bytes must be equal, what they are, and where the others are."""

    mask: Bytes
    fixed: Bytes
    plan: Plan
    walked: Walked

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return 2 * len(self.mask) + 5 * self.plan.rows.nbytes


class Skeletons:
    """What earlier requests looked like, the latest ones; for one thread at a time."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, _Skeleton] = OrderedDict()
        self._walks: dict[Key, int] = {}
        self._bytes = 0

    def forget(self) -> None:
        """Begin anew."""
        self._known.clear()
        self._walks.clear()
        self._bytes = 0

    def read(self, data: bytes) -> tuple[Walked, Columns] | None:
        """Return what a request holds if it looks like an earlier one."""
        found = self._known.get(key := _key(data))
        if found is None:
            return None
        if not np.array_equal(np.frombuffer(data, dtype=np.uint8) & found.mask, found.fixed):
            return None
        self._known.move_to_end(key)
        self._walks[key] = 1
        return found.walked, found.plan.read(data)

    def remember(self, data: bytes, walked: Walked, plan: Plan) -> None:
        """Keep a request that was walked through, if one like it came before and all of it is columns.

        Those of an exporter that has another order each time are kept less and less often.
        """
        if len(plan.rows) < _FEWEST or any(part.slow for part in walked.parts):
            return
        key = _key(data)
        if len(self._walks) > _MAX_SEEN:
            self._walks.clear()
        walks = self._walks[key] = self._walks.get(key, 0) + 1
        if walks < 2 or walks & (walks - 1):
            return
        if old := self._known.pop(key, None):
            self._bytes -= old.nbytes
        mask = np.full(len(data), 0xFF, dtype=np.uint8)
        numbers = np.concatenate([plan.places(), np.array(walked.unread, dtype=np.int64)])
        mask[numbers[:, None] + np.arange(8)] = 0
        bare = Walked(walked.parts, points=walked.points)
        made = _Skeleton(mask, np.frombuffer(data, dtype=np.uint8) & mask, plan, bare)
        self._known[key] = made
        self._bytes += made.nbytes
        while self._bytes > _MAX_BYTES:
            self._bytes -= self._known.popitem(last=False)[1].nbytes


def _key(data: bytes) -> Key:
    """Return what likely differs between requests of other series: the length and the first resource."""
    try:
        at, end = read_delimited(data, 1, len(data))
        at, end = read_delimited(data, at + 1, end)
    except WireError:
        return len(data), b""
    return len(data), data[at : min(end, at + _MOST_TELLING)]
