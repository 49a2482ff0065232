"""A query as a condition in DuckDB's SQL over the columns of a segment.

It has to find exactly what ``storage.logquery.match`` finds. Every condition is TRUE or FALSE, never
NULL, so that NOT finds the records that lack a field. Values travel as parameters only.
"""

from typing import Any, Final

import orjson

from model.log import LEVEL_NAMES, Flag
from storage.logdb.document import NUMBER_FIELDS, TEXT_FIELDS
from storage.logquery import fields
from storage.logquery.match import NUMBER, number_of
from storage.logquery.nodes import (
    LEVEL,
    MESSAGE,
    OWN_FIELDS,
    TIMESTAMP,
    All,
    And,
    Exists,
    Leaf,
    Node,
    Not,
    Or,
    Phrase,
    Range,
    Regex,
    Term,
    Wildcard,
)
from storage.logquery.patterns import message_pattern, required_words, value_pattern

_MAX_SPLITS: Final = 5
_LEVEL_TEXT: Final = (
    "CASE level "
    + " ".join(f"WHEN {i} THEN '{n}'" for i, n in enumerate(LEVEL_NAMES) if n)
    + " END"
)
_FLAG_TEXTS: Final = (
    "["
    + ", ".join(f"CASE WHEN flags & {int(f)} > 0 THEN '{f.name.lower()}' END" for f in Flag)
    + "]"
)


class Sql:
    """Collects parameters while it writes conditions."""

    def __init__(self) -> None:
        self.parameters: list[Any] = []

    def param(self, value: Any) -> str:
        """Take a value and return its place-holder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def condition(self, node: Node) -> str:
        """Return the condition for a query."""
        match node:
            case All():
                return "TRUE"
            case And(children):
                return "(" + " AND ".join(self.condition(child) for child in children) + ")"
            case Or(children):
                return "(" + " OR ".join(self.condition(child) for child in children) + ")"
            case Not(child):
                return f"(NOT {self.condition(child)})"
            case Range() if node.field == TIMESTAMP:
                return self._time(node)
            case Term() | Phrase() | Wildcard() | Regex() if node.field == MESSAGE:
                return self._message(node)
            case Term() if node.field == LEVEL:
                return f"(level = {self.param(_level_code(node.value))})"
            case _:
                return self._field(node)

    def _message(self, node: Term | Phrase | Wildcard | Regex) -> str:
        pattern = f"regexp_matches(message, {self.param(message_pattern(node))})"
        ascii_words = [word for word in required_words(node) if word.isascii()]
        if not ascii_words:
            return pattern
        # plain search is several times as fast as the pattern and settles most records
        caseless = [word for word in ascii_words if word.upper() == word]
        ahead = [f"contains(message, {self.param(word)})" for word in caseless]
        cased = [word for word in ascii_words if word.upper() != word]
        ahead += [f"contains(lower(message), {self.param(word)})" for word in cased]
        # CASE keeps DuckDB from trying which of the two is better done first
        return f"(CASE WHEN {' AND '.join(ahead)} THEN {pattern} ELSE FALSE END)"

    def _field(self, node: Leaf) -> str:
        field = node.field
        if field in TEXT_FIELDS:
            column = f'"{TEXT_FIELDS[field]}"'
            if isinstance(node, Term) and node.value:
                return f"({column} = {self.param(node.value)})"  # row groups are skipped by this
            # "" is how a column says that the field is absent
            return f"({column} <> '' AND {self._value(column, node)})"
        if field in NUMBER_FIELDS:
            column = f'"{NUMBER_FIELDS[field]}"'
            present = "TRUE" if field == "log.offset" else f"{column} <> 0"
            return f"({present} AND {self._value(f'{column}::VARCHAR', node)})"
        if field == LEVEL:
            return f"coalesce({self._value(_LEVEL_TEXT, node)}, FALSE)"
        if field == MESSAGE:
            return f"coalesce({self._value('message', node)}, FALSE)"
        if field == "log.flags":
            return self._any_of(_FLAG_TEXTS, node)
        if field.startswith(OWN_FIELDS):
            return self._own(node)
        path = self.param(_path([field]))
        return f"coalesce({self._value(f'TRY(json_extract_string(tags, {path}))', node)}, FALSE)"

    def _own(self, node: Leaf) -> str:
        parts = node.field.removeprefix(OWN_FIELDS).split(".")
        # the record may have written a.b as one key or as two
        last = orjson.dumps(parts[-1]).decode().strip('"')
        ahead = f"coalesce(contains(fields, {self.param(last)}), FALSE)"
        found = []
        for keys in _splits(parts):
            path, inside = self.param(_path(keys)), self.param(_path(keys) + "[*]")
            kind = f"TRY(json_type(fields, {path}))"
            one = f"TRY(json_extract_string(fields, {path}))"
            scalar = f"({kind} NOT IN ('ARRAY', 'OBJECT', 'NULL') AND {self._value(one, node)})"
            several = self._any_of(f"TRY(json_extract_string(fields, {inside}))", node)
            found.append(
                f"coalesce(CASE WHEN {kind} = 'ARRAY' THEN {several} ELSE {scalar} END, FALSE)"
            )
        return f"({ahead} AND ({' OR '.join(found)}))"

    def _any_of(self, values: str, node: Leaf) -> str:
        inner = self._value("x", node)
        return (
            f"coalesce(len(list_filter({values}, lambda x: coalesce({inner}, FALSE))) > 0, FALSE)"
        )

    def _value(self, text: str, node: Leaf) -> str:
        match node:
            case Term(_, value) | Phrase(_, value):
                exact = f"{text} = {self.param(value)}"
                number = number_of(value) if node.field.startswith(OWN_FIELDS) else None
                if number is None:
                    return f"({exact})"
                return f"({exact} OR {self._number(text, '=', number)})"
            case Wildcard() | Regex():
                return f"regexp_matches({text}, {self.param(value_pattern(node))})"
            case Exists():
                return f"({text} <> '')"
            case Range(_, low, high, include_low, include_high):
                tests = []
                if low is not None:
                    tests.append(self._compare(text, ">=" if include_low else ">", low))
                if high is not None:
                    tests.append(self._compare(text, "<=" if include_high else "<", high))
                return "(" + " AND ".join(tests) + ")"

    def _compare(self, text: str, operator: str, bound: str) -> str:
        number = number_of(bound)
        if number is None:
            return f"{text} {operator} {self.param(bound)}"
        return self._number(text, operator, number)

    def _number(self, text: str, operator: str, number: float) -> str:
        looks = f"regexp_full_match({text}, {self.param(NUMBER)})"
        return f"({looks} AND TRY_CAST({text} AS DOUBLE) {operator} {self.param(number)}::DOUBLE)"

    def _time(self, node: Range) -> str:
        tests = []
        for bound, beyond, inclusive in (
            (node.low, ">", node.include_low),
            (node.high, "<", node.include_high),
        ):
            if bound is not None:
                operator = beyond + "=" * inclusive
                tests.append(f"ts_ns {operator} {self.param(fields.timestamp_ns(bound))}")
        return "(" + " AND ".join(tests) + ")"


def _level_code(name: str) -> int:
    return LEVEL_NAMES.index(name) if name in LEVEL_NAMES else 255


def _path(keys: list[str]) -> str:
    return "$" + "".join(
        "." + '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"' for key in keys
    )


def _splits(parts: list[str]) -> list[list[str]]:
    """Return every way to read dotted parts as nested keys; only the two extremes if there are many."""
    if len(parts) > _MAX_SPLITS:
        return [[".".join(parts)], parts]
    if len(parts) == 1:
        return [parts]
    rest = _splits(parts[1:])
    return [[parts[0], *keys] for keys in rest] + [
        [f"{parts[0]}.{keys[0]}", *keys[1:]] for keys in rest
    ]
