"""Queries with ``@`` added to each selector, as upstream's test runner rewrites them."""

from msgspec.structs import replace

from model.errors import QueryError
from promql import ast
from promql.invariant import UNSAFE
from promql.parser import parse
from promql.printer import format_expr
from promql.visit import walk


def can_be_pinned(query: str) -> bool:
    """Tell whether a query gives the same at every time once its selectors are pinned down."""
    try:
        tree = parse(query)
    except QueryError:
        return False
    return not any(isinstance(node, ast.Call) and node.name in UNSAFE for node in walk(tree))


def pinned(query: str, at_ms: int) -> str:
    """Return the query with ``@`` a time at the selectors that have none, a sub-query's standing for those in it."""
    return format_expr(_pinned(parse(query), at_ms))


def _pinned(expr: ast.Expr, at_ms: int) -> ast.Expr:
    match expr:
        case ast.VectorSelector(shift=shift):
            return replace(expr, shift=_shift(shift, at_ms))
        case ast.MatrixSelector(selector=selector):
            return replace(expr, selector=replace(selector, shift=_shift(selector.shift, at_ms)))
        case ast.Subquery(shift=shift):
            return replace(expr, shift=_shift(shift, at_ms))
        case ast.Paren(expr=inner) | ast.Unary(expr=inner):
            return replace(expr, expr=_pinned(inner, at_ms))
        case ast.Aggregate(expr=inner, param=param):
            first = None if param is None else _pinned(param, at_ms)
            return replace(expr, expr=_pinned(inner, at_ms), param=first)
        case ast.Binary(left=left, right=right):
            return replace(expr, left=_pinned(left, at_ms), right=_pinned(right, at_ms))
        case ast.Call(args=args):
            return replace(expr, args=tuple(_pinned(arg, at_ms) for arg in args))
        case _:
            return expr


def _shift(shift: ast.Shift, at_ms: int) -> ast.Shift:
    return shift if isinstance(shift.at, int) else replace(shift, at=at_ms)
