"""A limit on the log of a task, as pure steps over batches.

Time is that of the records, never of a clock: a backlog that is caught up with is cut to what
would have been left when it was written, and two sinks at different places leave out the same.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from logship.match import TaskMatch
from model.log import LogBatch
from model.samples import Ints

_SECOND_NS: Final = 1_000_000_000
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash, 64 bits
_FRACTION_BITS: Final = 24
Mask = npt.NDArray[np.bool_]


class Limit(Struct, frozen=True):
    """What may pass.

    Attributes:
        match: Tasks it is for.
        lines_per_second: How many records; 0 is no limit.
        burst: How many at once, saved up while there were fewer.
        sample: Share of the records that is kept, before the rate is looked at.
        keep_level: Records of this level and above always pass and use nothing up; 0 for none.
    """

    match: TaskMatch
    lines_per_second: float = 0.0
    burst: float = 0.0
    sample: float = 1.0
    keep_level: int = 0


class Bucket(Struct):
    """How many records may pass, as of a second of the records' own time."""

    tokens: float
    second: int = 0


def sampled(offsets: Ints, share: float) -> Mask:
    """Tell which records are in a sample: the same whoever asks, and after every restart."""
    mixed = (offsets.astype(np.uint64) * _MIX) >> np.uint64(64 - _FRACTION_BITS)
    chosen: Mask = mixed < np.uint64(round(share * (1 << _FRACTION_BITS)))
    return chosen


def passing(limit: Limit, bucket: Bucket, batch: LogBatch) -> tuple[Mask, Mask]:
    """Return which records pass, and which of the others the sample left out; the bucket moves on."""
    size = len(batch)
    spared = batch.levels >= limit.keep_level if limit.keep_level else np.zeros(size, dtype=np.bool_)  # fmt: skip
    left_out = np.zeros(size, dtype=np.bool_)
    if limit.sample < 1.0:
        left_out = ~(sampled(batch.offsets, limit.sample) | spared)
    kept = ~left_out
    if limit.lines_per_second:
        counted = np.flatnonzero(kept & ~spared)
        kept[counted[~_under_rate(limit, bucket, batch.ts_ns[counted])]] = False
    return kept, left_out


def _under_rate(limit: Limit, bucket: Bucket, ts_ns: Ints) -> Mask:
    """Tell which records are under the rate: the first ones of each second. One step per second."""
    passes = np.zeros(len(ts_ns), dtype=np.bool_)
    if not len(ts_ns):
        return passes
    seconds = np.maximum(np.maximum.accumulate(ts_ns // _SECOND_NS), bucket.second)
    edges = np.flatnonzero(np.diff(seconds, prepend=-1))
    for first, last in zip(edges.tolist(), [*edges[1:].tolist(), len(seconds)], strict=True):
        second = int(seconds[first])
        waited = second - bucket.second if bucket.second else 0
        bucket.tokens = min(max(limit.burst, limit.lines_per_second), bucket.tokens + waited * limit.lines_per_second)  # fmt: skip
        bucket.second = second
        taken = min(last - first, int(bucket.tokens))
        passes[first : first + taken] = True
        bucket.tokens -= taken
    return passes
