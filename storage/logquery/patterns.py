"""What a leaf of a query means as an RE2 pattern; the one meaning that every store has to keep."""

import re

from storage.logquery.nodes import MESSAGE, And, Leaf, Node, Phrase, Regex, Term, Wildcard
from storage.logquery.words import LETTER, SIGN, border, fold, spellings, words

_PART = re.compile(r"\\(.)|([*?])|(.)", re.DOTALL)


def message_pattern(node: Term | Phrase | Wildcard | Regex) -> str:
    """Return the pattern that is searched for in a message."""
    if isinstance(node, Regex):
        return node.pattern
    if isinstance(node, Wildcard):
        return _wildcard_in_message(node.pattern)
    found = words(node.value)
    if not found:
        return _caseless(node.value)
    pattern = _start(found[0][0])
    for word, behind in zip(found, [*found[1:], ""], strict=True):
        pattern += _caseless(word)
        if behind:
            # two runs of one kind would be one word without a sign between them
            apart = border(word[-1]) == border(behind[0]) != ""
            pattern += SIGN + ("+" if apart else "*")
    return pattern + _end(found[-1][-1])


def value_pattern(node: Wildcard | Regex) -> str:
    """Return the pattern that has to fit the whole value of a field."""
    if isinstance(node, Regex):
        return f"^(?:{node.pattern})$"
    wild = {"*": ".*", "?": "."}
    return "(?s)^" + "".join(wild.get(w) or quote(e or c) for e, w, c in parts(node.pattern)) + "$"


def parts(pattern: str) -> list[tuple[str, str, str]]:
    """Return the characters of a wildcard: (escaped, wild, plain), two of them empty."""
    return _PART.findall(pattern)


def quote(text: str) -> str:
    """Escape a text for RE2 (the stdlib's escapes of non-ASCII and space are not RE2's)."""
    return re.sub(r"([^\w\s]|\x00)", lambda m: f"\\x{{{ord(m[0]):x}}}", text)


def required_words(node: Node) -> list[str]:
    """Return words in lower case that the message of every record found must have; for filters ahead."""
    if isinstance(node, And):
        return [word for child in node.children for word in required_words(child)]
    if isinstance(node, Term | Phrase) and node.field == MESSAGE:
        return [fold(word) for word in words(node.value)]
    return []


def required_literals(node: Leaf) -> list[str]:
    """Return ASCII texts in lower case that stand in each message found, once that is in lower case."""
    if isinstance(node, Term | Phrase):
        found = words(node.value) or [node.value]
    elif isinstance(node, Wildcard):
        plain = "".join("\0" if wild else e or c for e, wild, c in parts(node.pattern))
        found = plain.split("\0")
    else:
        return []
    return [folded for folded in map(fold, found) if folded.isascii() and folded]


def _caseless(text: str) -> str:
    """Return a pattern for a text in any case; RE2's own folding knows more pairs than lower case has."""
    pattern = ""
    for char in text:
        same = spellings(char)
        pattern += quote(char) if len(same) == 1 else "[" + "".join(map(quote, same)) + "]"
    return pattern


def _wildcard_in_message(pattern: str) -> str:
    wild = {"*": LETTER + "*", "?": LETTER}
    pieces = parts(pattern)
    body = "".join(wild.get(w) or _caseless(e or c) for e, w, c in pieces)
    first, last = pieces[0], pieces[-1]
    start = _start("a" if first[1] else first[0] or first[2])
    end = _end("a" if last[1] else last[0] or last[2])
    return start + body + end


def _start(char: str) -> str:
    return f"(?:^|{border(char)})" if words(char) and border(char) else ""


def _end(char: str) -> str:
    return f"(?:{border(char)}|$)" if words(char) and border(char) else ""
