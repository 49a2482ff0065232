"""Aggregations over rates, worked out tile by tile: what lies between never becomes a matrix.

``sum by (job) (rate(x[5m]))`` over a day of thousands of series would write and read a dozen
matrices as large as the answer of ``rate``. Here some hundred series at a time go all the way into
their groups while they are in the cache. Only for what needs no care: floats (histograms in ``fused_histograms``), windows that all
series of a target share, no start timestamp within one. Everything else is left to ``aggregate`` and ``rate``.
"""

from typing import Any, Final

import numpy as np
from msgspec import Struct

from model.samples import Bools, Floats
from model.steady import steady
from promql import ast, fused_histograms
from promql.aggregate import grouping_names, segments
from promql.block import Block, Index
from promql.functions.edges import Edges, edges
from promql.functions.rate import resets
from promql.functions.starts import no_start_inside
from promql.select import chunk_rows
from promql.windows import Chunk, Windows, columns_of

_CELLS: Final = 40_000  # of a tile: four such matrices fit into a second-level cache
_FUNCTIONS: Final = frozenset({"rate", "increase"})
_REDUCTIONS: Final[dict[str, Any]] = {
    "sum": np.add,
    "avg": np.add,
    "count": None,
    "group": None,
    "min": np.fmin,
    "max": np.fmax,
}


def can_fuse(node: ast.Aggregate) -> ast.Call | None:
    """Return the call below an aggregation if both may be worked out together."""
    inner = ast.unwrap(node.expr)
    if node.op not in _REDUCTIONS or not isinstance(inner, ast.Call):
        return None
    if inner.name not in _FUNCTIONS:
        return None
    arg = ast.unwrap(inner.args[0])
    if not isinstance(arg, ast.MatrixSelector):
        return None
    return None if arg.selector.anchored or arg.selector.smoothed else inner


class Fused(Struct, frozen=True):
    """An aggregation of rates.

    Attributes:
        block: The groups.
        rows: bool, shape (series,): which series had a rate of floats at any step.
    """

    block: Block
    rows: Bools


def aggregate_rates(node: ast.Aggregate, call: ast.Call, windows: Windows) -> Fused | None:
    """Work out an aggregation that ``can_fuse``; None if the windows need more care than is taken here."""
    seconds = windows.range_ms / 1000 if call.name == "rate" else 1.0
    if any(chunk.hist is not None for chunk in windows.chunks):
        if node.op not in fused_histograms.OPERATIONS:
            return None
        summed = fused_histograms.sum_rates(node, windows, seconds)
        none = np.zeros(windows.labels.size, dtype=bool)
        return None if summed is None else Fused(summed, none)
    for chunk in windows.chunks:
        if not chunk.uniform or _starts_matter(windows, chunk):
            return None
    labels = windows.labels
    parts = segments(node, labels)
    group_of, _ = labels.group(tuple(grouping_names(node, labels)))
    shape = (len(parts.first), windows.steps)
    ufunc = _REDUCTIONS[node.op]
    total = np.full(shape, np.nan if node.op in ("min", "max") else 0.0)
    count = np.zeros(shape)
    rows = np.zeros(labels.size, dtype=bool)
    for chunk in windows.chunks:
        here = chunk.count()[0] >= 2
        if not here.any() or not len(chunk.rows):
            continue
        rows[chunk.rows] = True
        groups = group_of[chunk.rows]
        count += np.bincount(groups, minlength=shape[0])[:, None] * here
        if ufunc is not None:
            with np.errstate(all="ignore"):
                _add(ufunc, total, _Rates(windows, chunk, seconds), groups, here)
    present = count > 0
    if node.op == "count":
        total = count
    elif node.op == "group":
        total = np.ones(shape)
    elif not np.isfinite(total[present]).all():
        return None  # infinity and NaN follow rules of their own
    elif node.op == "avg":
        total /= np.maximum(count, 1)
    gone = np.ones(shape[0], dtype=bool)
    return Fused(Block(parts.labels, total, present, gone).compact(), rows)


def _starts_matter(windows: Windows, chunk: Chunk) -> bool:
    """Tell whether start timestamps may say of any window that a counter began within it."""
    if chunk.start_ms is None:
        return False
    return not steady(chunk.start_ms) or not no_start_inside(windows, chunk.start_ms)


def _add(ufunc: Any, total: Floats, rates: "_Rates", groups: Index, here: Bools) -> None:
    """Reduce the rates of a chunk into the groups."""
    order = None if (groups[1:] >= groups[:-1]).all() else np.argsort(groups, kind="stable")
    many = max(16, _CELLS // len(here))
    everywhere = bool(here.all())
    for start in range(0, len(groups), many):
        rows: Any = slice(start, start + many) if order is None else order[start : start + many]
        mine = groups[rows]
        begins = np.flatnonzero(mine[1:] != mine[:-1]) + 1
        begins = np.concatenate([[0], begins]) if len(begins) else np.zeros(1, dtype=np.int64)
        part = ufunc.reduceat(rates.tile(rows), begins, axis=0)
        if not everywhere:
            part = np.where(here, part, 0.0 if ufunc is np.add else np.nan)
        at = mine[begins]
        total[at] = ufunc(total[at], part)


class _Rates:
    """The rates of a chunk, some rows at a time."""

    def __init__(self, windows: Windows, chunk: Chunk, seconds: float) -> None:
        self._chunk = chunk
        self._seconds = seconds
        width = chunk.values.shape[1]
        self._low = columns_of(np.clip(chunk.low, 0, width - 1))
        self._last = columns_of(np.clip(chunk.high - 1, 0, width - 1))
        at = self._edges = edges(windows, chunk)
        by = np.where(at.sampled == 0, 1.0, (at.sampled + at.to_start + at.to_end) / at.sampled)
        self._by = by / seconds
        self._steep = np.where(at.to_start > 0, at.sampled / at.to_start, np.inf)

    def tile(self, rows: Any) -> Floats:
        """Return the rates of some rows of the chunk, (b, S)."""
        chunk = self._chunk
        values = chunk.values[rows]
        first = values[:, self._low]
        rise: Floats = values[:, self._last] - first
        if (values[:, 1:] < values[:, :-1]).any():
            rise = rise + _lost(chunk, rows)
        own: Any = slice(None) if len(self._by) == 1 else chunk.ts_row[rows]
        # a counter does not begin below zero
        near = first * self._steep[own] < rise
        near &= first >= 0
        if not near.any():
            rise *= self._by[own]
            return rise
        row, step = np.nonzero(near)
        ts_row = 0 if len(self._by) == 1 else own[row]
        near_rise = rise[row, step]
        by = _to_zero(self._edges, (ts_row, step), first[row, step], near_rise) / self._seconds
        rise *= self._by[own]
        rise[row, step] = near_rise * by
        return rise


def _to_zero(at: Edges, where: tuple[Any, Index], first: Floats, rise: Floats) -> Floats:
    """Return what the rise of counters is multiplied by that would have been zero within the window."""
    sampled, to_end = at.sampled[where], at.to_end[where]
    factor: Floats = (sampled + sampled * (first / rise) + to_end) / sampled
    return factor


def _lost(chunk: Chunk, rows: Any) -> Floats:
    """Return what the counters had reached when they began anew within each window."""
    keep = np.arange(len(chunk.rows))[rows]
    part = chunk_rows(chunk, keep)
    marks = resets(part)
    assert marks is not None
    return part.over(marks, part.low + 1, part.high)
