"""Values as they are written in a query."""

import re
from typing import Final

_PLAIN = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
_OPERATOR_WORDS: Final = frozenset({"AND", "OR", "NOT", "TO"})


def quoted(value: str) -> str:
    """Return the value in quotes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def word(value: str) -> str:
    """Return the value bare where nothing in it means anything, else in quotes."""
    return value if is_plain(value) else quoted(value)


def is_plain(value: str) -> bool:
    """Tell whether nothing in a value means anything."""
    return value not in _OPERATOR_WORDS and _PLAIN.fullmatch(value) is not None
