"""sum_over_time and avg_over_time, where a window may hold floats or histograms, but not both."""

from collections.abc import Callable

import numpy as np

from model.samples import Bools, Floats
from promql.block import Block
from promql.call import CallContext
from promql.functions.mixed import say_mixed
from promql.windows import Chunk, Windows


def histogram_windows(
    call: CallContext, windows: Windows, change: Callable[[Chunk], Floats], *, mean: bool
) -> Block:
    """Add up each window: floats by ``change``."""
    parts: list[tuple[Floats, Bools]] = []
    for whole in windows.chunks:
        chunk, had = whole.floats()
        here = np.broadcast_to(chunk.count() > 0, chunk.shape)
        if had is not None:
            say_mixed(call, windows, whole, had & here, call.node.args[0])
            here = here & ~had
        with np.errstate(all="ignore"):
            parts.append((change(chunk), here))
    values, present = windows.scatter(parts)
    gone = np.ones(windows.labels.size, dtype=bool)
    return Block(windows.labels, values, present, gone).compact()
