"""Which selectors are read for counts and sums only, and what that means for their histograms.

Prometheus leaves buckets away where nothing looks at them (``detectHistogramStatsDecoding``), and
it shows: only there is a counter reset told by a hint, since the iterator that drops the buckets
(``HistogramStatsIterator``) has to look for resets itself; and bounds that were dropped do not
mismatch. Everywhere else a histogram that follows a reset has no hint, and is compared when needed.
"""

from typing import Final

import numpy as np
from msgspec.structs import replace

from model.histogram.pool import NOT_RESET, RESET, UNKNOWN, HistogramColumn, HistogramPool, Int32s
from model.histogram.resets import is_reset
from promql import ast
from promql.visit import children
from storage.interface import Group

_ONLY_STATS: Final = frozenset(
    {
        "absent",
        "histogram_avg",
        "histogram_count",
        "histogram_sum",
        "start_timestamp",
        "timestamp",
    }
)
_NEED_BUCKETS: Final = frozenset(
    {
        "changes",
        "histogram_fraction",
        "histogram_quantile",
        "histogram_quantiles",
        "histogram_stddev",
        "histogram_stdvar",
    }
)
_COMPARING: Final = frozenset({"</", ">/", "==", "!="})


def without_buckets(expr: ast.Expr) -> frozenset[int]:
    """Return the ids of the selectors whose buckets nothing looks at."""
    found: set[int] = set()
    _visit(expr, (), found)
    return frozenset(found)


def _visit(expr: ast.Expr, path: tuple[ast.Expr, ...], found: set[int]) -> None:
    if isinstance(expr, ast.VectorSelector):
        if _skips(path):
            found.add(id(expr))
        return
    for child in children(expr):
        _visit(child, (*path, expr), found)


def _skips(path: tuple[ast.Expr, ...]) -> bool:
    skips = False
    for node in reversed(path):
        match node:
            case ast.Subquery() | ast.Aggregate(op="count_values"):
                return False
            case ast.Binary(op=op) if op in _COMPARING:
                return False
            case ast.Call(name=name) if name in _NEED_BUCKETS:
                return False
            case ast.Call(name=name):
                skips = skips or name in _ONLY_STATS
            case _:
                pass
    return skips


def as_read(group: Group, *, stats: bool, mint: int) -> Group:
    """Return a group with its histograms as a query sees them; ``stats`` if only for counts and sums.

    What is before ``mint`` only told the store what the first one after it is.
    """
    column = group.histograms
    if column is None or not column.pool.size:
        return group
    pool = column.pool
    hint = np.where(pool.hint == RESET, UNKNOWN, pool.hint).astype(np.int8)
    pool = replace(pool, hint=hint)
    if stats:
        inside = (group.ts_ms >= mint)[group.ts_row]
        pool = _without(pool, _detected(pool, np.where(inside, column.index, np.int32(-1))))
    return replace(group, histograms=HistogramColumn(column.index, pool))


def _detected(pool: HistogramPool, index: Int32s) -> HistogramPool:
    """Return the pool with each hint worked out that is not known, against the histogram before in the same series."""
    rows, at = np.nonzero(index >= 0)
    follows = np.flatnonzero(rows[1:] == rows[:-1]) + 1
    now, before = index[rows[follows], at[follows]], index[rows[follows - 1], at[follows - 1]]
    open_ = pool.hint[now] == UNKNOWN
    now, before = now[open_], before[open_]
    if not len(now):
        return pool
    hint = pool.hint.copy()
    hint[now] = np.where(is_reset(pool.take(now), pool.take(before)), RESET, NOT_RESET)
    return replace(pool, hint=hint)


def _without(pool: HistogramPool, hinted: HistogramPool) -> HistogramPool:
    nothing = np.zeros((pool.size, 0))
    first = np.zeros(pool.size, dtype=np.int32)
    zero = np.zeros(pool.size)
    return replace(
        hinted,
        zero_count=zero,
        zero_threshold=zero,
        first=first,
        positive=nothing,
        negative_first=first,
        negative=nothing,
        bounds=nothing,
    )
