"""Sums of rates of native histograms, worked out tile by tile; see ``fused`` and ``histogram.plain``."""

from typing import Any, Final

import numpy as np

from model.histogram.pool import HistogramColumn
from model.samples import Bools, Floats
from promql import ast
from promql.aggregate import grouping_names, segments
from promql.block import Block, Index
from promql.histogram.plain import FIELDS, PlainRates
from promql.windows import Windows

OPERATIONS: Final = frozenset({"sum", "avg"})


def sum_rates(node: ast.Aggregate, windows: Windows, seconds: float) -> Block | None:
    """Work out the sum or mean of rates of histograms; None if they need more care than is taken here."""
    found: list[tuple[PlainRates, Index]] = []
    for chunk in windows.chunks:
        rates = PlainRates.of(windows, chunk, seconds)
        if rates is None or (found and rates.layout != found[0][0].layout):
            return None
        found.append((rates, chunk.rows))
    if not found:
        return None
    labels = windows.labels
    parts = segments(node, labels)
    group_of, _ = labels.group(tuple(grouping_names(node, labels)))
    totals = _Totals(len(parts.first), windows.steps)
    for rates, rows in found:
        if not totals.add(rates, group_of[rows]):
            return None
    present = totals.size > 0
    if not present.any():
        return Block.empty(windows.steps)
    fields = {name: total[present] for name, total in totals.fields.items()}
    if not np.isfinite(fields["sum"]).all():
        return None  # infinity and NaN follow rules of their own
    if node.op == "avg":
        share = totals.size[present]
        fields = {n: f / (share if f.ndim == 1 else share[:, None]) for n, f in fields.items()}
    index = np.full(present.shape, -1, dtype=np.int32)
    number = int(present.sum())
    index[present] = np.arange(number)
    gone = np.ones(len(present), dtype=bool)
    column = HistogramColumn(index, found[0][0].filled(fields, number))
    return Block(parts.labels, np.zeros(present.shape), present, gone, column).compact()


class _Totals:
    """What was added up: ``fields`` by name, shape (groups, S) and (groups, S, B); ``size``, of how many series."""

    def __init__(self, groups: int, steps: int) -> None:
        self._shape = (groups, steps)
        self.fields: dict[str, Floats] = {}
        self.size = np.zeros(self._shape)

    def add(self, rates: PlainRates, groups: Index) -> bool:
        """Add the rates of a chunk; ``groups`` has the group of each series. False if a plain sum will not do."""
        here = rates.here
        if not here.any():
            return True
        self.size += np.bincount(groups, minlength=self._shape[0])[:, None] * here
        order = None if (groups[1:] >= groups[:-1]).all() else np.argsort(groups, kind="stable")
        for start in range(0, len(groups), rates.rows_at_once):
            rows: Any = slice(start, start + rates.rows_at_once)
            rows = rows if order is None else order[rows]
            mine = groups[rows]
            begins = np.flatnonzero(np.diff(mine, prepend=-1))
            tile = rates.tile(rows)
            if tile.sum.min() < 0:
                return False  # what cancels is added up with compensation
            for name, array in zip(FIELDS, tile.arrays(), strict=True):
                self._add(name, array, mine[begins], begins, here)
        return True

    def _add(self, name: str, array: Floats, groups: Index, begins: Index, here: Bools) -> None:
        total = self.fields.get(name)
        if total is None:
            total = self.fields[name] = np.zeros((*self._shape, *array.shape[2:]))
        if len(begins) == 1:
            part = np.add.reduce(array, axis=0, keepdims=True)
        else:
            part = np.add.reduceat(array, begins, axis=0)
        if not here.all():
            part = np.where(here if part.ndim == 2 else here[:, None], part, 0.0)
        total[groups] += part
