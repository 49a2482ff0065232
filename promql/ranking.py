"""Which series can be among the first k at any step, found without sorting all of them."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from model.samples import Bools, Floats
from promql.block import Index

_WORTH_CUTTING: Final = 64  # rows; below it sorting all is as quick


@dataclass(frozen=True, slots=True)
class Ranking:
    """What series are ranked by; arrays of shape (n, T)."""

    values: Floats
    present: Bools
    largest: bool

    def keys(self, rows: Index) -> Floats:
        """Return numbers that are the smaller the better a series ranks; shape (k, T)."""
        return -self.values[rows] if self.largest else self.values[rows]

    def candidates(self, rows: Index, k: int) -> Index:
        """Leave out rows that are not among the first k at any step, so that only few need sorting."""
        if len(rows) < 4 * k or len(rows) < _WORTH_CUTTING:
            return rows
        if self.values.shape[1] > 1:
            rows = self._by_range(rows, k)
        if len(rows) < 4 * k or len(rows) < _WORTH_CUTTING:
            return rows
        ranked = np.where(self.present[rows], self.keys(rows), np.inf).T
        ranked = np.where(np.isnan(ranked), np.inf, ranked)
        limit = np.partition(ranked, k - 1, axis=1)[:, k - 1]
        return rows[(ranked <= limit[:, None]).any(axis=0)]

    def _by_range(self, rows: Index, k: int) -> Index:
        """Leave out rows whose best is worse than the worst of k others."""
        whole = len(rows) == len(self.values)
        values = self.values if whole else self.values[rows]
        present = self.present if whole else self.present[rows]
        if whole:
            rows = np.arange(len(rows))
        everywhere = present.all(axis=1)
        if not everywhere.all():
            values = np.where(present, values, np.nan)
        lowest, highest = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
        best, worst = (-highest, -lowest) if self.largest else (lowest, highest)
        worst = worst[everywhere & ~np.isnan(values.sum(axis=1))]
        if len(worst) < k:
            return rows
        near: Index = rows[best <= np.partition(worst, k - 1)[k - 1]]
        return near
