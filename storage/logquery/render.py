"""A tree back to text: ``parse(to_text(node)) == node``."""

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

_PLAIN = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
_OPERATOR_WORDS = {"AND", "OR", "NOT", "TO"}


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


def quoted(value: str) -> str:
    """Return the value in quotes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def word(value: str) -> str:
    """Return the value bare where nothing in it means anything, else in quotes."""
    plain = _PLAIN.fullmatch(value) and value not in _OPERATOR_WORDS
    return value if plain else quoted(value)


def _bare(value: str) -> str:
    """Return free text that stays a term: no quotes, everything that could mean something escaped."""
    if _PLAIN.fullmatch(value) and value not in _OPERATOR_WORDS:
        return value
    return re.sub(r"([^\w])", r"\\\1", value) if value not in _OPERATOR_WORDS else "\\" + value


def _prefix(field: str) -> str:
    return "" if field == MESSAGE else f"{field}:"


def _end(bound: str | None) -> str:
    return "*" if bound is None else quoted(bound)


def _inner(node: Node) -> str:
    return f"({to_text(node)})" if isinstance(node, And | Or) else to_text(node)
