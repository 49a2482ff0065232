"""What of a message a query is about, so that it can be made to stand out."""

import re
from collections.abc import Iterator

from storage.logquery.nodes import MESSAGE, And, Node, Or, Phrase, Regex, Term, Wildcard
from storage.logquery.words import words

# others than RE2 may take for ever over a pattern that repeats what repeats, or much
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_UNBOUNDED = re.compile(r"(?<!\\)(?:[*+]|\{\d+,\})")
_MOST_STARS = 2
_WILD = re.compile(r"\\(.)|([*?])|([^\\*?]+)")


def highlights(node: Node) -> list[dict[str, object]]:
    """Return what has to stand out, for a program of another language too.

    Each is ``{"words": ["connection", "refused"]}``, words that follow each other;
    ``{"wildcard": ["time", None]}``, pieces of a word with None for ``*`` and "" for ``?``; or
    ``{"regex": "order-[0-9]+"}``. What stands behind NOT is left out, and so is what a regular
    expression engine that goes back could take long for.
    """
    found: list[dict[str, object]] = []
    for leaf in _leaves(node):
        if isinstance(leaf, Regex):
            if _is_quick(leaf.pattern):
                found.append({"regex": leaf.pattern})
        elif isinstance(leaf, Wildcard):
            pieces = [
                None if wild == "*" else "" if wild else escaped or plain
                for escaped, wild, plain in _WILD.findall(leaf.pattern)
            ]
            if pieces.count(None) <= _MOST_STARS:
                found.append({"wildcard": pieces})
        elif parts := words(leaf.value):
            found.append({"words": parts})
    return found


def marked(node: Node) -> re.Pattern[str] | None:
    """Return a pattern of Python's that finds it, None if there is nothing to find."""
    patterns = []
    for one in highlights(node):
        match one:
            case {"words": [*parts]}:
                patterns.append(r"\b" + r"\W+".join(re.escape(str(p)) for p in parts) + r"\b")
            case {"wildcard": [*pieces]}:
                body = "".join(r"\w*" if p is None else re.escape(str(p)) or r"\w" for p in pieces)
                start = r"\b" if _is_in_word(pieces[0], 0) else ""
                patterns.append(start + body + (r"\b" if _is_in_word(pieces[-1], -1) else ""))
            case {"regex": str(pattern)}:
                try:
                    re.compile(pattern)
                except re.error:
                    continue  # RE2 knows a little that Python does not
                patterns.append(f"(?-i:{pattern})" if not pattern.startswith("(?") else "")
    patterns = [pattern for pattern in patterns if pattern]
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None


def _is_in_word(piece: object, at: int) -> bool:
    """Tell whether a wildcard begins (0) or ends (-1) in a word, and not with a sign."""
    return not piece or re.match(r"\w", str(piece)[at]) is not None


def _is_quick(pattern: str) -> bool:
    return not _REPEATED_GROUP.search(pattern) and len(_UNBOUNDED.findall(pattern)) <= 1


def _leaves(node: Node) -> Iterator[Term | Phrase | Wildcard | Regex]:
    if isinstance(node, And | Or):
        for child in node.children:
            yield from _leaves(child)
    elif isinstance(node, Term | Phrase | Wildcard | Regex) and node.field == MESSAGE:
        yield node
