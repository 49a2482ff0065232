"""The heads of text lines: what log4j, logback, Spring, Python, Rust, zap and most others put between time and message.

A head is a row of words in brackets or not, of which one is a level. It is taken apart word by
word; a stream has few different heads, so each is taken apart once.
"""

import functools
import re
from typing import Any, Final, NamedTuple

from logship.parse.levels import WORDS, of_text
from logship.parse.text_lines import fields_of

# what is thrown, in "ERROR java.io.IOException: no space": a part of what is said, no logger
_THROWN: Final = re.compile(
    r"^(?:java|javax|kotlin|scala|System)\.|(?:Exception|Error|Failure|Throwable|Interrupt)$"
)
HEADS_MAX: Final = 16_384  # remembered by mark
HEAD_CHARS_MAX: Final = 400

_TOKEN: Final = re.compile(
    r"(?P<skip>[\s|,;]+|-{1,3}(?=[\s\[]|$)|/|:(?=\s|$)|[\])}>])"
    rf"|[\[(<|]?\s*(?P<level>(?:{WORDS}))\s*(?:[\])>|:]|(?=[\s,\-/]|$))"
    r"|\[(?P<bracket>[^\[\]]*)\]"
    r"|(?P<extra>\{[^{}]*\}|\([^()]*\))"
    r"|(?P<pid>\d+(?:[#/]\d+)?)(?=[\s\]:|\-,]|$)"
    r"|(?P<zone>UTC|GMT|Z)(?=[\s\]|]|$)"
    r"|\[?(?P<name>[A-Za-z_$~][\w$.\-/@#<>]*(?:::[\w$<>]+)*(?:\(\))?(?::\d+|:[\w.<>]+:\d+)?)\]?(?=[\s\]:|]|$)"
)  # fmt: skip


class Head(NamedTuple):
    """What a head said; ``level`` is -1 if it is no head at all. ``strength``: words that prose hardly has."""

    level: int
    fields: bytes
    strength: int
    words: int


NO_HEAD: Final = Head(-1, b"", 0, 0)


def read(text: str, mark: str) -> Head:
    """Take a head apart that ends in a mark."""
    if len(text) > HEAD_CHARS_MAX or "\n" in text:
        return NO_HEAD
    whole = text + mark
    at = words = 0
    found: dict[str, Any] = {}
    brackets: list[str] = []
    extras: list[str] = []
    while at < len(whole):
        token = _TOKEN.match(whole, at)
        if token is None:
            return NO_HEAD
        at = token.end()
        kind = token.lastgroup or ""
        value = token[kind].strip()
        if kind in ("skip", "zone"):
            continue
        words += 1
        if kind == "bracket":
            brackets.append(value)
        elif kind == "extra":
            extras.append(value)
        elif kind in found:
            return NO_HEAD  # two levels, two names: prose
        else:
            found[kind] = value
    if "level" not in found:
        return NO_HEAD
    return _head(found, brackets, extras, words, mark)


def _head(found: dict[str, Any], brackets: list[str], extras: list[str], words: int, mark: str) -> Head:  # fmt: skip
    name = found.get("name", "")
    dotted = any(sign in name for sign in "._:/")
    if name and not dotted and mark.lstrip().startswith(":") and mark != " : " and not brackets:
        return NO_HEAD  # "ERROR failed: for want of memory"
    if name and mark.lstrip().startswith(":") and _THROWN.search(name):
        return NO_HEAD
    fields: dict[str, Any] = {}
    if name:
        fields["logger"] = name
    numbers = [one for one in brackets if one.isdigit()]
    others = [one for one in brackets if one and not one.isdigit()]
    others.sort(key=lambda one: "=" not in one and "," not in one)  # a context is no thread
    pid = found.get("pid") or (numbers[0] if numbers else "")
    if pid:
        fields["pid"] = int(pid) if pid.isdigit() and len(pid) < 16 else pid
    if others:
        fields["thread"] = others[-1]  # Spring Boot 3 puts the application's name before it
        if len(others) > 1:
            fields["context"] = " ".join(others[:-1])
    if extras:
        fields["source"] = " ".join(one[1:-1] for one in extras)
    strength = len(brackets) + dotted + bool(pid)
    return Head(of_text(found["level"]), fields_of(fields) if fields else b"", strength, words)


@functools.cache
def heads_of(mark: str) -> "Heads":
    """Return the heads that end in a mark: the same for all streams, which mostly run the same programs."""
    return Heads(mark)


class Heads(dict[str, Head]):
    """The heads that end in one mark, by their text."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark = mark

    def __missing__(self, text: str) -> Head:
        """Take a head apart that was not seen yet."""
        if len(self) >= HEADS_MAX:
            self.clear()
        head = self[text] = read(text, self._mark)
        return head
