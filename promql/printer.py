"""Tree to text, as Prometheus's ``promql/parser/printer.go`` writes it, on one line."""

from typing import Final

from model.labels import METRIC_NAME, Matcher, MatchOp
from promql import ast
from promql.ast import Card
from promql.text import format_duration, format_float, format_g, is_legacy_label, quote

_PARENTHESES: Final = {True: "({})", False: "{}"}


def format_expr(expr: ast.Expr) -> str:
    """Write an expression so that parsing it gives the same tree, positions apart."""
    match expr:
        case ast.NumberLiteral(value=value, duration=duration):
            return _seconds(value) if duration else format_float(value)
        case ast.StringLiteral(value=value):
            return quote(value)
        case ast.Paren(expr=inner):
            return f"({format_expr(inner)})"
        case ast.Unary(op=op, expr=inner):
            return op + format_expr(inner)
        case ast.Call(name=name, args=args):
            return f"{name}({', '.join(map(format_expr, args))})"
        case ast.VectorSelector():
            return _selector(expr) + _at(expr.shift) + _extension(expr) + _offset(expr.shift)
        case ast.MatrixSelector(selector=selector, range=length):
            after = _extension(selector) + _at(selector.shift) + _offset(selector.shift)
            return f"{_selector(selector)}[{_duration(length)}]{after}"
        case ast.Subquery():
            step = "" if expr.step is None else _duration(expr.step)
            after = _at(expr.shift) + _offset(expr.shift)
            return f"{format_expr(expr.expr)}[{_duration(expr.range)}:{step}]{after}"
        case ast.Aggregate():
            return _aggregate(expr)
        case ast.Binary():
            sign = expr.op + (" bool" if expr.return_bool else "") + _matching(expr)
            return f"{format_expr(expr.left)} {sign} {format_expr(expr.right)}"
        case ast.DurationExpr():
            return _duration(expr)
        case _:
            raise TypeError(type(expr).__name__)


def _seconds(value: float) -> str:
    text = format_duration(round(abs(value) * 1000))
    return f"-{text}" if value < 0 else text


def _duration(node: ast.Duration | None) -> str:
    """Write what stands between brackets; plain numbers become durations there."""
    if node is None:
        return ""
    if isinstance(node, ast.NumberLiteral):
        return _seconds(node.value)
    return _PARENTHESES[node.wrapped].format(_duration_body(node))


def _duration_body(node: ast.DurationExpr) -> str:
    left, right = _operand(node.left), _operand(node.right)
    if node.op in ("step", "range"):
        return f"{node.op}()"
    if node.op in ("min_of", "max_of"):
        return f"{node.op}({left}, {right})"
    if node.left is None:
        return right if node.op == "+" else f"-{right}"
    return f"{left} {node.op} {right}"


def _operand(node: ast.Duration | None) -> str:
    """Write an operand, where a number and a duration are not the same."""
    if isinstance(node, ast.NumberLiteral) and not node.duration:
        return format_float(node.value)
    return _duration(node)


def _offset(shift: ast.Shift) -> str:
    offset = shift.offset
    if offset is None or (isinstance(offset, ast.NumberLiteral) and offset.value == 0):
        return ""
    return f" offset {_duration(offset)}"


def _at(shift: ast.Shift) -> str:
    if shift.at is None:
        return ""
    if isinstance(shift.at, ast.AtEdge):
        return f" @ {shift.at.value}()"
    return f" @ {shift.at / 1000:.3f}"


def _extension(node: ast.VectorSelector) -> str:
    return " anchored" if node.anchored else " smoothed" if node.smoothed else ""


def _selector(node: ast.VectorSelector) -> str:
    matchers = node.matchers[:-1] if node.name else node.matchers
    texts = sorted(_matcher(m) for m in matchers)
    return node.name + ("{" + ",".join(texts) + "}" if texts or not node.name else "")


def _matcher(matcher: Matcher) -> str:
    if matcher.name == METRIC_NAME and matcher.op is MatchOp.EQUAL and matcher.value:
        return f"{METRIC_NAME}={quote(matcher.value)}"
    return f"{_label(matcher.name)}{matcher.op.value}{quote(matcher.value)}"


def _label(name: str) -> str:
    return name if is_legacy_label(name) else quote(name)


def _labels(names: tuple[str, ...]) -> str:
    return "(" + ", ".join(map(_label, names)) + ")"


def _aggregate(node: ast.Aggregate) -> str:
    clause = ""
    if node.without:
        clause = f" without {_labels(node.grouping)} "
    elif node.grouping:
        clause = f" by {_labels(node.grouping)} "
    param = "" if node.param is None else format_expr(node.param) + ", "
    return f"{node.op}{clause}({param}{format_expr(node.expr)})"


def _matching(node: ast.Binary) -> str:
    matching = node.matching
    if matching is None:
        return ""
    grouped = matching.card in (Card.MANY_TO_ONE, Card.ONE_TO_MANY)
    out = ""
    if matching.labels or matching.on or grouped:
        out += f" {'on' if matching.on else 'ignoring'} {_labels(matching.labels)}"
    if grouped:
        side = "left" if matching.card is Card.MANY_TO_ONE else "right"
        out += f" group_{side} {_labels(matching.include)}"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and left == right:
        return out + f" fill ({format_g(left)})"
    out += "" if left is None else f" fill_left ({format_g(left)})"
    return out + ("" if right is None else f" fill_right ({format_g(right)})")
