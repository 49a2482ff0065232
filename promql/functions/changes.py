"""changes and resets: counting what happens between a sample and the one before."""

import numpy as np

from model.samples import Bools, Floats
from promql.block import Block
from promql.call import CallContext
from promql.functions.over_time import window_block
from promql.functions.starts import start_resets
from promql.functions.table import MATRIX, function
from promql.histogram.rate import pair_marks


def _count(call: CallContext, *, falls: bool) -> Block:
    """Count where a sample differs from (is lower than) the one before; a change of kind counts."""
    windows = call.windows(0)
    parts: list[tuple[Floats, Bools]] = []
    for chunk in windows.chunks:
        before, after = chunk.values[:, :-1], chunk.values[:, 1:]
        marks = np.zeros(chunk.values.shape, dtype=bool)
        with np.errstate(invalid="ignore"):
            if falls:
                marks[:, 1:] = after < before
            else:
                marks[:, 1:] = (after != before) & ~(np.isnan(after) & np.isnan(before))
        if chunk.hist is not None and windows.pool is not None:
            kind = chunk.hist >= 0
            marks[:, 1:] &= ~kind[:, 1:] & ~kind[:, :-1]
            marks[:, 1:] |= kind[:, 1:] != kind[:, :-1]
            marks |= pair_marks(chunk, windows.pool, falls=falls)
        if falls and chunk.start_ms is not None:
            anew = start_resets(chunk)
            if chunk.hist is not None:
                kind = chunk.hist >= 0
                anew[:, 1:] &= kind[:, 1:] == kind[:, :-1]
            marks |= anew
        here = np.broadcast_to(chunk.count() > 0, chunk.shape)
        low = chunk.low
        if chunk.inner_low is not None:
            # anchored: of what lies before the range only the last sample counts
            low = np.maximum(low, chunk.inner_low - 1)
            here = here & (chunk.inner_low < chunk.high)
        parts.append((chunk.over(marks, low + 1, chunk.high), here))
    return window_block(call, windows, parts)


@function("changes", MATRIX, doc="How often the value changed in the range.")
def run_changes(call: CallContext) -> Block:
    """NaN does not differ from NaN."""
    return _count(call, falls=False)


@function("resets", MATRIX, doc="How often a counter was reset in the range.")
def run_resets(call: CallContext) -> Block:
    """See the table."""
    return _count(call, falls=True)
