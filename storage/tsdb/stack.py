"""Histograms as rows of several pools: putting samples behind one another moves no histogram."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model.histogram.pool import FIELDS, HistogramColumn, HistogramPool, concat_pools
from storage.tsdb.resets import kept_hints

Index = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Stack:
    """See the module.

    Attributes:
        index: int32, any shape: row, counted through all pools; -1 where there is none.
        pools: Where the rows are.
    """

    index: Index
    pools: tuple[HistogramPool, ...]

    @classmethod
    def of(cls, column: HistogramColumn) -> "Stack":
        """Take a column as it is."""
        return cls(column.index, (column.pool,))

    @classmethod
    def concat(cls, parts: Sequence["Stack | None"], sizes: Sequence[int]) -> "Stack | None":
        """Put one-dimensional stacks behind one another; None stands for so many floats."""
        if all(part is None for part in parts):
            return None
        index: list[Index] = []
        pools: list[HistogramPool] = []
        offset = 0
        for part, size in zip(parts, sizes, strict=True):
            if part is None:
                index.append(np.full(size, -1, dtype=np.int32))
                continue
            index.append(_raised(part.index, offset))
            pools.extend(part.pools)
            offset += part.rows
        return cls(np.concatenate(index), tuple(pools))

    @property
    def rows(self) -> int:
        """Number of rows of all pools."""
        return sum(pool.size for pool in self.pools)

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.index.nbytes + sum(pool_bytes(pool) for pool in self.pools)

    def take(self, where: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Stack":
        """Return some; the pools stay as they are."""
        return Stack(self.index[where], self.pools)

    def joined(self) -> "Stack":
        """Return the same with one pool instead of many small ones."""
        return Stack(self.index, (concat_pools(self.pools),))

    def gathered(self) -> HistogramColumn | None:
        """Return a column whose pool has what is used, in the order of use; None if nothing is."""
        here = self.index >= 0
        used = self.index[here]
        if not len(used):
            return None
        pool = self.pools[0]
        if len(self.pools) > 1:
            pool = kept_hints(_rows_of(self.pools, used), used)
        elif len(used) == pool.size and used[0] == 0 and (np.diff(used) == 1).all():
            return HistogramColumn(self.index, pool)
        else:
            pool = kept_hints(pool.take(used), used)
        index = np.full(self.index.shape, -1, dtype=np.int32)
        index[here] = np.arange(len(used), dtype=np.int32)
        return HistogramColumn(index, pool)


def pool_bytes(pool: HistogramPool) -> int:
    """Return the size of a pool's arrays."""
    arrays: dict[str, npt.NDArray[Any]] = pool.columns()
    return sum(array.nbytes for array in arrays.values())


def _raised(index: Index, offset: int) -> Index:
    return np.where(index >= 0, index + np.int32(offset), np.int32(-1))


def _rows_of(pools: Sequence[HistogramPool], used: Index) -> HistogramPool:
    """Take rows out of several pools, each moved once."""
    ends = np.cumsum([pool.size for pool in pools])
    owner = np.searchsorted(ends, used, side="right")
    order = np.argsort(owner, kind="stable")
    owners, first = np.unique(owner[order], return_index=True)
    places = np.split(order, first[1:])
    parts = [
        (place, pools[number], used[place] - (int(ends[number]) - pools[number].size))
        for number, place in zip(owners.tolist(), places, strict=True)
    ]
    out: dict[str, Any] = {}
    for name in FIELDS:
        columns = [getattr(pool, name) for _, pool, _ in parts]
        if columns[0].ndim == 1:
            made = np.empty(len(used), dtype=columns[0].dtype)
            for (place, _, rows), column in zip(parts, columns, strict=True):
                made[place] = column[rows]
        else:
            width = max(column.shape[1] for column in columns)
            made = np.full((len(used), width), np.nan if name == "bounds" else 0.0)
            for (place, _, rows), column in zip(parts, columns, strict=True):
                made[place, : column.shape[1]] = column[rows]
        out[name] = made
    return HistogramPool(**out)
