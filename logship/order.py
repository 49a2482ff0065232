"""Chunks of a source may be delivered in any order; its position moves only over those that all are."""

from collections import deque

from logship.source.chunk import Chunk


class Order:
    """The chunks of one lane that are not delivered yet, by source; the caller holds a lock."""

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self._open: dict[int, deque[Chunk]] = {}
        self._done: set[int] = set()

    def add(self, chunk: Chunk) -> None:
        """Take note of a chunk, in the order of reading."""
        self._open.setdefault(id(chunk.source), deque()).append(chunk)

    def delivered(self, chunk: Chunk) -> None:
        """Move the source's position, if everything before the chunk is delivered too."""
        self._done.add(id(chunk))
        mine = self._open[id(chunk.source)]
        while mine and id(mine[0]) in self._done:
            first = mine.popleft()
            self._done.discard(id(first))
            first.source.acked[self._sink] = first.end
        if not mine:
            del self._open[id(chunk.source)]
