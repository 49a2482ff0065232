"""What waits to be delivered, oldest first: what is on its way, what is on disk, what is in memory."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from taskscope_logging._outlets import Chunk, Outlet
from taskscope_logging._queue import Queue
from taskscope_logging._segment import Segment
from taskscope_logging._spool import Spool, SpoolFullError

TAKE_OVER_SECONDS = 10.0

_T = TypeVar("_T")


class Backlog:
    """Moves records from the queue to the spool and on their way, so that none overtakes another.

    A chunk is sealed once and has the same bytes wherever it goes, so that it can be sent again.

    Args:
        queue: What is in memory.
        outlet: Seals chunks.
        spool: What is on disk; None for nothing.
        complain: Is told what the disk refused; that is no error of the application.

    Attributes:
        spooled: Records that were written to the spool.
    """

    def __init__(
        self, queue: Queue, outlet: Outlet, spool: Spool | None, complain: Callable[[OSError], None]
    ) -> None:
        self._queue = queue
        self._outlet = outlet
        self._spool = spool
        self._complain = complain
        self.begin()

    def begin(self) -> None:
        """Be new; in a forked child the files are its parent's."""
        if self._spool is not None:
            self._spool.close()
        self.spooled = 0
        # held whenever records change their place, and while a disk is waited for: a thread that
        # logs must never want it
        self._order = threading.Lock()
        self._first: Chunk | None = None
        self._home: Segment | None = None  # the file that has what is on its way
        self._looked_at: float | None = None

    @property
    def empty(self) -> bool:
        """Nothing is left anywhere."""
        on_disk = self._spool is not None and not self._spool.empty
        return not (len(self._queue) or self._first or on_disk)

    def prepare(self) -> None:
        """See to the spool's directory."""
        if self._spool is not None:
            self._on_disk(self._spool.prepare)

    def first(self) -> Chunk | None:
        """Return what is to be delivered next; the same until it is ``delivered``."""
        with self._order:
            if self._first is None and self._spool is not None:
                self._take_from(self._spool)
            if self._first is None and (records := self._queue.take()):
                self._first = self._outlet.seal(records)
            return self._first

    def _take_from(self, spool: Spool) -> None:
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at >= TAKE_OVER_SECONDS:
            # what is taken over at a time is limited; where there is more, the next time is soon
            self._looked_at = None if self._on_disk(spool.take_over) else now
        while not spool.empty:  # each failure passes something over
            found = self._on_disk(spool.head)
            if found is not None:
                self._first, self._home = found
                return

    def delivered(self) -> None:
        """Delete the first chunk: it is acknowledged."""
        with self._order:
            home, self._home, self._first = self._home, None, None
            if home is not None and self._spool is not None:
                self._on_disk(partial(self._spool.acknowledge, home))

    def spill(self, *, last: bool = False) -> bool:
        """Write all that is in memory to the spool; return whether it took it, what it did not take waits on.

        Args:
            last: There is no later delivery that could tell what is still to be said.
        """
        try:
            while True:
                with self._order:
                    written = self._spill_one(last=last)
                if not written:
                    return True
                self.spooled += written
        except SpoolFullError:  # what is dropped then is counted where it is
            return False
        except OSError as error:
            self._complain(error)
            return False

    def _spill_one(self, *, last: bool) -> int:
        if self._spool is None:
            return 0
        if self._first is not None and self._home is None:
            self._home = self._spool.append(self._first)  # it is older than what is queued
            return self._first.records
        records = self._queue.take(notices=last)
        if not records:
            return 0
        try:
            self._spool.append(self._outlet.seal(records))
        except OSError:
            self._queue.put_back(records)
            raise
        return len(records)

    def _on_disk(self, act: Callable[[], _T]) -> _T | None:
        try:
            return act()
        except OSError as error:
            self._complain(error)
            return None

    def close(self) -> None:
        """Let go of the files; another process may take them over."""
        with self._order:
            if self._spool is not None:
                self._spool.close()

    def give_up(self) -> None:
        """Count what is neither delivered nor on disk as dropped."""
        if self._first is not None and self._home is None:
            self._queue.drop(self._first.records)
        self._queue.give_up()
