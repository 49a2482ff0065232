"""The evaluator: a tree, a store and one step."""

import math
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from model.labels import Labels
from promql import ast
from promql.parser import parse
from promql.parser_duration import duration_ms
from promql.words import SET_OPERATORS
from tests.promql.columns import ColumnStore
from tests.promql.rowwise import operators
from tests.promql.rowwise.aggregate import aggregate
from tests.promql.rowwise.over_time import KEEP_NAME, WINDOW_FUNCTIONS, quantile
from tests.promql.rowwise.series import (
    Element,
    RowError,
    Vector,
    Window,
    inside,
    newest,
    selected,
    without_name,
)

DEFAULT_STEP_MS = 60_000

SIMPLE: Final[Mapping[str, Callable[[float], float]]] = {
    "abs": abs,
    "ceil": lambda v: float(math.ceil(v)) if math.isfinite(v) else v,
    "floor": lambda v: float(math.floor(v)) if math.isfinite(v) else v,
    "sgn": lambda v: v if v == 0 or math.isnan(v) else math.copysign(1.0, v),
    "sqrt": lambda v: math.sqrt(v) if v >= 0 else math.nan,
    "atan": math.atan,
}


class Row(Struct, frozen=True):
    """Evaluates at one step of a query."""

    store: ColumnStore
    at_ms: int
    start_ms: int
    end_ms: int
    step_ms: int

    def value(self, node: ast.Expr) -> float | Vector:
        """Return the value of an expression.

        Raises:
            RowError: If it has none.
        """
        match node:
            case ast.NumberLiteral(value=value):
                return value
            case ast.Paren(expr=inner):
                return self.value(inner)
            case ast.VectorSelector():
                return self._selector(node)
            case ast.Unary(op=op, expr=inner):
                return self._unary(op, self.value(inner))
            case ast.Binary():
                return self._binary(node)
            case ast.Aggregate(expr=inner, param=param):
                vector = self._distinct(self._vector(inner))
                return aggregate(node, vector, math.nan if param is None else self._scalar(param))
            case ast.Call():
                return self._call(node)
            case _:
                raise AssertionError(node)

    def _vector(self, node: ast.Expr) -> Vector:
        value = self.value(node)
        assert isinstance(value, list)
        return value

    def _scalar(self, node: ast.Expr) -> float:
        value = self.value(node)
        assert isinstance(value, float)
        return value

    def _distinct(self, vector: Vector) -> Vector:
        """Refuse vectors with two equal series, as every operator and function does.

        Raises:
            RowError: If there are two.
        """
        if len({e.labels for e in vector}) < len(vector):
            raise RowError("vector cannot contain metrics with the same labelset")
        return vector

    def _duration(self, node: ast.Duration | None, *, negative: bool = False) -> int:
        if node is None:
            return 0
        length = self.end_ms - self.start_ms
        return duration_ms(node, self.step_ms, length, negative=negative)

    def _time(self, shift: ast.Shift) -> int:
        at = shift.at
        if at is ast.AtEdge.START:
            at = self.start_ms
        elif at is ast.AtEdge.END:
            at = self.end_ms
        base = self.at_ms if at is None else at
        assert isinstance(base, int)
        return base - self._duration(shift.offset, negative=True)

    def _selector(self, node: ast.VectorSelector) -> Vector:
        at = self._time(node.shift)
        found = [(x, newest(samples, at)) for x, samples in selected(self.store, node.matchers)]
        return [Element(labels, float(hit[1])) for labels, hit in found if hit is not None]

    def _windows(self, node: ast.Expr) -> list[Window]:
        if isinstance(node, ast.Paren):
            return self._windows(node.expr)
        if isinstance(node, ast.MatrixSelector):
            end = self._time(node.selector.shift)
            start = end - self._duration(node.range)
            return [
                Window(labels, inside(samples, start, end), start, end)
                for labels, samples in selected(self.store, node.selector.matchers)
            ]
        assert isinstance(node, ast.Subquery)
        return self._subquery(node)

    def _subquery(self, node: ast.Subquery) -> list[Window]:
        end = self._time(node.shift)
        start = end - self._duration(node.range)
        step = self._duration(node.step) or DEFAULT_STEP_MS
        found: dict[Labels, Window] = {}
        for at in range((start // step + 1) * step, end + 1, step):
            inner = Row(self.store, at, self.start_ms, self.end_ms, self.step_ms).value(node.expr)
            vector = inner if isinstance(inner, list) else [Element(Labels(), inner)]
            for e in self._distinct(vector):
                window = Window(e.labels, [], start, end, e.unnamed)
                found.setdefault(e.labels, window).points.append((at, e.value))
        return list(found.values())

    def _unary(self, op: str, value: float | Vector) -> float | Vector:
        if op == "+":
            return value
        if isinstance(value, float):
            return -value
        return [Element(e.labels, -e.value, True) for e in value]

    def _binary(self, node: ast.Binary) -> float | Vector:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(left, float) and isinstance(right, float):
            return operators.scalars(node.op, left, right)
        if isinstance(left, float):
            assert isinstance(right, list)
            return operators.with_scalar(node, right, left, swapped=True)
        if isinstance(right, float):
            return operators.with_scalar(node, left, right, swapped=False)
        if node.op in SET_OPERATORS:
            return operators.set_operation(node, left, right)
        return operators.with_vector(node, self._distinct(left), self._distinct(right))

    def _call(self, node: ast.Call) -> float | Vector:
        args = node.args
        if node.name == "time":
            return self.at_ms / 1000
        if node.name == "vector":
            return [Element(Labels(), self._scalar(args[0]))]
        if node.name == "scalar":
            vector = self._vector(args[0])
            return vector[0].value if len(vector) == 1 else math.nan
        if node.name in SIMPLE:
            change = SIMPLE[node.name]
            return [Element(e.labels, change(e.value), True) for e in self._vector(args[0])]
        if node.name == "clamp_min":
            least = self._scalar(args[1])
            return [
                Element(e.labels, _greater(e.value, least), True) for e in self._vector(args[0])
            ]
        if node.name == "absent":
            return [] if self._vector(args[0]) else [Element(_wanted(args[0]), 1.0)]
        return self._over_time(node)

    def _over_time(self, node: ast.Call) -> Vector:
        change = WINDOW_FUNCTIONS.get(node.name)
        if node.name == "quantile_over_time":
            q = self._scalar(node.args[0])
            windows = [w for w in self._windows(node.args[1]) if w.points]
            done = [(w, quantile(q, [v for _, v in w.points])) for w in windows]
        else:
            assert change is not None, node.name
            found = [(w, change(w)) for w in self._windows(node.args[0])]
            done = [(w, v) for w, v in found if v is not None]
        unnamed = node.name not in KEEP_NAME
        return [Element(w.labels, v, unnamed or w.unnamed) for w, v in done]


def _greater(a: float, b: float) -> float:
    return math.nan if math.isnan(a) or math.isnan(b) else max(a, b)


def _wanted(node: ast.Expr) -> Labels:
    """Return the labels that equality matchers of a plain selector give."""
    node = ast.unwrap(node)
    if not isinstance(node, ast.VectorSelector):
        return Labels()
    names = [m.name for m in node.matchers]
    return Labels.of(
        {
            m.name: m.value
            for m in node.matchers
            if m.op.value == "=" and m.name != "__name__" and names.count(m.name) == 1
        }
    )


def evaluate(
    store: ColumnStore, query: str, at_ms: int, start_ms: int, end_ms: int, step_ms: int
) -> dict[Labels, float]:
    """Evaluate one step of a query; a scalar is a series without labels.

    Raises:
        RowError: If it cannot be evaluated.
    """
    value = Row(store, at_ms, start_ms, end_ms, step_ms).value(parse(query))
    if isinstance(value, float):
        return {Labels(): value}
    out: dict[Labels, float] = {}
    for e in value:
        labels = without_name(e.labels) if e.unnamed else e.labels
        if labels in out:
            raise RowError("vector cannot contain metrics with the same labelset")
        out[labels] = e.value
    return out
