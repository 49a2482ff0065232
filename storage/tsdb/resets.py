"""Counter reset hints: which the store keeps, and which it finds out.

GAUGE and RESET are kept as they came. All others say what was found against the histogram *before it
in the pool*: NOT_RESET, FELL, or UNKNOWN where that was not looked at or is not of the same series.
Who takes rows out of a pool calls ``kept_hints``, who lays samples out anew calls ``told``.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from model.histogram.pool import GAUGE, NOT_RESET, RESET, UNKNOWN, HistogramColumn, HistogramPool
from model.histogram.resets import is_reset
from model.samples import Bools, Floats

FELL: Final = 4  # a reset that the store found; RESET to the outside

Rows = npt.NDArray[np.int32]


def taken(column: HistogramColumn) -> HistogramColumn:
    """Forget hints that came from outside and that the store finds out by itself."""
    hint = column.pool.hint
    own = (hint != GAUGE) & (hint != RESET)
    if not hint[own].any():
        return column
    pool = replace(column.pool, hint=np.where(own, np.int8(UNKNOWN), hint))
    return HistogramColumn(column.index, pool)


def shown(pool: HistogramPool) -> HistogramPool:
    """Return a pool with the hints that the outside knows."""
    if not (pool.hint == FELL).any():
        return pool
    return replace(pool, hint=np.where(pool.hint == FELL, np.int8(RESET), pool.hint))


def kept_hints(pool: HistogramPool, old: npt.NDArray[np.integer]) -> HistogramPool:
    """Forget what was found against a row that is not the row before any more.

    Args:
        pool: Rows taken out of another pool.
        old: Where they were.
    """
    moved = np.append(True, old[1:] != old[:-1] + 1)
    moved &= (pool.hint == NOT_RESET) | (pool.hint == FELL)
    if not moved.any():
        return pool
    return replace(pool, hint=np.where(moved, np.int8(UNKNOWN), pool.hint))


def told(pool: HistogramPool, current: Rows, previous: Rows) -> HistogramPool:
    """Find the hints out that are not known.

    Args:
        pool: All histograms.
        current: Rows of some.
        previous: Row of the histogram before each in its series; -1 if there is none, or a float.
    """
    hint = pool.hint[current]
    fixed = (hint == GAUGE) | (hint == RESET)
    first = ~fixed & (previous < 0)
    known = (hint != UNKNOWN) & (current == previous + 1)
    open_ = np.flatnonzero(~fixed & ~first & ~known)
    if not len(open_) and not hint[first].any():
        return pool
    hint[first] = UNKNOWN
    if len(open_):
        fell = _fell(pool, current[open_], previous[open_])
        hint[open_] = np.where(fell, np.int8(FELL), np.int8(NOT_RESET))
    every = pool.hint.copy()
    every[current] = hint
    return replace(pool, hint=every)


def _fell(pool: HistogramPool, current: Rows, previous: Rows) -> Bools:
    same = pool.schema[current] == pool.schema[previous]
    same &= pool.zero_threshold[current] == pool.zero_threshold[previous]
    fell: Bools = pool.count[current] < pool.count[previous]
    np.logical_or(fell, pool.zero_count[current] < pool.zero_count[previous], out=fell)
    for first, counts in ((pool.first, pool.positive), (pool.negative_first, pool.negative)):
        if counts.shape[1]:
            same &= first[current] == first[previous]
            np.logical_or(fell, _any_less(counts, current, previous), out=fell)
    if pool.bounds.shape[1]:
        left, right = pool.bounds[current], pool.bounds[previous]
        same &= ((left == right) | (np.isnan(left) & np.isnan(right))).all(axis=1)
    # equal columns that did not fall say all; anything else is looked at with care
    rest = np.flatnonzero(fell | ~same)
    if len(rest):
        now, before = (
            replace(rows, hint=np.zeros(rows.size, dtype=np.int8))
            for rows in (pool.take(current[rest]), pool.take(previous[rest]))
        )
        fell[rest] = is_reset(now, before)
    return fell


def _any_less(counts: Floats, current: Rows, previous: Rows) -> Bools:
    """Tell where any count is less than in the row before."""
    low, high = int(previous.min()), int(current.max()) + 1
    if high - low > 2 * len(current) or not (current == previous + 1).all():
        out: Bools = np.any(counts[current] < counts[previous], axis=1)
        return out
    part = counts[low:high]  # rows behind one another need not be gathered
    less: Bools = np.any(part[1:] < part[:-1], axis=1)
    return less[previous - low]
