"""Checks a tree the grammar let pass: types of operands and arguments, as Prometheus's ``checkAST``."""

from collections.abc import Callable
from typing import Final, NoReturn

from msgspec.structs import replace

from model.labels import METRIC_NAME
from promql import ast
from promql.ast import ValueType
from promql.functions.table import FUNCTIONS
from promql.regex import matches
from promql.text import quote
from promql.words import COMPARISONS, SET_OPERATORS

Fail = Callable[[str, int, int], NoReturn]

_SCALAR_PARAMS: Final = frozenset({"topk", "bottomk", "quantile", "limitk", "limit_ratio"})


def type_of(expr: ast.Expr) -> ValueType:
    """Return what an expression gives."""
    match expr:
        case ast.NumberLiteral():
            return ValueType.SCALAR
        case ast.StringLiteral():
            return ValueType.STRING
        case ast.MatrixSelector() | ast.Subquery():
            return ValueType.MATRIX
        case ast.Paren(expr=inner) | ast.Unary(expr=inner):
            return type_of(inner)
        case ast.Call(name=name):
            function = FUNCTIONS.get(name)
            return function.returns if function else ValueType.VECTOR
        case ast.Binary(left=left, right=right):
            both = {type_of(left), type_of(right)}
            return ValueType.SCALAR if both == {ValueType.SCALAR} else ValueType.VECTOR
        case _:
            return ValueType.VECTOR


def matching_of(node: ast.Binary) -> ast.Matching | None:
    """Return how the series of a binary operation are paired; None unless both sides are vectors."""
    if {type_of(node.left), type_of(node.right)} != {ValueType.VECTOR}:
        return None
    matching = node.matching or ast.Matching()
    if node.op in SET_OPERATORS:
        return replace(matching, card=ast.Card.MANY_TO_MANY)
    return matching


def check(expr: ast.Expr, text: str, fail: Fail) -> None:
    """Check a tree; the first thing wrong goes to ``fail``."""
    match expr:
        case ast.Aggregate():
            _check_aggregate(expr, text, fail)
        case ast.Binary():
            _check_binary(expr, text, fail)
        case ast.Call():
            _check_call(expr, text, fail)
        case ast.Paren(expr=inner):
            check(inner, text, fail)
        case ast.Unary(expr=inner):
            check(inner, text, fail)
            if (got := type_of(inner)) not in (ValueType.SCALAR, ValueType.VECTOR):
                message = "unary expression only allowed on expressions of type scalar or instant vector, got "
                fail(message + quote(got.value), expr.start, expr.end)
        case ast.Subquery(expr=inner):
            check(inner, text, fail)
            if (got := type_of(inner)) is not ValueType.VECTOR:
                word = {ValueType.MATRIX: "matrix"}.get(got, got.value)
                message = f"subquery is only allowed on instant vector, got {word} instead"
                fail(message, expr.start, expr.end)
        case ast.MatrixSelector(selector=selector):
            _check_selector(selector, fail)
        case ast.VectorSelector():
            _check_selector(expr, fail)
        case _:
            pass


def _expect(expr: ast.Expr, want: ValueType, context: str, text: str, fail: Fail) -> None:
    check(expr, text, fail)
    got = type_of(expr)
    if got is not want:
        fail(f"expected type {want.value} in {context}, got {got.value}", expr.start, expr.end)


def _check_aggregate(node: ast.Aggregate, text: str, fail: Fail) -> None:
    _expect(node.expr, ValueType.VECTOR, "aggregation expression", text, fail)
    if node.param is not None:
        want = ValueType.SCALAR if node.op in _SCALAR_PARAMS else ValueType.STRING
        _expect(node.param, want, "aggregation parameter", text, fail)


def _check_binary(node: ast.Binary, text: str, fail: Fail) -> None:
    check(node.left, text, fail)
    check(node.right, text, fail)
    left, right = type_of(node.left), type_of(node.right)
    at = text.index(node.op, node.left.end) if node.op in text[node.left.end :] else node.start
    place = (at, node.right.start)
    compares, sets = node.op in COMPARISONS, node.op in SET_OPERATORS
    if node.return_bool and not compares:
        fail("bool modifier can only be used on comparison operators", *place)
    if compares and not node.return_bool and left is right is ValueType.SCALAR:
        fail("comparisons between scalars must use BOOL modifier", *place)
    matching = node.matching or ast.Matching()
    for label in matching.labels if matching.on else ():
        if label in matching.include:
            fail(f"label {quote(label)} must not occur in ON and GROUP clause at once", *place)
    for side, kind in ((node.left, left), (node.right, right)):
        if kind not in (ValueType.SCALAR, ValueType.VECTOR):
            message = "binary expression must contain only scalar and instant vector types"
            fail(message, side.start, side.end)
    filled = matching.fill_left is not None or matching.fill_right is not None
    if ValueType.SCALAR in (left, right):
        if matching.labels:
            fail("vector matching only allowed between instant vectors", node.start, node.end)
        if filled:
            message = "filling in missing series only allowed between instant vectors"
            fail(message, node.start, node.end)
        if sets:
            message = f"set operator {quote(node.op)} not allowed in binary scalar expression"
            fail(message, node.start, node.end)
    elif sets:
        if matching.card is not ast.Card.ONE_TO_ONE:
            fail(f"no grouping allowed for {quote(node.op)} operation", node.start, node.end)
        if filled:
            fail("filling in missing series not allowed for set operators", node.start, node.end)


def _check_call(node: ast.Call, text: str, fail: Fail) -> None:
    function = FUNCTIONS.get(node.name)
    if function is None:
        end = node.start + len(node.name)
        fail(f"unknown function with name {quote(node.name)}", node.start, end)
    count, wanted = len(node.args), len(function.args)
    call = f"argument(s) in call to {quote(node.name)}, got {count}"
    if function.variadic == 0:
        if count != wanted:
            fail(f"expected {wanted} {call}", node.start, node.end)
    elif count < wanted - 1:
        fail(f"expected at least {wanted - 1} {call}", node.start, node.end)
    elif 0 < function.variadic < count - wanted + 1:
        fail(f"expected at most {wanted - 1 + function.variadic} {call}", node.start, node.end)
    if node.name == "info" and count > 1:
        _check_info(node, fail)
    for i, arg in enumerate(node.args):
        want = function.args[min(i, wanted - 1)]
        if not (node.name == "info" and i == 1):
            check(arg, text, fail)
        if (got := type_of(arg)) is not want:
            message = f"expected type {want.value} in call to function {quote(node.name)}, got {got.value}"
            fail(message, arg.start, arg.end)


def _check_info(node: ast.Call, fail: Fail) -> None:
    """Check the second argument of ``info``: label selectors only, which may also match nothing."""
    arg = node.args[1]
    if (got := type_of(arg)) is not ValueType.VECTOR:
        message = f'expected type instant vector in call to function "info", got {got.value}'
        fail(message, node.start, node.end)
    if not isinstance(arg, ast.VectorSelector):
        fail("expected label selectors only", arg.start, arg.end)
    if arg.name:
        message = "expected label selectors only, got vector selector instead"
        fail(message, arg.start, arg.end)


def _check_selector(node: ast.VectorSelector, fail: Fail) -> None:
    if node.name:
        for matcher in node.matchers[:-1]:
            if matcher.name == METRIC_NAME:
                names = f"{quote(node.name)} or {quote(matcher.value)}"
                fail(f"metric name must not be set twice: {names}", node.start, node.end)
    elif all(matches(matcher, "") for matcher in node.matchers):
        message = "vector selector must contain at least one non-empty matcher"
        fail(message, node.start, node.end)
