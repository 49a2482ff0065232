"""A tree back to text, to be parsed again."""

import re

from storage.logquery.nodes import (
    MESSAGE,
    All,
    And,
    Exists,
    Node,
    Not,
    Or,
    Phrase,
    Range,
    Regex,
    Term,
    Wildcard,
)
from storage.logquery.quoting import is_plain, quoted, word


def to_text(node: Node) -> str:
    """Return the query that has this tree, in full field names."""
    match node:
        case All():
            return "*"
        case And(children):
            return " ".join(_inner(child) for child in children)
        case Or(children):
            return " OR ".join(_inner(child) for child in children)
        case Not(child):
            return f"NOT {_inner(child)}"
        case Term(field, value):
            return _prefix(field) + (_bare(value) if field == MESSAGE else word(value))
        case Phrase(field, value):
            return _prefix(field) + quoted(value)
        case Wildcard(field, pattern):
            return _prefix(field) + re.sub(r'([\s()":/\-+!<>\[\]{}&|])', r"\\\1", pattern)
        case Regex(field, pattern):
            return f"{_prefix(field)}/{pattern.replace('/', chr(92) + '/')}/"
        case Range(field, low, high, include_low, include_high):
            first, last = "[" if include_low else "{", "]" if include_high else "}"
            return f"{field}:{first}{_end(low)} TO {_end(high)}{last}"
        case Exists(field):
            return f"{field}:*"


def _bare(value: str) -> str:
    """Return free text that stays a term: no quotes, everything that could mean something escaped."""
    if is_plain(value):
        return value
    escaped = re.sub(r"([^\w])", r"\\\1", value)
    return escaped if escaped != value else "\\" + value  # AND, OR, NOT, TO


def _prefix(field: str) -> str:
    return "" if field == MESSAGE else f"{field}:"


def _end(bound: str | None) -> str:
    return "*" if bound is None else quoted(bound)


def _inner(node: Node) -> str:
    return f"({to_text(node)})" if isinstance(node, And | Or) else to_text(node)
