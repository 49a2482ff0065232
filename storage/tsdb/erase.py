"""Taking samples out of a chunk in memory."""

import numpy as np

from model.samples import Bools, is_no_sample, no_samples
from storage.tsdb.chunk import Chunk, encode_chunk, times_of
from storage.tsdb.join import frames_of


def erased(chunk: Chunk, gone: Bools, mint: int, maxt: int) -> Chunk | None:
    """Return a chunk without the samples of some series in [mint, maxt]; None if nothing is left.

    Args:
        chunk: A chunk of scrapes; its series share their times.
        gone: Which series, as a mask over refs.
        mint: First time.
        maxt: Last time.
    """
    rows = gone[chunk.refs]
    if chunk.maxt < mint or chunk.mint > maxt or not rows.any():
        return chunk
    ts = times_of(chunk)
    columns = (ts[0] >= mint) & (ts[0] <= maxt)
    values = np.concatenate([frame.values for frame in frames_of(chunk)])
    values[np.ix_(rows, columns)] = no_samples(1)
    some = ~is_no_sample(values).all(axis=1)
    if not some.any():
        return None
    kept = np.add.reduceat(some, chunk.bounds[:-1])
    bounds = np.unique(np.concatenate([[0], np.cumsum(kept)]))
    return encode_chunk(chunk.refs[some], bounds, ts, values[some])
