"""Walks a tree and works every node out for all steps at once."""

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from model.errors import QueryError, QueryLimitError
from model.histogram.pool import HistogramColumn
from model.labels import Matcher
from model.samples import Floats, Ints
from promql import aggregate, ast, binary, fused, ranking
from promql.annotations import Annotations
from promql.ast import ValueType
from promql.block import Block
from promql.buckets import as_read
from promql.call import CallContext, Pinned, QueryRange, Value
from promql.functions.rate import say_no_counter
from promql.functions.table import FUNCTIONS
from promql.histogram.arithmetic import scaled
from promql.invariant import reference
from promql.parser_duration import duration_ms
from promql.select import block_windows, instant, windows
from promql.smooth import smooth
from promql.text import format_g
from promql.typecheck import type_of
from promql.windows import Extension, Windows
from promql.words import SET_OPERATORS
from storage.interface import Hints, Queryable, SeriesSet

Cancelled = Callable[[], bool]

LOOKBACK_MS: Final = 300_000
SUBQUERY_STEP_MS: Final = 60_000
_LOWEST_INT: Final = -(2.0**63)
_HIGHEST_INT: Final = 2.0**63 - 1024  # the floats beyond are no int64
_EXTENDED_FUNCTIONS: Final = {
    "anchored": ("changes", "delta", "increase", "rate", "resets"),
    "smoothed": ("delta", "increase", "rate"),
}


class Budget(Struct):
    """What a query has used of its limits; shared by all parts of one query."""

    max_samples: int
    cancelled: Cancelled
    samples: int = 0

    def check(self) -> None:
        """Stop the query if somebody wants it stopped.

        Raises:
            QueryLimitError: Then.
        """
        if self.cancelled():
            raise QueryLimitError("query timed out in expression evaluation", timeout=True)

    def use(self, samples: int) -> None:
        """Count samples.

        Raises:
            QueryLimitError: If they become too many.
        """
        self.samples += samples
        if self.samples > self.max_samples:
            raise QueryLimitError(
                "query processing would load too many samples into memory in query execution"
            )


class Evaluator(Struct, frozen=True):
    """Evaluates expressions at some steps.

    Attributes:
        queryable: Where samples come from.
        ts_ms: int64, shape (T,): the steps.
        query: The whole query's range; sub-queries have steps of their own, but not this.
        annotations: Where warnings and infos go.
        budget: See Budget.
        lookback_ms: How old a sample may be.
        is_range: Whether a range query asks.
    """

    queryable: Queryable
    ts_ms: Ints
    query: QueryRange
    annotations: Annotations
    budget: Budget
    lookback_ms: int = LOOKBACK_MS
    is_range: bool = False
    once: frozenset[int] = frozenset()
    bare: frozenset[int] = frozenset()
    path: tuple[ast.Expr, ...] = ()
    found: list[tuple[object, SeriesSet]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.ts_ms)

    def evaluate(self, expr: ast.Expr) -> Value:
        """Return an expression's value at every step."""
        self.budget.check()
        if id(expr) in self.once and (self.steps > 1 or self.is_range):
            return self._repeated(expr)
        match expr:
            case ast.NumberLiteral(value=value):
                return np.full(self.steps, value)
            case ast.StringLiteral(value=text):
                return text
            case ast.Paren(expr=inner):
                return self.evaluate(inner)
            case ast.VectorSelector(smoothed=True):
                return self._smooth(expr)
            case ast.VectorSelector():
                return self.select_instant(expr)
            case ast.Unary():
                return self._unary(expr)
            case ast.Binary():
                return self._binary(expr)
            case ast.Aggregate():
                return self._aggregate(expr)
            case ast.Call():
                return self._call(expr)
            case _:
                raise QueryError(f"cannot evaluate {type(expr).__name__} here")

    def _repeated(self, expr: ast.Expr) -> Value:
        """Work out what is the same at every step at the first."""
        value = replace(self, ts_ms=self.ts_ms[:1], is_range=False).evaluate(expr)
        if isinstance(value, Block):
            self.budget.use(value.size * self.steps)
            return value.repeated(self.steps)
        return value if isinstance(value, str) else np.repeat(value, self.steps)

    def vector(self, expr: ast.Expr) -> Block:
        """Return the value of an expression that is a vector."""
        value = self.evaluate(expr)
        assert isinstance(value, Block)
        return value

    # ------------------------------------------------------------ selectors

    def _shift(self, shift: ast.Shift) -> Ints:
        """Return the times a selector looks at."""
        at, offset = self.pinned(shift)
        times = self.ts_ms if at is None else np.full(self.steps, at, dtype=np.int64)
        return times - offset if offset else times

    def pinned(self, shift: ast.Shift) -> Pinned:
        """Return the time and offset that modifiers stand for, in ms."""
        at = shift.at
        if at is ast.AtEdge.START:
            at = self.query.start_ms
        elif isinstance(at, ast.AtEdge):
            at = self.query.end_ms
        if shift.offset is None:
            return at, 0
        return at, self._duration(shift.offset, negative=True)

    def _duration(self, node: ast.Duration, *, negative: bool = False) -> int:
        length = self.query.end_ms - self.query.start_ms
        return duration_ms(node, self.query.step_ms, length, negative=negative)

    def _select(self, node: ast.VectorSelector, mint: int, maxt: int, hints: Hints) -> SeriesSet:
        stats = id(node) in self.bare
        first = mint
        if stats:  # the histogram before the first one says whether that began anew
            first, hints = mint - self.lookback_ms, replace(hints, last_only=False)
        key = (first, maxt, hints.last_only, node.matchers)
        found = next((some for known, some in self.found if known == key), None)
        if found is None:  # else the same selector stands in the query twice
            found = self.queryable.select(node.matchers, first, maxt, hints)
            self.found.append((key, found))
        cells = sum(group.values.size for group in found.groups)
        self.budget.use(cells)
        if all(group.histograms is None for group in found.groups):
            return found
        groups = tuple(as_read(group, stats=stats, mint=mint) for group in found.groups)
        return replace(found, groups=groups)

    def select_instant(
        self, node: ast.VectorSelector, *, times: bool = False, start_times: bool = False
    ) -> Block:
        """Return a selector's most recent samples."""
        at = self._shift(node.shift)
        if not len(at):
            return Block.empty(0)
        hints = self._hints(last_only=len(at) == 1)
        found = self._select(node, int(at.min()) - self.lookback_ms + 1, int(at.max()), hints)
        self.budget.use(found.labels.size * self.steps)
        return instant(found, at, self.lookback_ms, times=times, start_times=start_times)

    def _select_info(self, matchers: tuple[Matcher, ...], at: Ints) -> Block:
        if not len(at):
            return Block.empty(0)
        hints = Hints(func="info", step_ms=self.query.step_ms)
        first, last = int(at.min()) - self.lookback_ms + 1, int(at.max())
        found = self.queryable.select(matchers, first, last, hints)
        self.budget.use(sum(group.values.size for group in found.groups))
        return instant(found, at, self.lookback_ms, times=True)

    def _smooth(self, node: ast.VectorSelector) -> Block:
        at = self._shift(node.shift)
        if not len(at):
            return Block.empty(0)
        starts, ends = at - self.lookback_ms, at + self.lookback_ms
        hints = self._hints()
        found = self._select(node, int(starts.min()) + 1, int(ends.max()), hints)
        extension = Extension(at, at, smoothed=True)
        around = windows(found, starts, ends, self.lookback_ms, extension)
        return smooth(node, around, at, self.annotations)

    def _hints(self, *, range_ms: int = 0, last_only: bool = False) -> Hints:
        """Tell the store what stands around the selector."""
        func, by = "", False
        grouping: tuple[str, ...] = ()
        for node in reversed(self.path):
            if isinstance(node, ast.Call) and not func:
                func = node.name
            if isinstance(node, ast.Aggregate):
                func, grouping, by = func or node.op, node.grouping, not node.without
            break
        return Hints(self.query.step_ms, range_ms, func, grouping, by, last_only)

    def evaluate_windows(self, expr: ast.Expr) -> Windows:
        """Return the windows of a range vector."""
        self.budget.check()
        expr = ast.unwrap(expr)
        if isinstance(expr, ast.MatrixSelector):
            return self._matrix(expr)
        assert isinstance(expr, ast.Subquery)
        return self._subquery(expr)

    def _matrix(self, node: ast.MatrixSelector) -> Windows:
        length = self._duration(node.range)
        ends = self._shift(node.selector.shift)
        starts = ends - length
        extension = None
        if node.selector.anchored or node.selector.smoothed:
            self._check_extended(node.selector)
            extension = Extension(starts, ends, node.selector.smoothed)
            starts = starts - self.lookback_ms
            ends = ends + self.lookback_ms if node.selector.smoothed else ends
        hints = self._hints(range_ms=length)
        found = self._select(node.selector, int(starts.min()) + 1, int(ends.max()), hints)
        return windows(found, starts, ends, length, extension)

    def _check_extended(self, node: ast.VectorSelector) -> None:
        """Refuse functions that would see the samples outside the range."""
        word = "anchored" if node.anchored else "smoothed"
        if not self.path:
            return
        around = self.path[-1]
        assert isinstance(around, ast.Call)
        if around.name not in _EXTENDED_FUNCTIONS[word]:
            names = ", ".join(_EXTENDED_FUNCTIONS[word])
            message = f"{word} modifier can only be used with: {names} - not with {around.name}"
            raise QueryError(message)

    def _subquery(self, node: ast.Subquery) -> Windows:
        length = self._duration(node.range)
        step = SUBQUERY_STEP_MS if node.step is None else self._duration(node.step)
        if step == 0:
            raise QueryError("unexpected error: runtime error: integer divide by zero")
        ends = self._shift(node.shift)
        starts = ends - length
        # steps are aligned to the step itself, and the start of a window is not in it
        first = (int(starts.min()) // step + 1) * step
        at = np.arange(first, int(ends.max()) + 1, step, dtype=np.int64)
        inner = replace(self, ts_ms=at, is_range=first != int(ends.max()))
        if not len(at):
            return block_windows(Block.empty(0), at, starts, ends, length)
        self.budget.use(len(at))
        return block_windows(inner.vector(node.expr), at, starts, ends, length)

    # ------------------------------------------------------------ operators

    def _unary(self, node: ast.Unary) -> Value:
        value = self.evaluate(node.expr)
        if node.op == "+" or isinstance(value, str):
            return value
        if isinstance(value, Block):
            return _negated(value).dropping_name()
        return -value

    def _binary(self, node: ast.Binary) -> Value:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        assert not isinstance(left, str)
        assert not isinstance(right, str)
        if isinstance(left, Block) and isinstance(right, Block):
            if node.op in SET_OPERATORS:
                return binary.set_operation(node, left, right)
            return binary.vector_vector(node, left, right, self.annotations)
        if isinstance(left, Block):
            assert not isinstance(right, Block)
            return binary.vector_scalar(node, left, right, self.annotations, swapped=False)
        if isinstance(right, Block):
            return binary.vector_scalar(node, right, left, self.annotations, swapped=True)
        return binary.scalar_operation(node.op, left, right)

    # ------------------------------------------------------------ aggregations and calls

    def below(self, node: ast.Expr) -> "Evaluator":
        """Return the evaluator for what stands directly below a node."""
        return replace(self, path=(*self.path, node))

    def _aggregate(self, node: ast.Aggregate) -> Block:
        inside = self.below(node)
        call = fused.can_fuse(node)
        if call is not None:
            windows = inside.below(call).evaluate_windows(call.args[0])
            both = fused.aggregate_rates(node, call, windows)
            if both is not None:
                say_no_counter(self.annotations, call, windows.labels, both.rows)
                return both.block
        if node.param is None:
            return aggregate.aggregate(node, inside.vector(node.expr), self.annotations)
        param = self.evaluate(node.param)
        assert not isinstance(param, Block)
        if isinstance(param, str):
            return aggregate.count_values(node, param, inside.vector(node.expr))
        if node.op == "quantile":
            return aggregate.quantile(node, param, inside.vector(node.expr), self.annotations)
        block = inside.vector(node.expr)
        none = (param == 0) if node.op == "limit_ratio" else (param < 1)
        if none.all():
            return Block.empty(self.steps)
        _check_parameter(node, param)
        if node.op == "limitk":
            return ranking.limit(node, param, block)
        if node.op == "limit_ratio":
            return aggregate.limit_ratio(node, param, block, self.annotations)
        return ranking.top(node, param, block, self.annotations, is_range=self.is_range)

    def _call(self, node: ast.Call) -> Value:
        inside = self.below(node)
        context = CallContext(
            node=node,
            ts_ms=self.ts_ms,
            query=self.query,
            annotations=self.annotations,
            evaluate=inside.evaluate,
            evaluate_windows=inside.evaluate_windows,
            evaluate_with_times=inside.with_times,
            is_range=self.is_range,
            select=self._select_info,
            reference=lambda expr: reference(expr, self.pinned),
        )
        return FUNCTIONS[node.name].run(context)

    def with_times(self, expr: ast.Expr) -> Block:
        """Return a vector; for a plain selector with the times of its samples."""
        inner = ast.unwrap(expr)
        if isinstance(inner, ast.VectorSelector):
            return self.select_instant(inner, times=True, start_times=True)
        return self.vector(expr)


def _negated(block: Block) -> Block:
    hist = block.hist
    if hist is not None:
        hist = HistogramColumn(hist.index, scaled(hist.pool, np.full(hist.pool.size, -1.0)))
    return replace(block, values=-block.values, hist=hist)


def _check_parameter(node: ast.Aggregate, param: Floats) -> None:
    """Refuse parameters that are no number of series.

    Raises:
        QueryError: Worded as Prometheus does.
    """
    if np.isnan(param).any():
        raise QueryError(
            "Ratio value is NaN" if node.op == "limit_ratio" else "Parameter value is NaN"
        )
    if node.op == "limit_ratio":
        return
    if (param <= _LOWEST_INT).any():
        raise QueryError(f"Scalar value {format_g(param.min())} underflows int64")
    if (param >= _HIGHEST_INT).any():
        raise QueryError(f"Scalar value {format_g(param.max())} overflows int64")


def is_vector(expr: ast.Expr) -> bool:
    """Tell whether an expression is an instant vector."""
    return type_of(expr) is ValueType.VECTOR
