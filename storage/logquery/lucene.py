"""The same query for Elasticsearch's and OpenSearch's ``query_string``, as Grafana sends it.

Differences that Lucene imposes: ``fields.<x>`` is a flattened field there, so its ranges compare as
text; a regular expression on ``message`` has to fit one word; the standard analyser keeps words
joined by a dot or an apostrophe together, Taskscope's own store does not.
"""

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
from storage.logquery.quoting import quoted, word

_VARIABLE = re.compile(r"\$(?:\w+|\{\w+(?::\w+)?\})", re.ASCII)
_WILD_PART = re.compile(r"\\(.)|([*?])|(.)", re.DOTALL)
_ONE_WORD = re.compile(r"\w+")
_PLAIN = re.compile(r"\w", re.ASCII)


def to_lucene(node: Node, *, keep_variables: bool = False) -> str:
    """Return the query in Lucene's syntax with every operator spelled out.

    Args:
        node: The query.
        keep_variables: Leave values that are a Grafana variable (``$app``, ``${app:lucene}``) as
            they are, for queries in dashboards.
    """
    return _Writer(keep_variables=keep_variables).write(node)


class _Writer:
    def __init__(self, *, keep_variables: bool) -> None:
        self._keep_variables = keep_variables

    def write(self, node: Node) -> str:
        match node:
            case All():
                return "*:*"
            case And(children):
                return " AND ".join(self._inner(child) for child in children)
            case Or(children):
                return " OR ".join(self._inner(child) for child in children)
            case Not(child):
                return f"(*:* AND NOT {self._inner(child)})"  # Lucene finds nothing by NOT alone
            case Term(field, value) | Phrase(field, value):
                return f"{_name(field)}:{self._value(value, field == MESSAGE)}"
            case Wildcard(field, pattern):
                return f"{_name(field)}:{_wildcard(pattern)}"
            case Regex(field, pattern):
                return f"{_name(field)}:/{pattern.replace('/', chr(92) + '/')}/"
            case Range(field, low, high, include_low, include_high):
                first, last = "[" if include_low else "{", "]" if include_high else "}"
                return f"{_name(field)}:{first}{self._end(low)} TO {self._end(high)}{last}"
            case Exists(field):
                return f"_exists_:{_name(field)}"

    def _inner(self, node: Node) -> str:
        return f"({self.write(node)})" if isinstance(node, And | Or) else self.write(node)

    def _value(self, value: str, analysed: bool = False) -> str:
        if self._keep_variables and _VARIABLE.fullmatch(value):
            return value
        # bare a-b in an analysed field may mean a or b, in quotes it is the phrase it is here
        return quoted(value) if analysed and not _ONE_WORD.fullmatch(value) else word(value)

    def _end(self, bound: str | None) -> str:
        return "*" if bound is None else self._value(bound)


def _name(field: str) -> str:
    return re.sub(r"([^\w.@])", r"\\\1", field)


def _wildcard(pattern: str) -> str:
    parts = []
    for escaped, wild, plain in _WILD_PART.findall(pattern):
        text = escaped or plain
        if wild or (text and _PLAIN.match(text)):
            parts.append(wild or text)
        elif text in "<>":
            parts.append("?")  # Lucene cannot escape these two
        else:
            parts.append("\\" + text)
    return "".join(parts)
