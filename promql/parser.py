"""Text to syntax tree: a Pratt parser over ``promql.lexer``.

Grammar, precedence, error texts and positions are those of Prometheus's
``promql/parser/generated_parser.y``; the first error ends the parse.
"""

from functools import lru_cache
from typing import Final

from model.errors import ParseError
from model.labels import METRIC_NAME, Matcher, MatchOp
from promql import ast
from promql.functions.table import FUNCTIONS
from promql.lexer import Token, is_unquoted_label
from promql.parser_suffix import parse_at, parse_brackets, parse_extension, parse_offset
from promql.parser_tokens import TokenReader
from promql.regex import compile_anchored, matches
from promql.text import is_utf8, quote, unquote
from promql.typecheck import check
from promql.words import AGGREGATORS, COMPARISONS, SET_OPERATORS, TRIMS

_BINARY: Final = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(COMPARISONS | TRIMS, 3),
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
    "atan2": 5,
    "^": 6,
}
_UNARY_OPERAND: Final = 6  # a sign binds like *, so its operand takes only what binds tighter
_RIGHT_ASSOCIATIVE: Final = frozenset({"^"})
_PARAM_AGGREGATORS: Final = frozenset(
    {"topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"}
)
_CALLABLE_WORDS: Final = frozenset({"start", "end", "step", "range", "min_of", "max_of"})
_NAME_WORDS: Final = (
    AGGREGATORS
    | SET_OPERATORS
    | _CALLABLE_WORDS
    | {"by", "without", "offset", "anchored", "smoothed", "fill", "fill_left", "fill_right"}
    | {"IDENTIFIER", "METRIC_IDENTIFIER"}
)
_FILLS: Final = frozenset({"fill", "fill_left", "fill_right"})
_EXPRESSION_STARTS: Final = _NAME_WORDS | {"NUMBER", "DURATION", "STRING", "(", "{", "+", "-"}
_LABEL_WORDS: Final = _NAME_WORDS | {"bool", "group_left", "group_right", "ignoring", "on", "atan2"}
_MATCH_OPS: Final = {op.value: op for op in MatchOp}


@lru_cache(maxsize=2048)
def parse(text: str) -> ast.Expr:
    """Parse and type-check a query.

    Raises:
        ParseError: With Prometheus's text (``1:5: parse error: ...``) and offsets.
    """
    return Parser(text).parse()


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """Parse a series selector, as ``match[]`` parameters carry.

    Raises:
        ParseError: If it is anything else, or would select every series.
    """
    matchers = Parser(text).selector().matchers
    if all(matches(matcher, "") for matcher in matchers):
        raise ParseError("match[] must contain at least one non-empty matcher", 0, len(text))
    return matchers


class Parser(TokenReader):
    """One parse."""

    def parse(self) -> ast.Expr:
        """Return the tree of the whole text."""
        if self.token.kind == "EOF":
            raise ParseError("unknown position: parse error: no expression found in input")
        expr = self.expression(0)
        if self.token.kind != "EOF":
            self.unexpected()
        check(expr, self.text, self.fail)
        return expr

    def selector(self) -> ast.VectorSelector:
        """Return the text as a selector without modifiers."""
        token = self.token
        name = ""
        if token.kind in _NAME_WORDS:
            name = self.advance().text
        elif token.kind != "{":
            self.unexpected()
        found = self._selector(name, token.start)
        if self.token.kind != "EOF":
            self.unexpected()
        return found

    # ------------------------------------------------------------ expressions

    def expression(self, floor: int) -> ast.Expr:
        """Parse operators that bind tighter than ``floor``."""
        left = self._operand()
        while (power := _BINARY.get(self.token.kind, 0)) > floor:
            op = self.advance().kind
            return_bool, matching = self._modifiers()
            right = self.expression(power - 1 if op in _RIGHT_ASSOCIATIVE else power)
            left = ast.Binary(left.start, right.end, op, left, right, return_bool, matching)
        return left

    def _operand(self) -> ast.Expr:
        token = self.token
        if token.kind in ("+", "-"):
            self.advance()
            # -2^2 is -(2^2), and -a * b is (-a) * b
            inner = self._unary_operand()
            if isinstance(inner, ast.NumberLiteral):
                value = -inner.value if token.kind == "-" else inner.value
                return ast.NumberLiteral(token.start, inner.end, value, inner.duration)
            return ast.Unary(token.start, inner.end, token.kind, inner)
        expr = self._primary()
        while True:
            kind = self.token.kind
            if kind == "[":
                expr = parse_brackets(self, expr)
            elif kind == "offset":
                expr = parse_offset(self, expr)
            elif kind == "@":
                expr = parse_at(self, expr)
            elif kind in ("anchored", "smoothed"):
                expr = parse_extension(self, expr)
            else:
                return expr

    def _unary_operand(self) -> ast.Expr:
        left = self._operand()
        while _BINARY.get(self.token.kind, 0) >= _UNARY_OPERAND:
            op = self.advance().kind
            return_bool, matching = self._modifiers()
            right = self.expression(_UNARY_OPERAND - 1)
            left = ast.Binary(left.start, right.end, op, left, right, return_bool, matching)
        return left

    def _primary(self) -> ast.Expr:
        token = self.token
        if token.kind in ("NUMBER", "DURATION"):
            return self.number()
        if token.kind == "STRING":
            self.advance()
            return ast.StringLiteral(token.start, token.end, unquote(token.text))
        if token.kind == "(":
            self.advance()
            inner = self.expression(0)
            close = self.expect(")")
            return ast.Paren(token.start, close.end, inner)
        if token.kind == "{":
            return self._selector("", token.start)
        if token.kind not in _NAME_WORDS:
            self.unexpected()
        self.advance()
        if token.kind in AGGREGATORS and self.token.kind in ("(", "by", "without"):
            return self._aggregate(token)
        if self.token.kind == "(" and token.kind in _CALLABLE_WORDS | {"IDENTIFIER"}:
            name = token.text  # functions' names, unlike keywords, are in small letters
            args = self._arguments(token)
            return ast.Call(token.start, self.last_end, name, args)
        return self._selector(token.text, token.start)

    # ------------------------------------------------------------ calls and aggregations

    def _arguments(self, name: Token | None = None) -> tuple[ast.Expr, ...]:
        """Parse arguments in parentheses; the function's name is looked up before anything behind them is read."""
        self.expect("(")
        args: list[ast.Expr] = []
        if self.token.kind != ")":
            args.append(self.expression(0))
            while self.token.kind == ",":
                comma = self.advance()
                if self.token.kind not in _EXPRESSION_STARTS:
                    message = "trailing commas not allowed in function call args"
                    self.fail(message, comma.start, comma.end)
                args.append(self.expression(0))
        if name is not None and self.token.kind == ")" and name.text not in FUNCTIONS:
            self.fail(f"unknown function with name {quote(name.text)}", name.start, name.end)
        self.expect(")")
        return tuple(args)

    def _aggregate(self, op: Token) -> ast.Expr:
        self.aggregations += 1
        grouping: tuple[str, ...] = ()
        without = False
        grouped = self.token.kind in ("by", "without")
        if grouped:
            without = self.advance().kind == "without"
            grouping = self._labels()
        args = self._arguments()
        if not grouped and self.token.kind in ("by", "without"):
            without = self.advance().kind == "without"
            grouping = self._labels()
        self.aggregations -= 1
        end = self.last_end
        wanted = 2 if op.kind in _PARAM_AGGREGATORS else 1
        if not args:
            self.fail("no arguments for aggregate expression provided", op.start, end)
        if len(args) != wanted:
            message = "wrong number of arguments for aggregate expression provided"
            self.fail(f"{message}, expected {wanted}, got {len(args)}", op.start, end)
        param = args[0] if wanted == 2 else None
        return ast.Aggregate(op.start, end, op.kind, args[-1], param, grouping, without)

    def _labels(self) -> tuple[str, ...]:
        """Parse a list of label names in parentheses."""
        context = "grouping opts"
        self.expect("(", context, '"("')
        names: list[str] = []
        while not self.take(")"):
            token = self.token
            if token.kind == "STRING":
                name = unquote(token.text)
            elif token.kind in _LABEL_WORDS:
                name = token.text
            else:
                self.unexpected(context, "label")
            if (
                not is_utf8(name)
                or not (token.kind == "STRING" or is_unquoted_label(name))
                or not name
            ):
                message = f"invalid label name for grouping: {quote(name)}"
                self.fail(message, token.start, token.end)
            self.advance()
            names.append(name)
            if self.token.kind not in (",", ")"):
                self.unexpected(context, '"," or ")"')
            self.take(",")
        return tuple(names)

    # ------------------------------------------------------------ binary modifiers

    def _modifiers(self) -> tuple[bool, ast.Matching]:
        return_bool = self.take("bool")
        card, on = ast.Card.ONE_TO_ONE, False
        labels: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        fills: dict[str, float] = {}
        if self.token.kind in ("on", "ignoring"):
            on = self.advance().kind == "on"
            labels = self._labels()
            if self.token.kind in ("group_left", "group_right"):
                left = self.advance().kind == "group_left"
                card = ast.Card.MANY_TO_ONE if left else ast.Card.ONE_TO_MANY
                if self.token.kind not in _EXPRESSION_STARTS | _FILLS:
                    self.unexpected("grouping opts", '"("')
                include = self._labels() if self.token.kind == "(" else ()
        while self.token.kind in ("fill", "fill_left", "fill_right"):
            kind = self.token.kind
            if kind in fills or "fill" in fills or (kind == "fill" and fills):
                self.unexpected()
            self.advance()
            fills[kind] = self._fill_value()
        both = fills.get("fill")
        left_fill, right_fill = fills.get("fill_left", both), fills.get("fill_right", both)
        return return_bool, ast.Matching(card, labels, on, include, left_fill, right_fill)

    def _fill_value(self) -> float:
        self.expect("(")
        sign = self.advance().kind if self.token.kind in ("+", "-") else "+"
        value = self.number().value
        self.expect(")")
        return -value if sign == "-" else value

    # ------------------------------------------------------------ selectors

    def _selector(self, name: str, start: int) -> ast.VectorSelector:
        matchers: list[Matcher] = []
        if self.take("{"):
            while not self.take("}"):
                matchers.append(self._matcher())
                if self.token.kind not in (",", "}"):
                    self.unexpected("label matching", '"," or "}"')
                self.take(",")
        if name:
            matchers.append(Matcher(METRIC_NAME, MatchOp.EQUAL, name))
        return ast.VectorSelector(start, self.last_end, name, tuple(matchers))

    def _matcher(self) -> Matcher:
        context = "label matching"
        label = self.token
        if label.kind not in ("IDENTIFIER", "STRING"):
            self.unexpected(context, 'identifier or "}"')
        self.advance()
        name = unquote(label.text) if label.kind == "STRING" else label.text
        op = _MATCH_OPS.get(self.token.kind)
        if op is None:
            if label.kind == "STRING":
                return Matcher(METRIC_NAME, MatchOp.EQUAL, name)
            self.unexpected(context, "label matching operator")
        self.advance()
        value = self.token
        if value.kind != "STRING":
            self.unexpected(context, "string")
        matcher = Matcher(name, op, unquote(value.text))
        if op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            try:
                compile_anchored(matcher.value)
            except ValueError as err:
                self.fail(str(err), label.start, value.end)
        self.advance()
        return matcher
