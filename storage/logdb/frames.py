"""Row groups in memory: what searches hold at once, and what is kept for the next look at the same."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from storage.logdb.document import COLUMNS
from storage.logdb.read import OpenSegment
from storage.logdb.table import column_bytes
from storage.logdb.tokens import BECOMES_ASCII
from storage.logquery.nodes import MESSAGE

Index = npt.NDArray[np.intp]
Starts = npt.NDArray[np.int64]

_COPIES: Final = 3  # what a row group takes in memory for each byte of its texts
_COLUMNS_BYTES: Final = 2 << 20  # ... and for the other columns
_REMEMBERED: Final = 8  # texts of which a row group knows where they stand
_OFTEN: Final = 3  # a text in more than one record of so many is not looked for beforehand


class Frame:
    """The columns of one row group, read when they are asked for."""

    def __init__(self, segment: OpenSegment, number: int) -> None:
        self.rows = segment.groups[number].rows
        self.constants = segment.groups[number].constants  # need not be read
        self._segment = segment
        self._number = number
        self._columns: dict[str, Any] = {}
        self._size = 0
        self._bytes: dict[str, tuple[bytes, Starts]] = {}
        self._standing: dict[tuple[bool | str, ...], Index | None] = {}

    def load(self, names: Sequence[str]) -> None:
        """Read columns at once.

        Raises:
            UnreadableError: If they cannot be read.
        """
        missing = [n for n in names if n not in self._columns and n not in self.constants]
        if not missing:
            return
        columns = self._segment.read(self._number, missing)
        if columns is None:
            raise UnreadableError
        self._columns |= columns
        self._size += sum(column.nbytes for column in columns.values())

    def array(self, name: str) -> Any:
        """Return a column as Arrow has it."""
        self.load([name])
        return self._columns[name]

    def numbers(self, name: str) -> Any:
        """Return a column of numbers."""
        return self.array(name).to_numpy(zero_copy_only=False)

    def rows_at(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return some records with all their columns, as rows.

        Raises:
            UnreadableError: If a column cannot be read.
        """
        import pyarrow as pa

        self.load(COLUMNS)
        index = pa.array(rows, pa.int64())
        names = [name for name in COLUMNS if name not in self.constants]
        table = pa.table([self._columns[name].take(index) for name in names], names=names)
        return [{**self.constants, **row} for row in table.to_pylist()]

    def lengths(self, name: str) -> Any:
        """Return how many bytes each text of a column has."""
        import pyarrow.compute as pc

        return pc.binary_length(self.array(name)).to_numpy(zero_copy_only=False)

    def rest(self) -> int:
        """Let go of what is quickly made again, and return how many bytes are kept."""
        self._bytes.clear()
        if len(self._standing) > _REMEMBERED:
            self._standing.clear()
        return self._size

    def rows_with(self, texts: Sequence[str], *, caseless: bool = True) -> "Index | None":
        """Return the records that may have all of some ASCII texts; None for nearly all.

        Args:
            texts: What stands in the messages in lower case; or in the own fields, as it is.
            caseless: In the messages, or in the own fields.
        """
        key: tuple[bool | str, ...] = (caseless, *texts)
        if key not in self._standing:
            self._standing[key] = self._look(texts, caseless=caseless)
        return self._standing[key]

    def _look(self, texts: Sequence[str], *, caseless: bool) -> "Index | None":
        name = MESSAGE if caseless else "fields"
        if name not in self._bytes:
            self._bytes[name] = column_bytes(self.array(name))
        data, starts = self._bytes[name]
        if caseless and not data.isascii() and any(odd in data for odd in BECOMES_ASCII):
            return None
        if caseless and any(text.upper() != text for text in texts):
            if "lowered" not in self._bytes:
                self._bytes["lowered"] = data.lower(), starts
            data, starts = self._bytes["lowered"]
        if not caseless and b"\\u00" in data:
            return None  # a letter may be spelled as an escape
        wanted = [text.encode() for text in texts]
        rarest = wanted[0] if len(wanted) == 1 else min(wanted, key=data.count)
        return rows_with(rarest, data, starts, self.rows)


class UnreadableError(Exception):
    """A row group is damaged; it was said already."""


def rows_with(text: bytes, data: bytes, starts: Starts, rows: int) -> Index | None:
    """Return the records in which a text stands, and perhaps some more; None if it stands in many."""
    found: list[int] = []
    bounds = starts.tolist()
    at = data.find(text)
    while at >= 0:
        row = bisect_right(bounds, at) - 1
        found.append(row)
        if len(found) * _OFTEN > rows + _OFTEN:
            return None
        if row + 1 == len(bounds):
            break
        at = data.find(text, bounds[row + 1])
    return np.array(found, dtype=np.intp)


class Frames:
    """Hands out row groups. Those in use keep to half of some memory, those kept for later to the other half."""

    def __init__(self, memory_bytes: int) -> None:
        self._most = memory_bytes // 2
        self._left = self._most
        self._freed = threading.Condition()
        self._kept: OrderedDict[tuple[str, int], tuple[Frame, int]] = OrderedDict()
        self._kept_bytes = 0

    @contextmanager
    def frame(self, segment: OpenSegment, number: int) -> Iterator[Frame]:
        """Hold a row group. Who wants more memory than there is left waits; who wants more than all gets all."""
        wanted = _COPIES * segment.groups[number].text_bytes + _COLUMNS_BYTES
        size = min(self._most, wanted)
        name = (segment.path.name, number)
        with self._freed:
            self._freed.wait_for(lambda: self._left >= size)
            self._left -= size
            frame, _ = self._kept.get(name, (None, 0))
        frame = frame or Frame(segment, number)
        try:
            yield frame
        finally:
            with self._freed:
                self._left += size
                self._keep(name, frame)
                self._freed.notify_all()

    def forget(self) -> None:
        """Let go of everything that is not in use."""
        with self._freed:
            self._kept.clear()
            self._kept_bytes = 0

    def _keep(self, name: tuple[str, int], frame: Frame) -> None:
        size = frame.rest()
        _, before = self._kept.pop(name, (frame, 0))
        self._kept_bytes -= before
        if size <= self._most:
            self._kept[name] = (frame, size)
            self._kept_bytes += size
        while self._kept_bytes > self._most:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._kept_bytes -= oldest
