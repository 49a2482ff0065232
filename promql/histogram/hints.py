"""Which counter reset hints of a store's histograms a query sees.

A store knows where a histogram began anew. Prometheus's loses that at the edges of its chunks, so a
query there sees UNKNOWN instead and compares the buckets; only selectors whose buckets nobody looks at
(``detectHistogramStatsDecoding`` and ``HistogramStatsIterator`` upstream) are told RESET.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from model.histogram.pool import RESET, UNKNOWN, HistogramColumn
from promql import ast
from promql.lexer import TRIMS
from promql.visit import children
from storage.interface import Group, SeriesSet

_COUNTING: Final = frozenset({"histogram_count", "histogram_sum", "histogram_avg"})
_NEED_BUCKETS: Final = frozenset(
    {"histogram_quantile", "histogram_quantiles", "histogram_fraction"}
)


def counted_only(tree: ast.Expr) -> frozenset[int]:
    """Return the ids of the vector selectors of whose histograms only count and sum are used."""
    found: set[int] = set()
    _visit(tree, False, False, found)
    return frozenset(found)


def _visit(node: ast.Expr, counting: bool, needed: bool, found: set[int]) -> None:
    if isinstance(node, ast.VectorSelector):
        if counting and not needed:
            found.add(id(node))
        return
    if isinstance(node, ast.Call):
        counting = counting or node.name in _COUNTING
        needed = needed or node.name in _NEED_BUCKETS
    trims = isinstance(node, ast.Binary) and node.op in TRIMS
    needed = needed or trims or isinstance(node, ast.Subquery)
    for child in children(node):
        _visit(child, counting, needed, found)


def without_resets(found: SeriesSet) -> SeriesSet:
    """Return what was selected with UNKNOWN for RESET."""
    if not any(_has_resets(group) for group in found.groups):
        return found
    return replace(found, groups=tuple(map(_forget, found.groups)))


def _has_resets(group: Group) -> bool:
    return group.histograms is not None and bool((group.histograms.pool.hint == RESET).any())


def _forget(group: Group) -> Group:
    if group.histograms is None or not _has_resets(group):
        return group
    pool = group.histograms.pool
    hint = np.where(pool.hint == RESET, np.int8(UNKNOWN), pool.hint)
    return replace(
        group, histograms=HistogramColumn(group.histograms.index, replace(pool, hint=hint))
    )


def first_unknown(found: SeriesSet, mint: int) -> SeriesSet:
    """Return what was selected with UNKNOWN for a RESET that is a series' first from ``mint`` on."""
    if not any(_has_resets(group) for group in found.groups):
        return found
    return replace(found, groups=tuple(_forget_first(group, mint) for group in found.groups))


def _forget_first(group: Group, mint: int) -> Group:
    if group.histograms is None or not _has_resets(group):
        return group
    index, pool = group.histograms.index, group.histograms.pool
    inside = (index >= 0) & (group.ts_ms >= mint)[group.ts_row]
    rows = np.flatnonzero(inside.any(axis=1))
    first = index[rows, inside[rows].argmax(axis=1)]
    hint = pool.hint.copy()
    hint[first[hint[first] == RESET]] = UNKNOWN
    return replace(group, histograms=HistogramColumn(index, replace(pool, hint=hint)))
