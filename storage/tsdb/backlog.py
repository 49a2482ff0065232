"""Scrapes of the log whose values are not decoded yet, while it is read back.

Most of them never are: a sealed chunk that comes later in the log holds the same values. The others
are written to the slab some columns at a time, all layouts together, so that each record is decoded
once and few are at the same time.
"""

from typing import Final

import numpy as np
from msgspec import Struct, field

from model.samples import Bools
from storage.tsdb.chunk import Chunk, times_of
from storage.tsdb.head import Head, Layout
from storage.tsdb.records import LoggedScrapes
from storage.tsdb.slab import KEPT, WIDTH

_AT_ONCE: Final = 16  # columns


class Cell(Struct, frozen=True):
    """Where the values of one scrape are.

    Attributes:
        scrapes: The record.
        start: Its first value there.
        stop: Behind its last one.
        here: Which of them belong to series that are known; None if all do.
    """

    scrapes: LoggedScrapes
    start: int
    stop: int
    here: Bools | None


class Queue(Struct):
    """The columns of one layout that are not in the slab yet, oldest first.

    Attributes:
        layout: The layout.
        room: How many there may be before the slab has no column left for them.
        ts_ms: Their times.
        cells: Their values.
    """

    layout: Layout
    room: int = 0
    ts_ms: list[int] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)


class Backlog:
    """See the module. Nobody else changes the head between ``add`` and ``flush``, but its lane."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self._queues: dict[int, Queue] = {}
        self._adopted: list[Chunk] = []

    def add(self, layout: Layout, ts_ms: int, cell: Cell) -> None:
        """Take a column that is newer than all its layout has."""
        queue = self._queues.get(layout.id)
        if queue is None or layout.slot < 0 or len(queue.cells) == queue.room:
            queue = self._make_room(layout)
        queue.ts_ms.append(ts_ms)
        queue.cells.append(cell)
        layout.last_ms = ts_ms

    def adopt(self, layout: Layout, chunk: Chunk) -> None:
        """Let a chunk stand for a layout's columns of the same times.

        If they are not the same, which the log's writer saw otherwise, they are compressed here, so
        that the next chunk finds the columns that it was made of.
        """
        queue = self._queues.get(layout.id)
        if queue is None or layout.slot < 0:
            return
        slab = self.head.slab
        in_slab = slab.columns(layout.slot)[0]
        ts = np.concatenate([in_slab, np.array(queue.ts_ms, dtype=np.int64)])
        first = int(np.searchsorted(ts, chunk.mint))
        stop = int(np.searchsorted(ts, chunk.maxt, side="right"))
        same = np.array_equal(ts[first:stop], times_of(chunk)[0])
        compressed = first if same else stop
        if compressed:
            self.flush()
            self.head.seal(layout, compressed)
        if same:
            dropped = min(chunk.width, int(slab.count.data[layout.slot]))
            if dropped:
                slab.drop(layout.slot, dropped)
            del queue.ts_ms[: chunk.width - dropped], queue.cells[: chunk.width - dropped]
            self._adopted.append(chunk)
        queue.room = WIDTH - int(slab.count.data[layout.slot])

    def flush(self) -> None:
        """Decode all that waits and write it to the slab."""
        self.head.sealed = (*self.head.sealed, *self._adopted)
        self._adopted.clear()
        waiting = [queue for queue in self._queues.values() if queue.cells]
        while waiting:
            for queue in waiting:
                self._write(queue)
            waiting = [queue for queue in waiting if queue.cells]

    def finish(self) -> None:
        """Do what is left when the log is read."""
        self.flush()
        for queue in self._queues.values():
            self.head.note_newest(queue.layout)

    def _make_room(self, layout: Layout) -> Queue:
        """Return the queue of a layout, which has rows then, and columns left."""
        head = self.head
        queue = self._queues.setdefault(layout.id, Queue(layout))
        if layout.slot < 0:
            if head.rivals(layout.refs):
                self.flush()  # they are sealed with all that they have
            head.unpark(layout)
        elif len(queue.cells) == queue.room:
            self.flush()
            head.seal(layout, WIDTH - KEPT)
        queue.room = WIDTH - int(head.slab.count.data[layout.slot])
        return queue

    def _write(self, queue: Queue) -> None:
        some = queue.cells[:_AT_ONCE]
        values = np.empty((len(queue.layout.refs), len(some)))
        for column, cell in enumerate(some):
            own = cell.scrapes.values[cell.start : cell.stop]
            values[:, column] = own if cell.here is None else own[cell.here]
        times = np.array(queue.ts_ms[:_AT_ONCE], dtype=np.int64)
        self.head.slab.write_columns(queue.layout.slot, times, values)
        del queue.cells[:_AT_ONCE], queue.ts_ms[:_AT_ONCE]
        queue.room -= len(some)
