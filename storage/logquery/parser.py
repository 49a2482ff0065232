"""A recursive descent parser for log queries, straight over the characters."""

import re
from collections.abc import Callable
from typing import Final, NoReturn

from msgspec.structs import replace

from configfile.pattern import compile_pattern
from model.errors import ParseError
from storage.logquery import fields
from storage.logquery.nodes import (
    LEVEL,
    MESSAGE,
    TIMESTAMP,
    All,
    Exists,
    Node,
    Not,
    Phrase,
    Range,
    Regex,
    Term,
    Wildcard,
    conjunction,
    disjunction,
)

MAX_DEPTH: Final = 64
MAX_LENGTH: Final = 16_384

_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"([A-Za-z_@][\w.@-]*):")
_WORD = re.compile(r'(?:\\.|[^\s()"\\])+', re.DOTALL)
_STRING = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_REGEX = re.compile(r"/((?:\\.|[^/\\\s])+)/(?=[\s)]|$)")
_RANGE = re.compile(
    r'([\[{])\s*((?:\\.|[^\s"\]}\\])+|"(?:\\.|[^"\\])*")\s+TO\s+'
    r'((?:\\.|[^\s"\]}\\])+|"(?:\\.|[^"\\])*")\s*([\]}])'
)
_COMPARE = re.compile(r"(>=|<=|>|<)\s*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LITERAL_OR_WILD = re.compile(r"\\(.)|([*?])|([^\\*?]+)", re.DOTALL)
_OPERATORS: Final = {"AND": "AND", "&&": "AND", "OR": "OR", "||": "OR", "NOT": "NOT"}


def parse(text: str) -> Node:
    """Return the query's tree; a blank query is ``All``.

    Raises:
        ParseError: With the position and what would be right.
    """
    if len(text) > MAX_LENGTH:
        raise ParseError(f"the query is longer than {MAX_LENGTH:,} characters", 0, len(text))
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.depth = 0

    def whole(self) -> Node:
        self._skip()
        if self.pos == len(self.text):
            return All()
        node = self._or(None)
        if self.pos < len(self.text):
            self._fail("a closing bracket that nothing opened", self.pos, self.pos + 1)
        return node

    def _or(self, field: str | None) -> Node:
        nodes = [self._and(field)]
        while self._operator("OR"):
            nodes.append(self._and(field))
        return disjunction(*nodes)

    def _and(self, field: str | None) -> Node:
        nodes = [self._unary(field)]
        while self.pos < len(self.text) and self.text[self.pos] != ")":
            if self._peek() == "OR":
                break
            self._operator("AND")
            nodes.append(self._unary(field))
        return conjunction(*nodes)

    def _unary(self, field: str | None) -> Node:
        start = self.pos
        if self._operator("NOT"):
            return Not(self._deeper(self._unary, field, start))
        sign = self.text[start : start + 1]
        after = self.text[start + 1 : start + 2]
        if sign and sign in "-!+" and after and not after.isspace():
            if after in "-!+":
                self._fail(f'"{sign}{after}" is no operator; text goes in quotes', start, start + 2)
            self.pos += 1
            node = self._deeper(self._unary, field, start)
            return node if sign == "+" else Not(node)
        return self._primary(field)

    def _primary(self, field: str | None) -> Node:
        start = self.pos
        if start == len(self.text) or self.text[start] == ")":
            self._fail("the query ends where a term is expected", start, start)
        if self._peek() is not None:
            word = self.text[start:].split(maxsplit=1)[0]
            self._fail(f"{word} needs a term before it", start, start + len(word))
        if self.text[start] == "(":
            return self._brackets(field)
        named = _FIELD.match(self.text, start)
        if named is None:
            return self._value(field or MESSAGE)
        name = named[1]
        if field is not None:
            self._fail(f'"{name}:" inside the brackets of {field}', start, named.end())
        resolved = fields.resolve(name)
        if resolved is None:
            self._fail(fields.unknown_field(name), start, named.end())
        self.pos = named.end()
        if self.text[self.pos : self.pos + 1] == "(":
            return self._brackets(resolved)
        if self.text.startswith("//", self.pos):
            self._fail(f'text with a colon goes in quotes: "{name}://..."', start)
        if self.text[self.pos : self.pos + 1].strip() == "":
            self._fail(f'{name}: needs a value; text with a colon goes in quotes: "{name}:"', start)
        return self._value(resolved)

    def _brackets(self, field: str | None) -> Node:
        start = self.pos
        self.pos += 1
        self._skip()
        node = self._deeper(self._or, field, start)
        if self.text[self.pos : self.pos + 1] != ")":
            self._fail("this bracket is never closed", start, start + 1)
        self.pos += 1
        self._skip()
        return node

    def _value(self, field: str) -> Node:
        start = self.pos
        if match := _STRING.match(self.text, start):
            value = _ESCAPE.sub(r"\1", match[1])
            node = self._quoted(field, value, start, match.end())
        elif self.text[start] == '"':
            self._fail("this quote is never closed", start, start + 1)
        elif match := _REGEX.match(self.text, start):
            self._must_be_text(field, match[0], start, match.end())
            node = self._regex(field, match[1].replace("\\/", "/"), start, match.end())
        elif field != MESSAGE and (match := _RANGE.match(self.text, start)):
            low, high = _bound(match[2]), _bound(match[3])
            node = self._range(Range(field, low, high, match[1] == "[", match[4] == "]"), start)
        elif field != MESSAGE and self.text[start] in "[{":
            self._fail("a range is written [low TO high] or {low TO high}", start)
        elif match := _COMPARE.match(self.text, start) if field != MESSAGE else None:
            return self._compare(field, match[1], match.end(), start)
        else:
            match = _WORD.match(self.text, start)
            if match is None:
                self._fail("a backslash with nothing behind it", start, start + 1)
            node = self._word(field, match[0], start, match.end())
        self.pos = match.end()
        self._skip()
        return node

    def _compare(self, field: str, operator: str, behind: int, start: int) -> Node:
        match = _STRING.match(self.text, behind) or _WORD.match(self.text, behind)
        if match is None:
            self._fail(f"{operator} needs a value", start, behind)
        value = _ESCAPE.sub(r"\1", match[1] if match.re is _STRING else match[0])
        inclusive = operator.endswith("=")
        self.pos = match.end()
        self._skip()
        if operator[0] == ">":
            return self._range(Range(field, value, None, include_low=inclusive), start)
        return self._range(Range(field, None, value, include_high=inclusive), start)

    def _quoted(self, field: str, value: str, start: int, end: int) -> Node:
        if not value:
            if field == MESSAGE:
                self._fail("nothing between the quotes", start, end)
            return Not(Exists(field))
        return Phrase(field, value) if field == MESSAGE else self._term(field, value, start, end)

    def _word(self, field: str, raw: str, start: int, end: int) -> Node:
        parts = _LITERAL_OR_WILD.findall(raw)
        if not any(wild for _, wild, _ in parts):
            return self._term(field, _ESCAPE.sub(r"\1", raw), start, end)
        if set(raw) == {"*"}:
            return All() if field == MESSAGE else Exists(field)
        self._must_be_text(field, raw, start, end)
        pattern = "".join(
            wild or text or ("\\" + escaped if escaped in "*?\\" else escaped)
            for escaped, wild, text in parts
        )
        return Wildcard(field, pattern)

    def _term(self, field: str, value: str, start: int, end: int) -> Node:
        if field == LEVEL:
            if value.lower() == "none":
                return Not(Exists(LEVEL))
            known = fields.level(value)
            if known is None:
                self._fail(fields.unknown_level(value), start, end)
            return Term(LEVEL, known)
        if field in fields.NUMBERS:
            number = fields.whole(value)
            if number is None:
                self._fail(fields.no_number(field, value), start, end)
            return Term(field, number)
        if field == TIMESTAMP:
            self._fail("@timestamp takes a range: @timestamp:>=2026-01-31T12:00:00Z", start, end)
        return Term(field, value)

    def _must_be_text(self, field: str, value: str, start: int, end: int) -> None:
        if field in fields.NUMBERS:
            self._fail(fields.no_number(field, value), start, end)

    def _regex(self, field: str, pattern: str, start: int, end: int) -> Node:
        try:
            compile_pattern(pattern)
        except ValueError as error:
            self._fail(f"this {error}", start, end)
        return Regex(field, pattern)

    def _range(self, node: Range, start: int) -> Node:
        for bound in (node.low, node.high):
            if node.field == LEVEL and bound is not None and fields.level(bound) is None:
                self._fail(fields.unknown_level(bound), start)
            if node.field in fields.NUMBERS and bound is not None and fields.whole(bound) is None:
                self._fail(fields.no_number(node.field, bound), start)
            if node.field == TIMESTAMP and bound is not None and fields.timestamp_ns(bound) is None:
                self._fail(f'"{bound}" is no time; write 2026-01-31T12:00:00Z', start)
        if node.low is None and node.high is None:
            return Exists(node.field)
        node = replace(
            node,
            include_low=node.include_low or node.low is None,
            include_high=node.include_high or node.high is None,
        )
        return _level_range(node) if node.field == LEVEL else node

    def _deeper(self, rule: Callable[[str | None], Node], field: str | None, start: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} levels of brackets", start)
        node = rule(field)
        self.depth -= 1
        return node

    def _peek(self) -> str | None:
        """Return AND, OR or NOT if that is what stands here."""
        match = _WORD.match(self.text, self.pos)
        return _OPERATORS.get(match[0]) if match else None

    def _operator(self, name: str) -> bool:
        match = _WORD.match(self.text, self.pos)
        if match is None or _OPERATORS.get(match[0]) != name:
            return False
        self.pos = match.end()
        self._skip()
        return True

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.pos)
        self.pos = match.end() if match else self.pos

    def _fail(self, message: str, start: int, end: int | None = None) -> NoReturn:
        end = len(self.text) if end is None else end
        raise ParseError(f"{start + 1}: {message}", start, end)


def _bound(raw: str) -> str | None:
    if raw == "*":
        return None
    return _ESCAPE.sub(r"\1", raw[1:-1] if raw[0] == '"' else raw)


def _level_range(node: Range) -> Node:
    names = fields.LEVELS
    first, behind = 0, len(names)
    if node.low is not None:
        first = names.index(fields.level(node.low) or "") + (not node.include_low)
    if node.high is not None:
        behind = names.index(fields.level(node.high) or "") + node.include_high
    if first >= behind:
        return Not(All())
    return disjunction(*(Term(LEVEL, name) for name in names[first:behind]))
