"""The arithmetic of durations, in brackets and behind ``offset``: parsing and working out."""

import math
from typing import Final, NoReturn

from msgspec.structs import replace

from model.errors import ParseError
from promql import ast
from promql.lexer import Token
from promql.parser_tokens import TokenReader

_BINARY: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_POWER: Final = 3
_LIMIT_SECONDS: Final = 2.0**63 / 1e9
_EXPECTED: Final = "number, duration, step(), or range()"


def parse_duration_expr(
    parser: TokenReader, context: str, expected: str = _EXPECTED
) -> ast.Duration:
    """Parse what may stand between brackets."""
    return _expression(parser, 0, context, expected)


def parse_offset_expr(parser: TokenReader) -> ast.Duration:
    """Parse what may follow ``offset``: one operand with its sign.

    Behind one in parentheses without a sign, or with two signs, operators go on with the duration,
    as Prometheus's grammar has it: ``a offset (1m) / b`` is an error.
    """
    token = parser.token
    if token.kind == "(":
        return _expression(parser, 0, "offset", _EXPECTED)
    if token.kind not in ("+", "-"):
        return _atom(parser, "offset", _EXPECTED)
    parser.advance()
    if parser.token.kind in ("+", "-"):
        inner = _expression(parser, _POWER - 1, "offset", _EXPECTED)
        return _operators(parser, _negated(token, inner), 0, "offset", _EXPECTED)
    if parser.token.kind == "NUMBER" and abs(parser.number_value()) > _LIMIT_SECONDS:
        parser.fail("duration out of range", token.start, token.end)
    return _negated(token, _atom(parser, "offset", _EXPECTED))


def _expression(parser: TokenReader, floor: int, context: str, expected: str) -> ast.Duration:
    return _operators(parser, _signed(parser, context, expected), floor, context, expected)


def _operators(
    parser: TokenReader, left: ast.Duration, floor: int, context: str, expected: str
) -> ast.Duration:
    """Parse the operators that follow an operand and bind tighter than ``floor``."""
    while (power := _BINARY.get(parser.token.kind, 0)) > floor:
        op = parser.advance()
        right = _expression(parser, power - 1 if op.kind == "^" else power, context, expected)
        if op.kind in "/%" and isinstance(right, ast.NumberLiteral) and right.value == 0:
            what = "division" if op.kind == "/" else "modulo"
            parser.fail(f"{what} by zero", op.start, op.end)
        left = ast.DurationExpr(left.start, right.end, op.kind, left, right)
    return left


def _signed(parser: TokenReader, context: str, expected: str) -> ast.Duration:
    token = parser.token
    if token.kind not in ("+", "-"):
        return _atom(parser, context, expected)
    parser.advance()
    return _negated(token, _expression(parser, _POWER - 1, context, expected))


def _negated(token: Token, inner: ast.Duration) -> ast.Duration:
    """Return an operand with the sign before it."""
    if isinstance(inner, ast.NumberLiteral):
        value = -inner.value if token.kind == "-" else inner.value
        return ast.NumberLiteral(token.start, inner.end, value, inner.duration)
    if token.kind == "+":
        return inner
    return ast.DurationExpr(token.start, inner.end, "-", None, inner)


def _atom(parser: TokenReader, context: str, expected: str) -> ast.Duration:
    token = parser.token
    if token.kind in ("NUMBER", "DURATION"):
        literal = parser.number()
        if abs(literal.value) > _LIMIT_SECONDS:
            parser.fail("duration out of range", literal.start, literal.end)
        return literal
    if token.kind in ("step", "range"):
        parser.advance()
        parser.expect("(", context, expected)
        close = parser.expect(")", context, expected)
        return ast.DurationExpr(token.start, close.end, token.kind)
    if token.kind in ("min_of", "max_of"):
        parser.advance()
        parser.expect("(", context, expected)
        left = _expression(parser, 0, context, expected)
        parser.expect(",", context, expected)
        right = _expression(parser, 0, context, expected)
        close = parser.expect(")", context, expected)
        return ast.DurationExpr(token.start, close.end, token.kind, left, right)
    if token.kind != "(":
        parser.unexpected(context, expected)
    parser.advance()
    inner = _expression(parser, 0, context, expected)
    close = parser.expect(")", context, expected)
    if isinstance(inner, ast.DurationExpr):
        return replace(inner, wrapped=True)
    return ast.DurationExpr(token.start, close.end, "+", None, inner, True)


def duration_ms(node: ast.Duration, step_ms: int, range_ms: int, *, negative: bool) -> int:
    """Work a duration out.

    Args:
        node: What was parsed.
        step_ms: What ``step()`` stands for.
        range_ms: What ``range()`` stands for: from the first to the last step of the query.
        negative: Whether it may be negative or zero, as offsets may.

    Raises:
        ParseError: If it is not a possible duration; refused as a text that cannot be parsed.
    """
    if isinstance(node, ast.NumberLiteral):
        ms = round(abs(node.value) * 1e9) // 1_000_000  # what is below a millisecond is cut off
        return -ms if node.value < 0 else ms
    seconds = _seconds(node, step_ms / 1000, range_ms / 1000)
    if not math.isfinite(seconds):
        _fail(node, "duration is NaN or infinite")
    if seconds <= 0 and not negative:
        _fail(node, "duration must be greater than 0")
    if abs(seconds) > _LIMIT_SECONDS:
        _fail(node, "duration is out of range")
    return int(seconds * 1000)


def _fail(node: ast.Duration, message: str) -> NoReturn:
    """Raise the error at the offsets Prometheus names: parentheses around operators do not count."""
    start, end = _place(node)
    raise ParseError(f"{start}:{end}: {message}", start, end)


def _place(node: ast.Duration) -> tuple[int, int]:
    if isinstance(node, ast.NumberLiteral) or (node.left is None and node.right is None):
        return node.start, node.end
    right = node.end if node.right is None else _place(node.right)[1]
    return node.start if node.left is None else _place(node.left)[0], right


def _seconds(node: ast.Duration | None, step: float, length: float) -> float:
    if node is None:
        return 0.0
    if isinstance(node, ast.NumberLiteral):
        return node.value
    if node.op == "step":
        return step
    if node.op == "range":
        return length
    left, right = _seconds(node.left, step, length), _seconds(node.right, step, length)
    if node.op in "/%" and right == 0:
        _fail(node, f"{'division' if node.op == '/' else 'modulo'} by zero")
    if node.op == "+":
        return left + right
    if node.op == "-":
        return left - right
    if node.op == "*":
        return left * right
    if node.op == "/":
        return left / right
    if node.op == "%":
        return math.nan if math.isinf(left) else math.fmod(left, right)
    if node.op == "^":
        return _power(left, right)
    return min(left, right) if node.op == "min_of" else max(left, right)


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan
