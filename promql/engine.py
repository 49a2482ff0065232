"""Runs queries: text and times in, answer out. An instant query is a range query of one step."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict, replace

from model.errors import QueryError
from model.histogram.pool import HistogramColumn
from model.samples import Floats, Ints, no_samples
from promql.annotations import Annotations
from promql.ast import Expr, ValueType
from promql.block import Block
from promql.buckets import without_buckets
from promql.call import QueryRange
from promql.evaluator import LOOKBACK_MS, Budget, Evaluator
from promql.functions.extended import extended_points
from promql.invariant import once
from promql.parser import parse
from promql.result import Matrix, Result, Scalar, Stats, String, Vector
from promql.tally import Tally, TallyingEvaluator
from promql.typecheck import type_of
from promql.windows import Windows
from storage.interface import Queryable

Cancelled = Callable[[], bool]


class Limits(Struct, frozen=True):
    """What one query may use.

    Attributes:
        max_samples: Samples read or made by one query (Prometheus's ``query.max-samples``).
        lookback_ms: How old a sample may be to count as now.
    """

    max_samples: int = 50_000_000
    lookback_ms: int = LOOKBACK_MS


def _never() -> bool:
    return False


class _Prepared(Struct, frozen=True):
    """A query's tree, and what is known of its nodes by their ids.

    Attributes:
        expr: The tree.
        bare: Ids of the selectors whose histograms' buckets nothing looks at.
    """

    expr: Expr
    bare: frozenset[int]


@lru_cache(maxsize=2048)
def _prepared(text: str) -> _Prepared:
    tree = parse(text)
    return _Prepared(tree, without_buckets(tree))


_NO_LIMITS: Final = Limits()


class Engine:
    """Evaluates PromQL. Has no state and may be used from any thread."""

    def __init__(self, limits: Limits = _NO_LIMITS) -> None:
        self._limits = limits

    @property
    def limits(self) -> Limits:
        """What one query may use."""
        return self._limits

    def with_lookback(self, lookback_ms: int) -> "Engine":
        """Return an engine whose samples count as now for so long."""
        return Engine(replace(self._limits, lookback_ms=lookback_ms))

    def instant(
        self,
        queryable: Queryable,
        expr: str,
        ts_ms: int,
        *,
        cancelled: Cancelled = _never,
        tally: Tally | None = None,
    ) -> Result:
        """Evaluate at one time.

        Args:
            queryable: Where samples come from.
            expr: The query.
            ts_ms: The time.
            cancelled: Asked between steps of the work; True stops the query.
            tally: Counts the samples of each step, if that is wanted.

        Raises:
            ParseError: If the query cannot be parsed.
            QueryError: If it cannot be evaluated.
            QueryLimitError: If it needs more than it may, or was cancelled.
            StorageError: If the store cannot be read.
        """
        prepared = _prepared(expr)
        tree = prepared.expr
        at = np.array([ts_ms], dtype=np.int64)
        query = QueryRange(ts_ms, ts_ms, 0)
        run = self._evaluator(
            queryable, prepared, at, query, cancelled, sub_queries=":" in expr, tally=tally
        )
        value: Scalar | String | Vector | Matrix
        if type_of(tree) is ValueType.MATRIX:
            value = _range_vector(_shown_windows(run.evaluate_windows(tree)))
        else:
            found = run.evaluate(tree)
            if isinstance(found, str):
                value = String(ts_ms, found)
            elif isinstance(found, Block):
                value = _vector(found.without_dropped_names().compact(), ts_ms)
            else:
                value = Scalar(at, found)
        return _result(run, value, expr)

    def range(
        self,
        queryable: Queryable,
        expr: str,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        *,
        cancelled: Cancelled = _never,
        tally: Tally | None = None,
    ) -> Result:
        """Evaluate at ``start_ms``, ``start_ms + step_ms``, ... up to ``end_ms``; scalars become a series.

        Raises:
            ParseError: If the query cannot be parsed.
            QueryError: If it cannot be evaluated, or gives a string or a range vector.
            QueryLimitError: If it needs more than it may, or was cancelled.
            StorageError: If the store cannot be read.
        """
        prepared = _prepared(expr)
        tree = prepared.expr
        kind = type_of(tree)
        if kind not in (ValueType.VECTOR, ValueType.SCALAR):
            message = f'invalid expression type "{kind.value}" for range query, must be Scalar or instant Vector'
            raise QueryError(message)
        if step_ms <= 0:
            raise QueryError("zero or negative query resolution step widths are not accepted")
        at = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        query = QueryRange(start_ms, end_ms, step_ms)
        run = self._evaluator(
            queryable, prepared, at, query, cancelled, start_ms != end_ms, tally=tally
        )
        found = run.evaluate(tree) if len(at) else Block.empty(0)
        assert not isinstance(found, str)
        block = found if isinstance(found, Block) else Block.single(found)
        return _result(run, _matrix(block.without_dropped_names().compact(), at), expr)

    def _evaluator(
        self,
        queryable: Queryable,
        tree: _Prepared,
        at: Ints,
        query: QueryRange,
        cancelled: Cancelled,
        is_range: bool = False,
        *,
        sub_queries: bool = True,
        tally: Tally | None = None,
    ) -> Evaluator:
        budget = Budget(self._limits.max_samples, cancelled)
        lookback = self._limits.lookback_ms
        run = Evaluator(
            queryable, at, query, Annotations(), budget, lookback, is_range, bare=tree.bare
        )
        if tally is not None:
            run = TallyingEvaluator(**asdict(run), tally=tally)
        if len(at) == 1 and not sub_queries:
            return run  # nothing is worked out at several steps
        return replace(run, once=once(tree.expr, run.pinned))


def _result(run: Evaluator, value: Scalar | String | Vector | Matrix, expr: str) -> Result:
    warnings, infos = run.annotations.render(expr)
    return Result(value, warnings, infos, Stats(run.budget.samples))


def _marked(block: Block) -> Floats:
    """Return the values with NO_SAMPLE where there is no float."""
    if block.hist is None and block.present.all():
        return block.values
    out = no_samples(block.values.shape)
    floats = block.floats
    out[floats] = block.values[floats]
    return out


def _shown(block: Block) -> HistogramColumn | None:
    """Return the histograms that are present."""
    if block.hist is None:
        return None
    return HistogramColumn(np.where(block.present, block.hist.index, np.int32(-1)), block.hist.pool)


def _vector(block: Block, ts_ms: int) -> Vector:
    return Vector(block.labels, ts_ms, _marked(block)[:, 0], _shown(block))


def _sorted(block: Block) -> Block:
    order, labels = block.labels.in_order()
    return block if labels is block.labels else replace(block.take(order), labels=labels)


def _matrix(block: Block, ts_ms: Ints) -> Matrix:
    block = _sorted(block)
    return Matrix(block.labels, ts_ms, _marked(block), _shown(block))


def _shown_windows(windows: Windows) -> Windows:
    """Return the samples of a range vector; extended ones have a sample at both ends.

    Raises:
        QueryError: If an extended one holds histograms.
    """
    extension = windows.extension
    if extension is None:
        return windows
    if any(
        c.hist is not None and (c.over(c.hist >= 0, c.low, c.high) > 0).any()
        for c in windows.chunks
    ):
        word = "smoothed" if extension.smoothed else "anchored"
        raise QueryError(f"{word} modifier is not supported with histograms")
    return extended_points(windows, extension)


def _range_vector(windows: Windows) -> Matrix:
    """Lay out the samples of the only window."""
    size = windows.labels.size
    counts = np.zeros(size, dtype=np.int64)
    for chunk in windows.chunks:
        counts[chunk.rows] = np.broadcast_to(chunk.count(), chunk.shape)[:, 0]
    width = int(counts.max(initial=0))
    values = no_samples((size, width))
    ts_ms = np.zeros((size, width), dtype=np.int64)
    index = np.full((size, width), -1, dtype=np.int32)
    for chunk in windows.chunks:
        low = np.broadcast_to(np.atleast_2d(chunk.low), chunk.shape)
        at = low + np.arange(width)
        inside = np.arange(width) < np.broadcast_to(chunk.count(), chunk.shape)
        at = np.minimum(at, chunk.values.shape[1] - 1)
        rows = chunk.rows
        picked = np.take_along_axis(chunk.values, at, axis=1)
        if chunk.hist is not None:
            index[rows] = np.where(inside, np.take_along_axis(chunk.hist, at, axis=1), -1)
        floats = inside & (index[rows] < 0)
        part = values[rows]
        part[floats] = picked[floats]
        values[rows] = part
        times = np.take_along_axis(chunk.ts_ms[chunk.ts_row], at, axis=1)
        ts_ms[rows] = np.where(inside, times, 0)
    hist = None if windows.pool is None else HistogramColumn(index, windows.pool)
    keep = counts > 0
    drop = Block(windows.labels, np.zeros((size, 1)), keep[:, None], windows.drop_name)
    labels = drop.without_dropped_names().labels if windows.drop_name.any() else windows.labels
    matrix = Matrix(labels, ts_ms, values, hist)
    order, _ = labels.in_order()
    rows_kept = order[keep[order]]
    return Matrix(
        matrix.labels.take(rows_kept),
        ts_ms[rows_kept],
        values[rows_kept],
        None if hist is None else hist.take(rows_kept),
    )
