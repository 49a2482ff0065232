"""Chunks of the same series behind one another, so that a block has few and long ones."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from storage.tsdb.chunk import Chunk, encode_chunk, times_of
from storage.tsdb.late import MOST_COLUMNS
from storage.tsdb.typed import Frame, decode_whole


def join(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Put chunks of the same series behind one another; what cannot be joined is yielded as it is.

    Args:
        chunks: Chunks whose series share their times.
    """
    same: dict[tuple[bytes, bytes], list[Chunk]] = {}
    for chunk in chunks:
        same.setdefault((chunk.refs.tobytes(), chunk.bounds.tobytes()), []).append(chunk)
    for parts in same.values():
        batch: list[Chunk] = []
        for part in sorted(parts, key=lambda c: c.mint):
            overlaps = bool(batch) and batch[-1].maxt >= part.mint
            if batch and (overlaps or sum(c.width for c in batch) + part.width > MOST_COLUMNS):
                yield from _joined(batch)
                batch = []
            batch.append(part)
        yield from _joined(batch)


def frames_of(chunk: Chunk) -> list[Frame]:
    """Decode all frames of a chunk."""
    return [decode_whole(chunk.frames.frame(number)) for number in range(len(chunk.bounds) - 1)]


def _joined(parts: Sequence[Chunk]) -> Iterator[Chunk]:
    if len(parts) == 1:
        yield parts[0]
        return
    frames = [frames_of(part) for part in parts]
    if any(f.start_ms is not None or f.histograms is not None for some in frames for f in some):
        yield from parts
        return
    values = np.concatenate([np.concatenate([f.values for f in some]) for some in frames], axis=1)
    ts = np.concatenate([times_of(part) for part in parts], axis=1)
    yield encode_chunk(parts[0].refs, parts[0].bounds, ts, values)
