"""Which offsets of which source are stored: what makes appending the same record twice harmless.

A batch covers its source from its first record to ``end_offset``. Offsets of a source rise, so that
for files one interval says it all; where offsets are times there is a gap behind each batch. Of the
gaps only the youngest are kept: a record that comes that late is taken for one that is stored.
"""

from bisect import bisect_right
from typing import Final

import numpy as np
import numpy.typing as npt

from model.samples import Ints

Interval = tuple[int, int]
Rows = list[tuple[int, int, list[Interval]]]  # (source, taken_ns, intervals)

MAX_INTERVALS: Final = 32


class Sources:
    """Intervals ``[start, end)`` of offsets by source; not thread-safe."""

    def __init__(self) -> None:
        self._intervals: dict[int, list[Interval]] = {}
        self._taken_ns: dict[int, int] = {}

    def new(self, source: int, offsets: Ints) -> npt.NDArray[np.bool_]:
        """Tell which offsets are not stored yet; the first of equal ones within the batch counts."""
        known = self._intervals.get(source)
        rising = len(offsets) == 1 or bool((offsets[1:] > offsets[:-1]).all())
        if rising and (not known or offsets[0] >= known[-1][1]):
            return np.ones(len(offsets), dtype=np.bool_)
        fresh = np.ones(len(offsets), dtype=np.bool_)
        for start, end in known or ():
            fresh &= (offsets < start) | (offsets >= end)
        if not rising:
            first = np.zeros(len(offsets), dtype=np.bool_)
            first[np.unique(offsets, return_index=True)[1]] = True
            fresh &= first
        return fresh

    def add(self, source: int, start: int, end: int, taken_ns: int) -> None:
        """Remember that the records of a source from ``start`` up to ``end`` are stored."""
        known = self._intervals.setdefault(source, [])
        self._taken_ns[source] = max(taken_ns, self._taken_ns.get(source, 0))
        first = bisect_right(known, (start, -1))
        if first and known[first - 1][1] >= start:
            first -= 1
        last = first
        while last < len(known) and known[last][0] <= end:
            start, end = min(start, known[last][0]), max(end, known[last][1])
            last += 1
        known[first:last] = [(start, end)]
        if len(known) > MAX_INTERVALS:
            known[:2] = [(known[0][0], known[1][1])]

    def forget_before(self, taken_ns: int) -> None:
        """Forget sources that gave nothing since."""
        old = [source for source, taken in self._taken_ns.items() if taken < taken_ns]
        for source in old:
            del self._intervals[source], self._taken_ns[source]

    def dump(self) -> Rows:
        """Return everything as plain data."""
        return [(s, self._taken_ns[s], list(i)) for s, i in self._intervals.items()]

    def load(self, rows: Rows) -> None:
        """Take back what ``dump`` returned."""
        for source, taken_ns, intervals in rows:
            self._intervals[source] = [(start, end) for start, end in intervals]
            self._taken_ns[source] = taken_ns


def covered(offsets: Ints, end_offset: int) -> Interval:
    """Return the interval of offsets that a batch covers."""
    return int(offsets.min()), max(end_offset, int(offsets.max()) + 1)
