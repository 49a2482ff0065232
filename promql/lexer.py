"""Cuts a query into tokens, one at a time, as the parser asks for them.

The rules are those of Prometheus's ``promql/parser/lex.go``, among them: keywords are words only
outside braces, and between brackets stand durations. Unquoted names may hold letters of any
script and, not first, dots.
"""

from typing import Final

from msgspec import Struct

from promql.text import quote
from promql.words import AGGREGATORS, KEYWORDS, OPERATORS, SET_OPERATORS

_WORDS: Final = AGGREGATORS | KEYWORDS | SET_OPERATORS | {"atan2"}
_DURATION_WORDS: Final = frozenset({"step", "range", "max_of", "min_of"})
_EDGES: Final = _DURATION_WORDS | {"start", "end"}
_DURATION_STARTS: Final = "srm"
_FILLS: Final = frozenset({"fill", "fill_left", "fill_right"})
_SPACES: Final = " \t\n\r"
_DIGITS: Final = "0123456789"
_HEX: Final = "0123456789abcdefABCDEF"
_NAMES: Final = {
    "IDENTIFIER": "identifier",
    "METRIC_IDENTIFIER": "metric identifier",
    "STRING": "string",
    "NUMBER": "number",
    "DURATION": "duration",
}


class Token(Struct, frozen=True):
    """One token.

    Attributes:
        kind: A keyword or sign as itself, in small letters, or one of IDENTIFIER,
            METRIC_IDENTIFIER, STRING, NUMBER, DURATION, EOF.
        text: As written.
        start: Offset of its first character.
    """

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Offset behind the last character."""
        return self.start + len(self.text)

    def describe(self) -> str:
        """Return what error texts call it."""
        if self.kind == "EOF":
            return "end of input"
        if self.kind in _NAMES:
            return f"{_NAMES[self.kind]} {self._shown()}"
        if self.kind in AGGREGATORS:
            return f"<aggr:{self.text}>"
        if self.kind in OPERATORS:
            return f"<op:{self.text}>"
        return f"<{self.text}>" if self.kind in KEYWORDS - _EDGES else self._shown()

    def _shown(self) -> str:
        if self.kind.endswith("IDENTIFIER") or len(self.text) <= 10:
            return quote(self.text)
        return quote(self.text[:10]) + "..."


class LexError(Exception):
    """Text that is no token; ``start`` is where the token began."""

    def __init__(self, message: str, start: int) -> None:
        super().__init__(message)
        self.start = start


def _rune(char: str) -> str:
    """Write a character in single quotes, as Go's ``%q`` does for runes; end of input is U+FFFD."""
    return "'\\''" if char == "'" else "'" + (quote(char)[1:-1].replace('\\"', '"') or "�") + "'"


def is_letter(char: str) -> bool:
    """Tell whether a name may begin with this character."""
    return char == "_" or char.isalpha()


def is_unquoted_label(name: str) -> bool:
    """Tell whether a label name may be written without quotes."""
    return name != "" and is_letter(name[0]) and all(map(_is_name_char, name))


def _is_name_char(char: str) -> bool:
    return char != "" and (char == "." or is_letter(char) or char in _DIGITS)


def _is_alpha(char: str) -> bool:
    return char == "_" or (char.isascii() and char.isalpha())


def _ends_number(char: str) -> bool:
    return char == "" or not (_is_alpha(char) or char in _DIGITS)


class Lexer:
    """Reads tokens from one query text; ``next`` raises LexError where there is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._pos = 0
        self._parens = 0
        self._in_braces = False
        self._in_brackets = False
        self._before_number = False  # in brackets, as long as no number has come
        self._got_colon = False
        self._got_duration = False

    def next(self) -> Token:
        """Return the next token; EOF again and again at the end."""
        self._skip(comments=not self._before_number)
        start = self._pos
        char = self._peek()
        if self._in_braces:
            return self._next_in_braces(start, char)
        if self._before_number:
            return self._next_before_number(start, char)
        if char == "":
            if self._parens:
                raise LexError("unclosed left parenthesis", start)
            if self._in_brackets:
                raise LexError("unclosed left bracket", start)
            return Token("EOF", "", start)
        if char in _DIGITS or (char == "." and self._is_digit(1)):
            return self._number(start)
        if char in "\"'`":
            return self._string(start, char)
        if is_letter(char) or char == ":":
            return self._word_in_brackets(start, char) if self._in_brackets else self._word(start)
        return self._sign(start, char)

    def _peek(self, ahead: int = 0) -> str:
        at = self._pos + ahead
        return self.text[at] if at < len(self.text) else ""

    def _is_digit(self, ahead: int) -> bool:
        char = self._peek(ahead)
        return char != "" and char in _DIGITS

    def _skip(self, *, comments: bool) -> None:
        """Go past blanks and comments."""
        while (char := self._peek()) and (char in _SPACES or (comments and char == "#")):
            if char == "#":
                while (char := self._peek()) and char not in "\r\n":
                    self._pos += 1
            else:
                self._pos += 1

    def _emit(self, kind: str, start: int, length: int = 0) -> Token:
        if length:
            self._pos = start + length
        return Token(kind, self.text[start : self._pos], start)

    def _sign(self, start: int, char: str) -> Token:
        two = self.text[start : start + 2]
        if two in ("==", "!=", "<=", ">=", "</", ">/"):
            return self._emit(two, start, 2)
        if two == "=~":
            raise LexError("unexpected character after '=': '~'", start)
        if char == "!":
            raise LexError(f"unexpected character after '!': {_rune(self._peek(1))}", start)
        if char == "(":
            self._parens += 1
        elif char == ")":
            self._close(start)
        elif char == "{":
            self._in_braces = True
        elif char == "[":
            if self._in_brackets:
                raise LexError("unexpected left bracket '['", start)
            self._in_brackets = self._before_number = True
            self._got_colon = self._got_duration = False
        elif char == "]":
            if not self._in_brackets:
                raise LexError("unexpected right bracket ']'", start)
            self._in_brackets = False
        elif char not in ",*/%+-^=<>@":
            raise LexError(f"unexpected character: {_rune(char)}", start)
        return self._emit(char, start, 1)

    def _next_in_braces(self, start: int, char: str) -> Token:
        if char == "":
            raise LexError("unexpected end of input inside braces", start)
        if is_letter(char):
            while _is_name_char(self._peek()):
                self._pos += 1
            return self._emit("IDENTIFIER", start)
        if char in "\"'`":
            return self._string(start, char)
        two = self.text[start : start + 2]
        if two in ("=~", "!~", "!="):
            return self._emit(two, start, 2)
        if char == "!":
            after = _rune(self._peek(1))
            raise LexError(f"unexpected character after '!' inside braces: {after}", start)
        if char == "{":
            raise LexError("unexpected left brace '{'", start)
        if char == "}":
            self._in_braces = False
        elif char not in ",=":
            raise LexError(f"unexpected character inside braces: {_rune(char)}", start)
        return self._emit(char, start, 1)

    def _close(self, start: int) -> None:
        self._parens -= 1
        if self._parens < 0:
            raise LexError("unexpected right parenthesis ')'", start + 1)

    def _word_in_brackets(self, start: int, char: str) -> Token:
        if char == ":":
            if self._got_colon:
                raise LexError("unexpected colon ':'", start)
            self._got_colon = True
            return self._emit(char, start, 1)
        if char.lower() in _DURATION_STARTS and (word := self._duration_word(start)):
            return word
        raise LexError(f"unexpected character: {_rune(char)}, expected ':'", start)

    def _duration_word(self, start: int) -> Token | None:
        while _is_alpha(self._peek()):
            self._pos += 1
        word = self.text[start : self._pos].lower()
        return self._emit(word, start) if word in _DURATION_WORDS else None

    def _next_before_number(self, start: int, char: str) -> Token:
        if char == "":
            raise LexError("unexpected end of input in duration expression", start)
        if char == "]":
            self._in_brackets = self._before_number = False
        elif char == ":":
            if not self._got_duration:
                message = "unexpected colon before duration in duration expression"
                raise LexError(message, start + 1)
            if self._got_colon:
                raise LexError("unexpected repeated colon in duration expression", start + 1)
            self._got_colon = True
        elif char == "(":
            self._parens += 1
        elif char == ")":
            self._close(start)
        elif char in _DIGITS or (char == "." and self._is_digit(1)):
            self._got_duration = True
            self._before_number = False
            return self._number(start)
        elif char.lower() in _DURATION_STARTS:
            if word := self._duration_word(start):
                self._got_duration = True
                return word
            raise LexError(f"unexpected character in duration expression: {_rune(char)}", start)
        elif char not in "+-*/%^,":
            raise LexError(f"unexpected character in duration expression: {_rune(char)}", start)
        return self._emit(char, start, 1)

    def _word(self, start: int) -> Token:
        while _is_name_char(self._peek()) or self._peek() == ":":
            self._pos += 1
        word = self.text[start : self._pos]
        lower = word.lower()
        if lower in ("inf", "nan"):
            return self._emit("NUMBER", start)
        if lower in _FILLS and not self.text[self._pos :].lstrip(_SPACES).startswith("("):
            return self._emit("IDENTIFIER", start)
        if lower in _WORDS:
            return self._emit(lower, start)
        return self._emit("METRIC_IDENTIFIER" if ":" in word else "IDENTIFIER", start)

    def _string(self, start: int, quote_char: str) -> Token:
        self._pos += 1
        while (char := self._peek()) != quote_char:
            if char == "" or (char == "\n" and quote_char != "`"):
                kind = "raw" if quote_char == "`" else "quoted"
                raise LexError(f"unterminated {kind} string", start)
            self._pos += 1
            if char == "\\" and quote_char != "`":
                self._escape(start, quote_char)
        self._pos += 1
        return self._emit("STRING", start)

    def _escape(self, start: int, quote_char: str) -> None:
        char = self._peek()
        if char == "":
            raise LexError("escape sequence not terminated", start)
        if char in "abfnrtv\\" or char == quote_char:
            self._pos += 1
            return
        if char in "01234567":
            count, base, most = 3, 8, 255
        elif char in "xuU":
            self._pos += 1
            count, base = {"x": 2, "u": 4, "U": 8}[char], 16
            most = 255 if char == "x" else 0x10FFFF
        else:
            raise LexError(f"unknown escape sequence U+{ord(char):04X} {_rune(char)}", start)
        value = 0
        for _ in range(count):
            digit = self._peek()
            if digit == "":
                raise LexError("escape sequence not terminated", start)
            if digit not in _HEX or int(digit, 16) >= base:
                shown = f"U+{ord(digit):04X} {_rune(digit)}"
                raise LexError(f"illegal character {shown} in escape sequence", start)
            value = value * base + int(digit, 16)
            self._pos += 1
        if value > most or 0xD800 <= value < 0xE000:
            raise LexError("escape sequence is an invalid Unicode code point", start)

    def _accept(self, chars: str) -> bool:
        char = self._peek()
        if char != "" and char in chars:
            self._pos += 1
            return True
        return False

    def _number(self, start: int) -> Token:
        if self._scan_number():
            return self._emit("NUMBER", start)
        if self._scan_duration():
            return self._emit("DURATION", start)
        shown = quote(self.text[start : self._pos])
        raise LexError(f"bad number or duration syntax: {shown}", start)

    def _scan_number(self) -> bool:
        digits = _DIGITS
        if self._accept("0") and self._accept("xX"):
            self._accept("_")
            digits = _HEX
        self._accept(".")
        self._accept(digits)
        dotted = raised = False
        while (char := self._peek()) and char in digits + "._eE":
            if (char == "." and dotted) or (char in "eE" and raised and char not in digits):
                self._pos += 1
                return False
            if self._accept("."):
                dotted = True
                if self._accept("_.") or digits is _HEX:
                    return False
            elif char not in digits and self._accept("eE"):
                raised = True
                self._accept("+-")
                if self._accept("._eE") or self._peek() == "":
                    return False
            elif self._accept("_"):
                if self._accept("._eE") or self._peek() == "":
                    return False
            else:
                self._pos += 1
        return _ends_number(self._peek())

    def _scan_duration(self) -> bool:
        if not self._accept("smhdwy"):
            return False
        self._accept("s")
        while self._accept(_DIGITS):
            while self._accept(_DIGITS):
                pass
            if not self._accept("smhdw"):
                return False
            self._accept("s")
        if _ends_number(self._peek()):
            return True
        self._pos += 1
        return False
