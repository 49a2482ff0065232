"""What may follow a selector: ranges, sub-queries, ``offset``, ``@``, ``anchored`` and ``smoothed``."""

import math

from msgspec.structs import replace

from promql import ast
from promql.parser_duration import parse_duration_expr, parse_offset_expr
from promql.parser_tokens import TokenReader
from promql.text import format_float


def parse_brackets(parser: TokenReader, expr: ast.Expr) -> ast.Expr:
    """Parse a range or the range and step of a sub-query behind an expression."""
    opening = parser.advance()
    length = parse_duration_expr(parser, "subquery or range selector")
    if isinstance(length, ast.NumberLiteral) and not length.value > 0:
        parser.fail("duration must be greater than 0", length.start, length.end)
    if parser.take(":"):
        return _subquery(parser, expr, length)
    closing = parser.token
    if closing.kind != "]":
        parser.unexpected("subquery or range", '":" or "]"')
    problem = ""
    if not isinstance(expr, ast.VectorSelector):
        problem = "ranges only allowed for vector selectors"
    elif expr.shift.offset is not None:
        problem = "no offset modifiers allowed before range"
    elif expr.shift.at is not None:
        problem = "no @ modifiers allowed before range"
    if problem or not isinstance(expr, ast.VectorSelector):
        parser.fail(problem, opening.start, closing.end)
    parser.advance()
    return ast.MatrixSelector(expr.start, closing.end, expr, length)


def _subquery(parser: TokenReader, expr: ast.Expr, length: ast.Duration) -> ast.Subquery:
    step = None
    if parser.token.kind != "]":
        step = parse_duration_expr(
            parser, "subquery selector", 'number, duration, step(), range(), or "]"'
        )
        if isinstance(step, ast.NumberLiteral) and not step.value > 0:
            parser.fail("duration must be greater than 0", step.start, step.end)
    closing = parser.expect("]", "subquery selector", '"]"')
    return ast.Subquery(expr.start, closing.end, expr, length, step)


def parse_offset(parser: TokenReader, expr: ast.Expr) -> ast.Expr:
    """Parse ``offset`` behind a selector."""
    parser.advance()
    offset: ast.Duration | None = parse_offset_expr(parser)
    shift = _shift_of(parser, expr, "offset modifier")
    if isinstance(offset, ast.NumberLiteral):
        offset = _offset_literal(offset)
    if shift.offset is not None:
        parser.fail("offset may not be set multiple times", expr.start, expr.end)
    return _shifted(parser, expr, ast.Shift(offset, shift.at))


def _offset_literal(offset: ast.NumberLiteral) -> ast.NumberLiteral | None:
    """Return a plain offset, None for one of less than a nanosecond; NaN is the lowest 64-bit number of them."""
    if math.isnan(offset.value):
        return replace(offset, value=-(2.0**63) / 1e9)
    return offset if round(offset.value * 1e9) else None


def parse_at(parser: TokenReader, expr: ast.Expr) -> ast.Expr:
    """Parse ``@`` behind a selector."""
    parser.advance()
    at: int | ast.AtEdge
    if parser.token.kind in ("start", "end"):
        at = ast.AtEdge(parser.advance().kind)
        parser.expect("(", "@", "timestamp")
        if parser.token.kind != ")":
            parser.unexpected("@", "timestamp")
        shift = _unpinned(parser, expr)
        parser.advance()
        return _shifted(parser, expr, ast.Shift(shift.offset, at))
    sign = parser.advance().kind if parser.token.kind in ("+", "-") else "+"
    if parser.token.kind not in ("NUMBER", "DURATION"):
        parser.unexpected("@", "timestamp")
    seconds = parser.number_value() * (-1 if sign == "-" else 1)
    if not abs(seconds) < 2.0**63:  # NaN and Inf too
        shown = format_float(seconds) if not math.isfinite(seconds) else f"{seconds:f}"
        parser.fail(f"timestamp out of bounds for @ modifier: {shown}", expr.start, expr.end)
    shift = _unpinned(parser, expr)
    parser.advance()
    return _shifted(parser, expr, ast.Shift(shift.offset, _milliseconds(seconds)))


def _milliseconds(seconds: float) -> int:
    """Round to whole milliseconds, halves away from zero."""
    ms = math.floor(abs(seconds) * 1000 + 0.5)
    return -ms if seconds < 0 else ms


def _unpinned(parser: TokenReader, expr: ast.Expr) -> ast.Shift:
    shift = _shift_of(parser, expr, "@ modifier")
    if shift.at is not None:
        parser.fail("@ <timestamp> may not be set multiple times", expr.start, expr.end)
    return shift


def _shift_of(parser: TokenReader, expr: ast.Expr, what: str) -> ast.Shift:
    if isinstance(expr, ast.MatrixSelector):
        return expr.selector.shift
    if not isinstance(expr, (ast.VectorSelector, ast.Subquery)):
        message = f"{what} must be preceded by an instant vector selector or range vector selector or a subquery"
        parser.fail(message, expr.start, expr.end)
    return expr.shift


def _shifted(parser: TokenReader, expr: ast.Expr, shift: ast.Shift) -> ast.Expr:
    end = parser.last_end
    if isinstance(expr, ast.VectorSelector):
        return ast.VectorSelector(
            expr.start,
            end,
            expr.name,
            expr.matchers,
            shift,
            expr.anchored,
            expr.smoothed,
        )
    if isinstance(expr, ast.MatrixSelector):
        inner = _shifted(parser, expr.selector, shift)
        assert isinstance(inner, ast.VectorSelector)
        return ast.MatrixSelector(expr.start, end, inner, expr.range)
    assert isinstance(expr, ast.Subquery)
    return ast.Subquery(expr.start, end, expr.expr, expr.range, expr.step, shift)


def parse_extension(parser: TokenReader, expr: ast.Expr) -> ast.Expr:
    """Parse ``anchored`` or ``smoothed`` behind a selector."""
    word = parser.token.kind
    if isinstance(expr, ast.MatrixSelector):
        inner = _extended(parser, expr.selector, word, expr)
        parser.advance()
        return ast.MatrixSelector(expr.start, expr.end, inner, expr.range)
    if isinstance(expr, ast.Subquery):
        message = f"{word} modifier is not supported for subqueries"
        parser.fail(message, expr.start, expr.end)
    if not isinstance(expr, ast.VectorSelector):
        parser.fail(f"{word} modifier not implemented", expr.start, expr.end)
    inner = _extended(parser, expr, word, expr)
    parser.advance()
    return inner


def _extended(
    parser: TokenReader, inner: ast.VectorSelector, word: str, at: ast.Expr
) -> ast.VectorSelector:
    anchored, smoothed = (
        inner.anchored or word == "anchored",
        inner.smoothed or word != "anchored",
    )
    if anchored and smoothed:
        message = "anchored and smoothed modifiers cannot be used together"
        parser.fail(message, at.start, at.end)
    return replace(inner, anchored=anchored, smoothed=smoothed)
