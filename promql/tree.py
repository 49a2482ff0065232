"""A syntax tree as JSON, in the shape of Prometheus's ``/api/v1/parse_query`` (``web/api/v1/translate_ast.go``)."""

import math
import re
from typing import Any, Final

from promql import ast
from promql.ast import ValueType
from promql.functions.table import FUNCTIONS
from promql.text import format_float
from promql.typecheck import matching_of

_TYPES: Final = {
    ValueType.SCALAR: "scalar",
    ValueType.STRING: "string",
    ValueType.VECTOR: "vector",
    ValueType.MATRIX: "matrix",
}
_STRAY_BYTE: Final = re.compile("[\ud800-\udfff]")


def tree_of(expr: ast.Expr) -> dict[str, Any]:
    """Return a tree of dicts, lists, strings, numbers, bools and None; times and durations in ms."""
    match expr:
        case ast.NumberLiteral(value=value):
            return {"type": "numberLiteral", "val": format_float(value)}
        case ast.StringLiteral(value=text):
            return {"type": "stringLiteral", "val": _text(text)}
        case ast.Paren(expr=inner):
            return {"type": "parenExpr", "expr": tree_of(inner)}
        case ast.Unary(op=op, expr=inner):
            return {"type": "unaryExpr", "op": op, "expr": tree_of(inner)}
        case ast.VectorSelector():
            return {"type": "vectorSelector", **_selector(expr)}
        case ast.MatrixSelector(selector=selector, range=length):
            return {"type": "matrixSelector", **_duration("range", length), **_selector(selector)}
        case ast.Subquery():
            return _subquery(expr)
        case ast.Call():
            return _call(expr)
        case ast.Aggregate():
            return {
                "type": "aggregation",
                "op": expr.op,
                "expr": tree_of(expr.expr),
                "param": None if expr.param is None else tree_of(expr.param),
                "grouping": list(expr.grouping),
                "without": expr.without,
            }
        case ast.Binary():
            return {
                "type": "binaryExpr",
                "op": expr.op,
                "lhs": tree_of(expr.left),
                "rhs": tree_of(expr.right),
                "matching": _matching(expr),
                "bool": expr.return_bool,
            }
        case _:
            raise TypeError(type(expr).__name__)


def _text(text: str) -> str:
    """Return a text as Go writes it to JSON: a byte that is no UTF-8 becomes U+FFFD."""
    return _STRAY_BYTE.sub("\ufffd", text)


def _call(node: ast.Call) -> dict[str, Any]:
    function = FUNCTIONS[node.name]
    return {
        "type": "call",
        "func": {
            "name": node.name,
            "argTypes": [_TYPES[kind] for kind in function.args],
            "variadic": function.variadic,
            "returnType": _TYPES[function.returns],
        },
        "args": [tree_of(arg) for arg in node.args],
    }


def _subquery(node: ast.Subquery) -> dict[str, Any]:
    return {
        "type": "subquery",
        "expr": tree_of(node.expr),
        **_duration("range", node.range),
        **_duration("step", node.step),
        **_shift(node.shift),
    }


def _selector(node: ast.VectorSelector) -> dict[str, Any]:
    return {
        "name": node.name,
        "matchers": [
            {"name": _text(m.name), "value": _text(m.value), "type": m.op.value}
            for m in node.matchers
        ],
        "anchored": node.anchored,
        "smoothed": node.smoothed,
        **_shift(node.shift),
    }


def _shift(shift: ast.Shift) -> dict[str, Any]:
    at = shift.at
    edge = isinstance(at, ast.AtEdge)
    return {
        **_duration("offset", shift.offset),
        "timestamp": None if edge else at,
        "startOrEnd": at.value if isinstance(at, ast.AtEdge) else None,
    }


def _duration(name: str, node: ast.Duration | None) -> dict[str, Any]:
    """Return a duration's ms, 0 where it is arithmetic, and the arithmetic."""
    if isinstance(node, ast.DurationExpr):
        return {name: 0, f"{name}Expr": _duration_expr(node)}
    ns = 0 if node is None else round(abs(node.value) * 1e9)
    ms = ns // 1_000_000
    return {name: -ms if node is not None and node.value < 0 else ms, f"{name}Expr": None}


def _duration_expr(node: ast.Duration | None) -> dict[str, Any] | None:
    if node is None:
        return None
    if isinstance(node, ast.NumberLiteral):
        value = format_float(node.value)
        return {"type": "numberLiteral", "val": value, "duration": node.duration}
    return {
        "type": "durationExpr",
        "op": node.op,
        "lhs": _duration_expr(node.left),
        "rhs": _duration_expr(node.right),
        "wrapped": node.wrapped,
    }


def _matching(node: ast.Binary) -> dict[str, Any] | None:
    matching = matching_of(node)
    if matching is None:
        return None
    fills = {"lhs": _number(matching.fill_left), "rhs": _number(matching.fill_right)}
    return {
        "card": matching.card.value,
        "labels": list(matching.labels),
        "on": matching.on,
        "include": list(matching.include),
        "fillValues": fills,
    }


def _number(value: float | None) -> float | None:
    """Return a number as JSON has it: whole ones without a point, none that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2.0**53 else value
