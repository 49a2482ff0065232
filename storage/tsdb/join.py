"""Chunks of the same series behind one another, so that a block has few and long ones."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from model.samples import Floats
from storage.tsdb.chunk import Chunk, encode_chunk, times_of
from storage.tsdb.codec import decode_frame

MOST_COLUMNS: Final = 512  # of a chunk in a block: what one series costs to read


def join(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """Put chunks of the same series behind one another, so that a block has few and long ones."""
    same: dict[tuple[bytes, bytes], list[Chunk]] = {}
    for chunk in chunks:
        same.setdefault((chunk.refs.tobytes(), chunk.bounds.tobytes()), []).append(chunk)
    for parts in same.values():
        batch: list[Chunk] = []
        for part in sorted(parts, key=lambda c: c.mint):
            overlaps = bool(batch) and batch[-1].maxt >= part.mint
            if batch and (overlaps or sum(c.width for c in batch) + part.width > MOST_COLUMNS):
                yield _joined(batch)
                batch = []
            batch.append(part)
        yield _joined(batch)


def values_of(chunk: Chunk) -> Floats:
    """Return all values of a chunk, shape (k, T)."""
    frames = range(len(chunk.bounds) - 1)
    return np.concatenate([decode_frame(chunk.frames.frame(f))[0] for f in frames])


def _joined(parts: Sequence[Chunk]) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([values_of(part) for part in parts], axis=1)
    ts = np.concatenate([times_of(c) for c in parts], axis=1)
    return encode_chunk(parts[0].refs, parts[0].bounds, ts, values)
