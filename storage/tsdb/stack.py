"""Histograms as rows of several pools: putting samples behind one another moves no histogram.

A pool is as wide as its widest row. So that one histogram of many buckets does not make all others
wide, pools hold rows of like width: their *level* is the power of two that their width fits into.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from model.histogram.pool import FIELDS, HistogramColumn, HistogramPool, concat_pools
from model.samples import Floats
from storage.tsdb.resets import kept_hints

_NARROW: Final = 32  # columns that are not worth a level of their own

Index = npt.NDArray[np.int32]


class Stack(Struct, frozen=True):
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
    def levelled(cls, column: HistogramColumn) -> "Stack":
        """Take a column apart by width if that makes it much smaller."""
        pool = column.pool
        need = _used_width(pool.positive) + _used_width(pool.negative)
        level = _level(need)
        if pool.size * width_of(pool) <= 2 * int((1 << level).sum()):
            return cls.of(column)
        order = np.argsort(level, kind="stable")
        number = np.empty(pool.size, dtype=np.int32)
        number[order] = np.arange(pool.size, dtype=np.int32)
        parts = np.split(order, np.flatnonzero(np.diff(level[order])) + 1)
        index = np.where(column.index >= 0, number[column.index], np.int32(-1))
        return cls(index, tuple(_trimmed(pool.take(rows)) for rows in parts))

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

    @property
    def levels(self) -> npt.NDArray[np.int64]:
        """The level of each histogram; 0 where there is none."""
        levels = np.append(_level(np.array([width_of(pool) for pool in self.pools])), 0)
        owner = np.searchsorted(self._ends, self.index, side="right")
        return np.where(self.index >= 0, levels[owner], 0)

    @property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum([pool.size for pool in self.pools])

    def joined(self) -> "Stack":
        """Return the same with one pool for each level instead of many small ones."""
        level = _level(np.array([width_of(pool) for pool in self.pools]))
        order = np.argsort(level, kind="stable")
        sizes = np.array([pool.size for pool in self.pools])
        moved = np.empty(len(sizes), dtype=np.int64)
        moved[order] = np.cumsum(sizes[order]) - sizes[order]
        moved -= np.cumsum(sizes) - sizes
        owner = np.searchsorted(self._ends, self.index, side="right")
        shift = np.append(moved, 0)[owner]
        index = np.where(self.index >= 0, self.index + shift, -1).astype(np.int32)
        parts = np.split(order, np.flatnonzero(np.diff(level[order])) + 1)
        pools = tuple(concat_pools([self.pools[i] for i in part.tolist()]) for part in parts)
        return Stack(index, pools)

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


def level_of(pool: HistogramPool) -> int:
    """Return the level of a pool."""
    return int(_level(np.array([width_of(pool)]))[0])


def width_of(pool: HistogramPool) -> int:
    """Return the number of bucket columns."""
    return int(pool.positive.shape[1]) + int(pool.negative.shape[1])


def _level(width: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.ceil(np.log2(np.maximum(width, _NARROW))).astype(np.int64)


def _used_width(counts: Floats) -> npt.NDArray[np.int64]:
    """Return up to which column each row has counts."""
    width = counts.shape[1]
    if width <= _NARROW:
        return np.full(len(counts), width)
    some = counts != 0
    return np.where(some.any(axis=1), width - some[:, ::-1].argmax(axis=1), 0)


def _trimmed(pool: HistogramPool) -> HistogramPool:
    """Leave out columns at the end that no row uses."""
    wide = int(_used_width(pool.positive).max())
    negative_wide = int(_used_width(pool.negative).max())
    return replace(
        pool,
        positive=np.ascontiguousarray(pool.positive[:, :wide]),
        negative=np.ascontiguousarray(pool.negative[:, :negative_wide]),
    )


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
