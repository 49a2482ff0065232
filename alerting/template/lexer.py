"""Cuts a template into text and the tokens of its actions."""

import re
from typing import Final

from msgspec import Struct

from model.errors import TaskscopeError


class TemplateError(TaskscopeError):
    """A template cannot be parsed.

    Attributes:
        offset: Of the first offending character in the template.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Token(Struct, frozen=True):
    """One token.

    Attributes:
        kind: ``text``, ``open`` and ``close`` of an action, or what stands in one: ``variable``,
            ``field``, ``identifier``, ``string``, ``number``, ``punctuation``, ``space``.
        text: As written; for ``text`` after trimming.
        offset: In the template.
    """

    kind: str
    text: str
    offset: int


_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?))
    | (?P<variable>\$\w*)
    | (?P<field>\.\w*)
    | (?P<identifier>[^\W\d]\w*)
    | (?P<punctuation>:=|[()|,=])
    """,
    re.VERBOSE,
)
_COMMENT: Final = re.compile(r"\s*/\*.*?\*/\s*", re.DOTALL)


def tokens(source: str) -> list[Token]:
    """Return all tokens of a template.

    Raises:
        TemplateError: At an unclosed action or a character that no action may have.
    """
    found: list[Token] = []
    at = 0
    trim_left = False
    while True:
        start = source.find("{{", at)
        text = source[at:] if start < 0 else source[at:start]
        trim_right = start >= 0 and bool(re.match(r"-\s", source[start + 2 : start + 4]))
        text = text.lstrip() if trim_left else text
        text = text.rstrip() if trim_right else text
        if text:
            found.append(Token("text", text, at))
        if start < 0:
            return found
        inside = start + 2 + (1 if trim_right else 0)
        comment = _COMMENT.match(source, inside)
        if comment:
            at, trim_left = _close(source, comment.end(), start)
            continue
        found.append(Token("open", "{{", start))
        at, trim_left = _action(source, inside, start, found)


def _action(source: str, at: int, start: int, found: list[Token]) -> tuple[int, bool]:
    while True:
        if source.startswith("}}", at) or re.match(r"\s-}}", source[at : at + 4]):
            end, trims = _close(source, at, start)
            found.append(Token("close", "}}", at))
            return end, trims
        match = _TOKEN.match(source, at)
        if match is None:
            if at >= len(source):
                raise TemplateError("unclosed action; close it with }}", start)
            if source[at] in "\"'`":
                raise TemplateError("unterminated or single-quoted string; use double quotes", at)
            raise TemplateError(f"unexpected {source[at]!r} in an action", at)
        found.append(Token(str(match.lastgroup), match.group(), at))
        at = match.end()


def _close(source: str, at: int, start: int) -> tuple[int, bool]:
    match = re.compile(r"(\s?-)?}}").match(source, at)
    if match is None:
        raise TemplateError("unclosed action; close it with }}", start)
    return match.end(), match.group(1) is not None
