"""``topk``, ``bottomk`` and ``limitk``: the first k of each group, found without sorting all series."""

from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from model.samples import Bools, Floats
from promql import ast
from promql.aggregate import segments, without_histograms
from promql.annotations import Annotations
from promql.block import Block, Index

_WORTH_CUTTING: Final = 64  # rows; below it sorting all is as quick


class Ranking(Struct, frozen=True):
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
        held = np.flatnonzero(self.present.any(axis=0))
        if not held.size:
            return rows
        steps = slice(held[0], held[-1] + 1)  # before there was anything, nobody was better
        whole = len(rows) == len(self.values)
        values, present = self.values[:, steps], self.present[:, steps]
        if whole:
            rows = np.arange(len(rows))
        else:
            values, present = values[rows], present[rows]
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


def top(
    node: ast.Aggregate, k: Floats, block: Block, annotations: Annotations, *, is_range: bool
) -> Block:
    """Work out ``topk`` and ``bottomk``; an instant answer comes in order of value, group by group."""
    if not (k >= 1).all():
        block = replace(block, present=block.present & (k >= 1))
    block = without_histograms(node, block, annotations)
    if not block.size or not (k >= 1).any():
        return Block.empty(block.present.shape[1])
    ranking = Ranking(block.values, block.present, largest=node.op == "topk")
    return _first_k(node, ranking, k, block, ordered=not is_range)


def limit(node: ast.Aggregate, k: Floats, block: Block) -> Block:
    """Work out ``limitk``: any k series of each group."""
    if not block.size or not (k >= 1).any():
        return Block.empty(block.present.shape[1])
    same = np.broadcast_to(np.zeros(1), block.values.shape)
    return _first_k(node, Ranking(same, block.present, largest=False), k, block, ordered=False)


def _first_k(
    node: ast.Aggregate, ranking: Ranking, k: Floats, block: Block, *, ordered: bool
) -> Block:
    parts = segments(node, block.labels)
    steps = block.present.shape[1]
    wanted = np.clip(np.trunc(np.where(np.isnan(k), 0.0, k)), 0, block.size).astype(np.int64)
    keep = np.zeros(block.present.shape, dtype=bool)
    order: list[Index] = []
    ends = np.append(parts.starts[1:], len(parts.order))
    for start, end in zip(parts.starts.tolist(), ends.tolist(), strict=True):
        rows = ranking.candidates(parts.order[start:end], int(wanted.max()))
        here, group_keys = block.present[rows].T, ranking.keys(rows).T
        # NaN after every number, what is absent after NaN; equal keys in their old order
        no_number = np.isnan(group_keys)
        if (no_number & here).any() and not here.all():
            kind = np.where(here, no_number.astype(np.int8), np.int8(2))
            ranked = np.lexsort((np.where(kind == 0, group_keys, 0.0), kind), axis=1)
        else:
            ranked = np.argsort(np.where(here, group_keys, np.nan), axis=1, kind="stable")
        limit_k = np.minimum(wanted, here.sum(axis=1))
        chosen = np.arange(len(rows)) < limit_k[:, None]
        at_step = np.broadcast_to(np.arange(steps)[:, None], ranked.shape)
        keep[rows[ranked[chosen]], at_step[chosen]] = True
        order.append(rows[ranked[0, : limit_k[0]]])
    out = Block(block.labels, block.values, keep, block.drop_name, block.hist, None, None)
    return out.take(np.concatenate(order)) if ordered else out.compact()
