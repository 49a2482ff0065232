"""Sealed chunks in the write-ahead log: a start adopts them instead of compressing their scrapes again.

They hold nothing that records of scrapes do not hold too, so one that is damaged or does not fit
what was read before it is left out without loss.
"""

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.samples import Ints
from storage.interface import Refs
from storage.tsdb.chunk import Chunk, MemoryFrames
from storage.tsdb.codec import compress, decode_times, decompress, join_blobs, split_blobs
from storage.tsdb.container import Field, pack, unpack
from storage.tsdb.head import Layout
from storage.tsdb.records import Kind, frame


class SealedChunk(Struct, frozen=True):
    """A chunk as logged.

    Attributes:
        layout_id: Of whose columns it is.
        order: int64, shape (k,): which of the layout's series, in the order of the frames. Not as in
            ``Layout``, which sorts by numbers that another process gives otherwise.
        bounds: int64, shape (frames + 1,): where each frame begins in ``order``.
        memory: Times and frames.
    """

    layout_id: int
    order: npt.NDArray[np.int64]
    bounds: Ints
    memory: MemoryFrames

    def of(self, refs: Refs) -> Chunk:
        """Return the chunk; ``refs`` are those of the layout."""
        times = self.memory.ts_ms[0]
        first, last = int(times[0]), int(times[-1])
        return Chunk(refs[self.order], self.bounds, first, last, len(times), False, self.memory)


def sealed_record(layout: Layout, chunk: Chunk) -> bytes:
    """Log a chunk that ``Head.seal`` made of a layout's columns."""
    fields: dict[str, Field] = {
        "id": np.array([layout.id], dtype=np.int64),
        "order": np.diff(layout.order, prepend=0).astype(np.int32),
        "bounds": layout.bounds.astype(np.int64),
    }
    frames = [chunk.frames.frame(number) for number in range(len(chunk.bounds) - 1)]
    return frame(Kind.SEALED, join_blobs([compress(pack(fields)), chunk.frames.times(), *frames]))


def read_sealed(payload: memoryview) -> SealedChunk:
    """Undo ``sealed_record``; the bytes are copied."""
    head, times, *frames = split_blobs(payload)
    fields = unpack(decompress(head))
    memory = MemoryFrames(decode_times(times), tuple(map(bytes, frames)))
    order = np.cumsum(fields["order"], dtype=np.int64)
    return SealedChunk(int(fields["id"][0]), order, fields["bounds"], memory)
