"""What does not depend on the step: ``@`` pins it down, so it is worked out once (``preprocessExpr`` upstream)."""

from collections.abc import Callable
from typing import Final

from promql import ast
from promql.ast import ValueType
from promql.call import Pinned, Reference
from promql.typecheck import type_of

UNSAFE: Final = frozenset(
    {
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "days_in_month",
        "end",
        "hour",
        "minute",
        "month",
        "predict_linear",
        "range",
        "start",
        "step",
        "time",
        "timestamp",
        "year",
    }
)
"""Functions whose result depends on the step whatever they are given."""


def once(expr: ast.Expr, pinned: Callable[[ast.Shift], Pinned]) -> frozenset[int]:
    """Return the ids of the nodes that are to be worked out once, at the first step."""
    found: set[int] = set()
    _, wrap = _visit(expr, pinned, found)
    if wrap:
        found.add(id(ast.unwrap(expr)))
    return frozenset(found)


def _visit(
    expr: ast.Expr, pinned: Callable[[ast.Shift], Pinned], found: set[int]
) -> tuple[bool, bool]:
    """Return ``(whether it is the same at every step, whether that is worth keeping)``."""
    match expr:
        case ast.Paren(expr=inner) | ast.Unary(expr=inner) | ast.Aggregate(expr=inner):
            return _visit(inner, pinned, found)
        case ast.VectorSelector(shift=shift):
            return shift.at is not None, shift.at is not None
        case ast.MatrixSelector(selector=selector):
            return selector.shift.at is not None, False
        case ast.Subquery(expr=inner, shift=shift):
            if _visit(inner, pinned, found)[0]:
                found.add(id(ast.unwrap(inner)))
            return shift.at is not None, False
        case ast.Binary(left=left, right=right):
            sides = [_visit(side, pinned, found) for side in (left, right)]
            if all(same for same, _ in sides):
                return True, True
            _keep(zip((left, right), sides, strict=True), found)
            return False, False
        case ast.Call():
            return _visit_call(expr, pinned, found)
        case _:
            return True, False


def _keep(parts: "zip[tuple[ast.Expr, tuple[bool, bool]]]", found: set[int]) -> None:
    found.update(id(ast.unwrap(part)) for part, (_, wrap) in parts if wrap)


def _visit_call(
    node: ast.Call, pinned: Callable[[ast.Shift], Pinned], found: set[int]
) -> tuple[bool, bool]:
    args = node.args[:1] if node.name == "info" else node.args
    sides = [_visit(arg, pinned, found) for arg in args]
    same = node.name not in UNSAFE and all(same for same, _ in sides)
    if node.name == "info":
        same = same and reference(args[0], pinned).uniform
    if node.name == "timestamp":
        same = sides[0][0] and isinstance(ast.unwrap(args[0]), ast.VectorSelector)
    if same:
        return True, True
    _keep(zip(args, sides, strict=True), found)
    return False, False


def reference(expr: ast.Expr, pinned: Callable[[ast.Shift], Pinned]) -> Reference:
    """Return the time the selectors of ``info``'s first argument look at (``infoSelectTimestampAndOffset`` upstream)."""
    seen: list[Pinned] = []
    free: list[ast.Expr] = []
    _collect(expr, (), pinned, seen, free)
    if not seen:
        return Reference(None, 0, uniform=False)
    effective = {(0, at - offset) if at is not None else (1, offset) for at, offset in seen}
    return Reference(*seen[0], uniform=len(effective) == 1 and not free)


def _collect(
    expr: ast.Expr,
    around: tuple[ast.Subquery, ...],
    pinned: Callable[[ast.Shift], Pinned],
    seen: list[Pinned],
    free: list[ast.Expr],
) -> bool:
    """List the selectors' times, and what gives a vector without any selector; tell whether one was found."""
    if type_of(expr) not in (ValueType.VECTOR, ValueType.MATRIX):
        return False
    if isinstance(expr, ast.VectorSelector):
        at, offset = pinned(expr.shift)
        for outer in reversed(around):
            if at is None:
                at, more = pinned(outer.shift)
                offset += more
        seen.append((at, offset))
        return True
    if isinstance(expr, ast.Subquery):
        around = (*around, expr)
    hits = [_collect(part, around, pinned, seen, free) for part in _parts(expr)]
    if not any(hits) and not (isinstance(expr, ast.Call) and expr.name == "info"):
        free.append(expr)
    return any(hits)


def _parts(expr: ast.Expr) -> tuple[ast.Expr, ...]:
    match expr:
        case ast.Paren(expr=inner) | ast.Unary(expr=inner) | ast.Subquery(expr=inner):
            return (inner,)
        case ast.Aggregate(expr=inner):
            return (inner,)
        case ast.MatrixSelector(selector=selector):
            return (selector,)
        case ast.Binary(left=left, right=right):
            return (left, right)
        case ast.Call(name="info", args=args):
            return args[:1]
        case ast.Call(args=args):
            return args
        case _:
            return ()
