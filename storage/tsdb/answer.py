"""From parts that lie side by side to the groups of a ``SeriesSet``."""

from collections.abc import Sequence

import numpy as np

from model.histogram.layout import on_common_columns
from model.histogram.pool import HistogramColumn
from model.samples import Bools
from storage.interface import Group
from storage.tsdb.merge import numbered
from storage.tsdb.parts import Part
from storage.tsdb.pools import outward
from storage.tsdb.stack import Stack


def answer_of(size: int, laid: Sequence[Part]) -> tuple[Bools | None, tuple[Group, ...]]:
    """Make an answer of parts of which no two have the same series.

    Returns:
        ``(found, groups)`` as ``merge.assemble`` gives them, ``found`` None if all were.
    """
    columns = _one_column([part.cells.histograms for part in laid])
    groups = [
        Group(
            part.pos.astype(np.int32),
            part.ts_ms,
            part.ts_row,
            part.values,
            part.dense,
            column,
            part.cells.start_ms,
        )
        for part, column in zip(laid, columns, strict=True)
    ]
    if len(groups) == 1 and groups[0].dense and len(groups[0].rows) == size:
        return None, tuple(outward(groups))
    found, kept = numbered(size, groups)
    return (None if found.all() else found), tuple(outward(kept))


def _one_column(stacks: Sequence[Stack | None]) -> list[HistogramColumn | None]:
    """Let histograms that count through the same pools point into one."""
    some = [stack for stack in stacks if stack is not None]
    if not some:
        return [None] * len(stacks)
    flat, pools = np.concatenate([stack.index.ravel() for stack in some]), some[0].pools
    ends = np.cumsum([pool.size for pool in pools])
    used = flat[flat >= 0]
    if not len(used):
        return [None] * len(stacks)
    number = int(np.searchsorted(ends, used.min(), side="right"))
    pool = pools[number]
    if used.max() < ends[number] and 2 * len(used) >= pool.size:  # most of one: as it is
        first = np.int32(ends[number] - pool.size)
        index = flat if not first else np.where(flat >= 0, flat - first, np.int32(-1))
    else:
        column = Stack(flat, pools).gathered()
        assert column is not None
        index, pool = column.index, on_common_columns(column.pool)
    cuts = iter(np.split(index, np.cumsum([stack.index.size for stack in some])[:-1]))
    return [
        None if s is None else HistogramColumn(next(cuts).reshape(s.index.shape), pool)
        for s in stacks
    ]
