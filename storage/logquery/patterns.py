"""What a leaf of a query means as an RE2 pattern; the one meaning that every store has to keep.

A word is a run of letters, digits and underscores of any script. What is no part of a word is listed
by ranges (ASCII's and Latin-1's signs, general and CJK punctuation, symbols, emoji): RE2 takes
milliseconds to compile Unicode's own classes. Case is folded in ``message`` only.
"""

import re
from typing import Final

from storage.logquery.nodes import MESSAGE, And, Node, Phrase, Regex, Term, Wildcard

_SIGNS: Final = (
    (0x00, 0x2F), (0x3A, 0x40), (0x5B, 0x5E), (0x60, 0x60), (0x7B, 0xBF),
    (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2190, 0x2BFF), (0x3000, 0x303F),
    (0xFF00, 0xFF0F), (0xFFFD, 0xFFFD), (0x1F000, 0x1FAFF),
)  # fmt: skip
_RANGES: Final = "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in _SIGNS)
_WORD_CHAR: Final = f"[^{_RANGES}]"
_START: Final = f"(?:^|[{_RANGES}])"
_END: Final = f"(?:$|[{_RANGES}])"
_BETWEEN: Final = f"[{_RANGES}]+"
_WORDS = re.compile(
    "[^" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _SIGNS) + "]+"
)
_PART = re.compile(r"\\(.)|([*?])|(.)", re.DOTALL)


def words(text: str) -> list[str]:
    """Return the words of a text as they stand."""
    return _WORDS.findall(text)


def message_pattern(node: Term | Phrase | Wildcard | Regex) -> str:
    """Return the pattern that is searched for in a message."""
    if isinstance(node, Regex):
        return node.pattern
    if isinstance(node, Wildcard):
        return _wildcard_in_message(node.pattern)
    found = words(node.value)
    if not found:
        return f"(?i:{quote(node.value)})"
    return _START + _BETWEEN.join(f"(?i:{quote(word)})" for word in found) + _END


def value_pattern(node: Wildcard | Regex) -> str:
    """Return the pattern that has to fit the whole value of a field."""
    if isinstance(node, Regex):
        return f"^(?:{node.pattern})$"
    parts = _PART.findall(node.pattern)
    wild = {"*": ".*", "?": "."}
    return "(?s)^" + "".join(wild.get(w) or quote(e or c) for e, w, c in parts) + "$"


def quote(text: str) -> str:
    """Escape a text for RE2 (the stdlib's escapes of non-ASCII and space are not RE2's)."""
    return re.sub(r"([^\w\s]|\x00)", lambda m: f"\\x{{{ord(m[0]):x}}}", text)


def _wildcard_in_message(pattern: str) -> str:
    wild = {"*": _WORD_CHAR + "*", "?": _WORD_CHAR}
    parts = _PART.findall(pattern)
    body = "".join(wild.get(w) or f"(?i:{quote(e or c)})" for e, w, c in parts)
    first, last = parts[0], parts[-1]
    start = _START if first[1] or _WORDS.match(first[0] or first[2]) else ""
    end = _END if last[1] or _WORDS.match(last[0] or last[2]) else ""
    return start + body + end


def required_words(node: Node) -> list[str]:
    """Return words in lower case that the message of every record found must have; for filters ahead."""
    if isinstance(node, And):
        return [word for child in node.children for word in required_words(child)]
    if isinstance(node, Term | Phrase) and node.field == MESSAGE:
        return [word.lower() for word in words(node.value)]
    return []
