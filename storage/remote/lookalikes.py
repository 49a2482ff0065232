"""Requests that differ from an earlier one in nothing but numbers.

Senders that have the same series in the same order each time (agents, exporters, load generators)
send such requests; one comparison of all bytes then stands for looking at every series.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Ints

_MAX_BYTES: Final = 64 << 20
_MAX_SEEN: Final = 10_000

Bytes = npt.NDArray[np.uint8]
Found = TypeVar("Found")


class _Kept(Struct, Generic[Found], frozen=True):
    """An earlier request: which bytes must be equal, what they are, and what it was read as."""

    mask: Bytes
    fixed: Bytes
    found: Found
    nbytes: int


class Lookalikes(Generic[Found]):
    """What the latest requests looked like, by a key that tells most of them apart; for one thread at a time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Kept[Found]] = OrderedDict()
        self._misses: dict[Hashable, int] = {}
        self._bytes = 0

    def forget(self) -> None:
        """Begin anew."""
        self._kept.clear()
        self._misses.clear()
        self._bytes = 0

    def find(self, key: Hashable, data: bytes) -> Found | None:
        """Return what the request was read as that this one looks like, if there is one."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not np.array_equal(np.frombuffer(data, dtype=np.uint8) & kept.mask, kept.fixed):
            return None
        self._kept.move_to_end(key)
        self._misses[key] = 1
        return kept.found

    def is_due(self, key: Hashable) -> bool:
        """Tell whether to keep a request that was read otherwise: the second, the fourth, the eighth of its key.

        Those of a sender that has another order each time are kept less and less often.
        """
        if len(self._misses) > _MAX_SEEN:
            self._misses.clear()
        misses = self._misses[key] = self._misses.get(key, 0) + 1
        return misses > 1 and not misses & (misses - 1)

    def keep(self, key: Hashable, data: bytes, varying: Ints, found: Found, nbytes: int) -> None:
        """Keep a request.

        Args:
            key: Its key.
            data: The request.
            varying: Places of the bytes that may differ, of any shape.
            found: What it was read as.
            nbytes: About how much memory ``found`` takes.
        """
        if old := self._kept.pop(key, None):
            self._bytes -= old.nbytes
        mask = np.full(len(data), 0xFF, dtype=np.uint8)
        mask[varying] = 0
        fixed = np.frombuffer(data, dtype=np.uint8) & mask
        self._kept[key] = _Kept(mask, fixed, found, nbytes + 2 * len(data))
        self._bytes += nbytes + 2 * len(data)
        while self._bytes > _MAX_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
