"""Matchers as the text of a selector."""

import re
from collections.abc import Sequence
from typing import Final

from model.labels import Matcher

_PLAIN: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


def selector_text(matchers: Sequence[Matcher]) -> str:
    """Return ``{name="value",...}``; only names that need it are quoted, which old stores do not know."""
    parts = []
    for one in matchers:
        name = one.name if _PLAIN.fullmatch(one.name) else _quoted(one.name)
        parts.append(f"{name}{one.op.value}{_quoted(one.value)}")
    return "{" + ",".join(parts) + "}"


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'
