"""Tree to text: on one line as Prometheus's ``String`` writes it, and broken into lines as ``format_query`` does."""

from typing import Final

from model.labels import Matcher
from promql import ast
from promql.ast import Card
from promql.lexer import is_unquoted_label
from promql.parser import parse
from promql.text import format_duration, format_float, format_g, quote
from promql.typecheck import matching_of

_LINE_BYTES: Final = 100  # an expression longer than this is broken into lines
_INDENT: Final = "  "


def prettify(text: str) -> str:
    """Write a query in the form ``/api/v1/format_query`` gives.

    Raises:
        ParseError: If it cannot be parsed.
    """
    return _pretty(parse(text), 0)


def _pretty(expr: ast.Expr, level: int) -> str:
    """Write an expression whose first line stands at an indentation."""
    blank = _INDENT * level
    line = format_expr(expr)
    if isinstance(expr, ast.Unary):
        return blank + expr.op + _pretty(expr.expr, level).strip()
    if isinstance(expr, (ast.VectorSelector, ast.MatrixSelector)):
        return blank + line
    short = len(line.encode("utf-8", "surrogateescape")) <= _LINE_BYTES
    if isinstance(expr, ast.Subquery):
        # the one-line form is not indented upstream either
        return line if short else _pretty(expr.expr, level) + _subquery_suffix(expr)
    if short:
        return blank + line
    match expr:
        case ast.Aggregate(param=param):
            parts = [expr.expr] if param is None else [param, expr.expr]
            return blank + _aggregate_head(expr) + _enclosed(parts, level)
        case ast.Call(name=name, args=args):
            return blank + name + _enclosed(args, level)
        case ast.Paren(expr=inner):
            return blank + _enclosed([inner], level)
        case ast.Binary(left=left, right=right):
            sides = _pretty(left, level + 1), _pretty(right, level + 1)
            return f"{sides[0]}\n{blank}{_sign(expr)}\n{sides[1]}"
        case _:
            return blank + line


def _enclosed(parts: "list[ast.Expr] | tuple[ast.Expr, ...]", level: int) -> str:
    inner = ",\n".join(_pretty(part, level + 1) for part in parts)
    return f"(\n{inner}\n{_INDENT * level})"


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
        case ast.Subquery(expr=inner):
            return format_expr(inner) + _subquery_suffix(expr)
        case ast.Aggregate(expr=inner, param=param):
            first = "" if param is None else format_expr(param) + ", "
            return f"{_aggregate_head(expr)}({first}{format_expr(inner)})"
        case ast.Binary(left=left, right=right):
            return f"{format_expr(left)} {_sign(expr)} {format_expr(right)}"
        case ast.DurationExpr():
            return _duration(expr)
        case _:
            raise TypeError(type(expr).__name__)


def _seconds(value: float) -> str:
    text = format_duration(int(round(abs(value) * 1e9) // 1_000_000))
    return f"-{text}" if value < 0 else text


def _duration(node: ast.Duration | None) -> str:
    """Write what stands between brackets; plain numbers become durations there."""
    if node is None:
        return ""
    if isinstance(node, ast.NumberLiteral):
        return _seconds(node.value)
    body = _duration_body(node)
    return f"({body})" if node.wrapped else body


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
    return "" if shift.offset is None else f" offset {_duration(shift.offset)}"


def _at(shift: ast.Shift) -> str:
    if shift.at is None:
        return ""
    if isinstance(shift.at, ast.AtEdge):
        return f" @ {shift.at.value}()"
    return f" @ {shift.at / 1000:.3f}"


def _subquery_suffix(node: ast.Subquery) -> str:
    after = _at(node.shift) + _offset(node.shift)
    return f"[{_duration(node.range)}:{_duration(node.step)}]{after}"


def _extension(node: ast.VectorSelector) -> str:
    return " anchored" if node.anchored else " smoothed" if node.smoothed else ""


def _selector(node: ast.VectorSelector) -> str:
    matchers = node.matchers[:-1] if node.name else node.matchers
    texts = sorted((_matcher(m) for m in matchers), key=str.encode)
    return node.name + ("{" + ",".join(texts) + "}" if texts else "")


def _matcher(matcher: Matcher) -> str:
    return f"{_label(matcher.name)}{matcher.op.value}{quote(matcher.value)}"


def _label(name: str) -> str:
    return name if is_unquoted_label(name) else quote(name)


def _labels(names: tuple[str, ...]) -> str:
    return "(" + ", ".join(map(_label, names)) + ")"


def _aggregate_head(node: ast.Aggregate) -> str:
    if node.without:
        return f"{node.op} without {_labels(node.grouping)} "
    return f"{node.op} by {_labels(node.grouping)} " if node.grouping else node.op


def _sign(node: ast.Binary) -> str:
    """Write an operator with its modifiers."""
    out = node.op + (" bool" if node.return_bool else "")
    matching = matching_of(node)
    if matching is None:
        return out
    grouped = matching.card in (Card.MANY_TO_ONE, Card.ONE_TO_MANY)
    if matching.labels or matching.on or grouped:
        out += f" {'on' if matching.on else 'ignoring'} {_labels(matching.labels)}"
    if grouped:
        side = "left" if matching.card is Card.MANY_TO_ONE else "right"
        out += f" group_{side} {_labels(matching.include)}"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and left == right:
        return f"{out} fill ({format_g(left)})"
    out += "" if left is None else f" fill_left ({format_g(left)})"
    return out + ("" if right is None else f" fill_right ({format_g(right)})")
