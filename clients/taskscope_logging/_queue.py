"""The bounded queue between the threads that log and the thread that delivers."""

import threading
from collections import deque
from collections.abc import Callable

BATCH_RECORDS = 1000
BATCH_BYTES = 256 << 10


class Queue:
    """Packed records; when there are too many, the oldest go and are counted.

    Args:
        records: The most that wait.
        size_bytes: The most that wait.
        say: Makes a packed record that says how many were dropped.

    Attributes:
        dropped: Records that were given up.
        guard: Held for moments only, never while something is waited for.
        closed: Nothing more is taken.
    """

    def __init__(self, records: int, size_bytes: int, say: Callable[[int], bytes]) -> None:
        self._records_max = max(1, records)
        self._bytes_max = size_bytes
        self._say = say
        self.begin()

    def begin(self) -> None:
        """Be new; what a forked child has of its parent's is its parent's."""
        self.guard = threading.RLock()  # a signal's handler may log while this thread has it
        self.dropped = 0
        self.closed = False
        self._told = 0
        self._notices: list[bytes] = []
        self._records: deque[bytes] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def more_than_half_full(self) -> bool:
        """It is time to put what waits elsewhere."""
        return 2 * len(self._records) > self._records_max or 2 * self._bytes > self._bytes_max

    def put(self, packed: bytes) -> bool:
        """Take a record; return whether it was taken."""
        with self.guard:
            if self.closed:
                self.dropped += 1
                return False
            self._records.append(packed)
            self._bytes += len(packed)
            self._trim()
            return True

    def notice(self, packed: bytes) -> None:
        """Have a record of our own follow the next that are taken; it is never the oldest that goes."""
        with self.guard:
            self._notices.append(packed)

    def take(self, *, notices: bool = True) -> list[bytes]:
        """Return the oldest records, and behind them how many were dropped and what else is to be said."""
        with self.guard:
            taken: list[bytes] = []
            size = 0
            while self._records and len(taken) < BATCH_RECORDS and size < BATCH_BYTES:
                taken.append(self._records.popleft())
                size += len(taken[-1])
            self._bytes -= size
            if taken and notices:
                if self.dropped > self._told:
                    taken.append(self._say(self.dropped - self._told))
                    self._told = self.dropped
                taken += self._notices
                self._notices = []
            return taken

    def put_back(self, records: list[bytes]) -> None:
        """Take back what was taken without notices; since then newer ones may have filled its place."""
        with self.guard:
            self._records.extendleft(reversed(records))
            self._bytes += sum(map(len, records))
            self._trim()

    def drop(self, count: int = 1) -> None:
        """Count records that were given up elsewhere."""
        with self.guard:
            self.dropped += count

    def close(self) -> None:
        """Take nothing more."""
        with self.guard:
            self.closed = True

    def give_up(self) -> None:
        """Count what waits as dropped."""
        with self.guard:
            self.dropped += len(self._records)
            self._records.clear()
            self._bytes = 0

    def _trim(self) -> None:
        while len(self._records) > self._records_max or self._bytes > self._bytes_max:
            self._bytes -= len(self._records.popleft())
            self.dropped += 1
