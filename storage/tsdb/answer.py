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
    flat = np.concatenate([stack.index.ravel() for stack in some])
    pools = some[0].pools
    if len(pools) == 1 and 2 * np.count_nonzero(flat >= 0) >= pools[0].size:
        return [None if s is None else HistogramColumn(s.index, pools[0]) for s in stacks]
    column = Stack(flat, pools).gathered()
    if column is None:
        return [None] * len(stacks)
    pool = on_common_columns(column.pool)
    cuts = np.cumsum([stack.index.size for stack in some])[:-1]
    index = iter(np.split(column.index, cuts))
    return [
        None if s is None else HistogramColumn(next(index).reshape(s.index.shape), pool)
        for s in stacks
    ]
