"""What every part of the parser stands on: the token looked at, and how errors are raised."""

from typing import NoReturn

from model.errors import ParseError
from promql import ast
from promql.lexer import Lexer, LexError, Token
from promql.text import parse_duration_ms, parse_number, position


class TokenReader:
    """Reads a query token by token; ``token`` is the one looked at, ``last_end`` the end of the one before."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lexer = Lexer(text)
        self.aggregations = 0
        self.last_end = 0
        self.token = self._read()

    def fail(self, message: str, start: int, end: int) -> NoReturn:
        """Raise the error at its position."""
        raise ParseError(f"{position(self.text, start)}: parse error: {message}", start, end)

    def unexpected(self, context: str = "", expected: str = "") -> NoReturn:
        """Complain about the current token."""
        if not context and self.aggregations:
            context = "aggregation"
        message = f"unexpected {self.token.describe()}"
        message += f" in {context}" if context else ""
        message += f", expected {expected}" if expected else ""
        self.fail(message, self.token.start, self.token.end)

    def _read(self) -> Token:
        try:
            return self._lexer.next()
        except LexError as err:
            self.fail(str(err), err.start, len(self.text))

    def advance(self) -> Token:
        """Return the current token and go to the next."""
        token = self.token
        self.last_end = token.end
        self.token = self._read()
        return token

    def take(self, kind: str) -> bool:
        """Go on if the current token is of this kind."""
        if self.token.kind != kind:
            return False
        self.advance()
        return True

    def expect(self, kind: str, context: str = "", expected: str = "") -> Token:
        """Return a token of this kind or complain."""
        if self.token.kind != kind:
            self.unexpected(context, expected)
        return self.advance()

    def number_value(self) -> float:
        """Read the number or duration literal looked at, and stay there; durations count in seconds."""
        token = self.token
        if token.kind not in ("NUMBER", "DURATION"):
            self.unexpected()
        plain = token.kind == "NUMBER"
        try:
            return parse_number(token.text) if plain else parse_duration_ms(token.text) / 1000
        except ValueError as err:
            self.fail(f"error parsing number: {err}" if plain else str(err), token.start, token.end)

    def number(self) -> ast.NumberLiteral:
        """Parse a number or duration literal; durations count in seconds."""
        token, value = self.token, self.number_value()
        self.advance()
        return ast.NumberLiteral(token.start, token.end, value, token.kind == "DURATION")
