"""Where the buckets of a histogram begin: the same for every store."""

import numpy as np

from model.samples import Ints

NS_PER_MS = 1_000_000


def edges_ms(start_ns: int, end_ns: int, buckets: int) -> tuple[Ints, int]:
    """Return where buckets begin and how wide they are, both in whole milliseconds since the epoch.

    Args:
        start_ns: First time counted.
        end_ns: Last time counted.
        buckets: How many.
    """
    first, last = start_ns // NS_PER_MS, end_ns // NS_PER_MS
    width = max(1, -(-(last - first + 1) // buckets))
    return first + width * np.arange(buckets, dtype=np.int64), width
