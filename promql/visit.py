"""Looking through a tree: what it selects, for lints and link building."""

from collections.abc import Iterator

from model.labels import METRIC_NAME, MatchOp
from promql import ast


def walk(expr: ast.Expr) -> Iterator[ast.Expr]:
    """Yield every node, parents first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def children(expr: ast.Expr) -> tuple[ast.Expr, ...]:
    """Return the expressions directly below a node; durations are not among them."""
    match expr:
        case ast.Paren(expr=inner) | ast.Unary(expr=inner) | ast.Subquery(expr=inner):
            return (inner,)
        case ast.Binary(left=left, right=right):
            return (left, right)
        case ast.Call(args=args):
            return args
        case ast.Aggregate(expr=inner, param=param):
            return (inner,) if param is None else (param, inner)
        case ast.MatrixSelector(selector=selector):
            return (selector,)
        case _:
            return ()


def selectors(expr: ast.Expr) -> tuple[ast.VectorSelector, ...]:
    """Return every series selector, in the order of the text."""
    return tuple(node for node in walk(expr) if isinstance(node, ast.VectorSelector))


def metric_names(expr: ast.Expr) -> set[str]:
    """Return the metric names that selectors give in full; selectors by pattern have none."""
    return {
        matcher.value
        for selector in selectors(expr)
        for matcher in selector.matchers
        if matcher.name == METRIC_NAME and matcher.op is MatchOp.EQUAL
    }
