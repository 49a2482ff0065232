"""A query as a condition in DuckDB's SQL over the columns of a segment.

It has to find exactly what ``storage.logquery.match`` finds. Every condition is TRUE or FALSE, never
NULL, so that NOT finds the records that lack a field. Values travel as parameters only.
"""

import re
from typing import Any, Final

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

# Kinds of JSON values that DuckDB gives back as they were spelled, or as nothing; not 1e3 and 1.10.
_SPELLED: Final = "('VARCHAR', 'BOOLEAN', 'BIGINT', 'UBIGINT', 'OBJECT', 'NULL')"
_WHOLE = re.compile(r"-?[1-9][0-9]{0,17}")
_PLAIN = re.compile(r"[\w-]+", re.ASCII)


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
        return f"coalesce({self._value(self._tag(field), node)}, FALSE)"

    def values(self, field: str) -> str:
        """Return an expression for the values of a field as a list of texts; NULL and "" are none."""
        if field in TEXT_FIELDS:
            return f'["{TEXT_FIELDS[field]}"]'
        if field in NUMBER_FIELDS:
            column = f'"{NUMBER_FIELDS[field]}"'
            text = f"{column}::VARCHAR"
            return (
                f"[{text}]"
                if field == "log.offset"
                else f"[CASE WHEN {column} <> 0 THEN {text} END]"
            )
        if field == LEVEL:
            return f"[{_LEVEL_TEXT}]"
        if field == "log.flags":
            return _FLAG_TEXTS
        if field.startswith(OWN_FIELDS):
            return self._own_values(field)
        return f"[{self._tag(field)}]"

    def _own_values(self, field: str) -> str:
        several = f"own_values(fields, {self.param(field)})"
        odd, found = self._odd(), []
        for keys in _splits(field.removeprefix(OWN_FIELDS).split(".")):
            path = self.param(_path(keys))
            kind = f"TRY(json_type(fields, {path}))"
            odd.append(f"coalesce({kind} NOT IN {_SPELLED}, FALSE)")
            text = f"TRY(json_extract_string(fields, {path}))"
            found.append(f"CASE WHEN {kind} NOT IN ('OBJECT', 'NULL') THEN {text} END")
        # a field twice is one record
        return (
            f"list_distinct(CASE WHEN fields IS NULL THEN [] WHEN {' OR '.join(odd)} THEN {several} "
            f"ELSE [{', '.join(found)}] END)"
        )

    def _odd(self) -> list[str]:
        """Return the condition for records with a list, whose values the path of a field may not lead to."""
        return ["coalesce(contains(fields, '['), FALSE)"]

    def _tag(self, field: str) -> str:
        return f"TRY(json_extract_string(tags, {self.param(_path([field]))}))"

    def _own(self, node: Leaf) -> str:
        parts = node.field.removeprefix(OWN_FIELDS).split(".")
        # the last part of the name has to stand there, unless it is spelled with escapes
        ahead = "TRUE"
        if _PLAIN.fullmatch(parts[-1]):
            ahead = f"coalesce(contains(fields, {self.param(parts[-1])}) OR contains(fields, '\\u'), FALSE)"
        odd, found = self._odd(), []
        for keys in _splits(parts):  # the record may have written a.b as one key or as two
            path = self.param(_path(keys))
            kind = f"TRY(json_type(fields, {path}))"
            if _asks_for_spelling(node):
                odd.append(f"coalesce({kind} NOT IN {_SPELLED}, FALSE)")
            one = self._value(f"TRY(json_extract_string(fields, {path}))", node)
            found.append(f"coalesce({kind} NOT IN ('OBJECT', 'NULL') AND {one}, FALSE)")
        several = self._any_of(f"own_values(fields, {self.param(node.field)})", node)
        return f"({ahead} AND CASE WHEN {' OR '.join(odd)} THEN {several} ELSE {' OR '.join(found)} END)"

    def _any_of(self, values: str, node: Leaf) -> str:
        inner = self._value("x", node)
        return (
            f"coalesce(len(list_filter({values}, lambda x: coalesce({inner}, FALSE))) > 0, FALSE)"
        )

    def _value(self, text: str, node: Leaf) -> str:
        match node:
            case Term(_, value) | Phrase(_, value):
                return f"({text} = {self.param(value)})"
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


def _asks_for_spelling(node: Leaf) -> bool:
    """Tell whether it matters how a record spelled a number that is not a plain whole one."""
    match node:
        case Term(_, value) | Phrase(_, value):
            return number_of(value) is not None and not _WHOLE.fullmatch(value)
        case Range(_, low, high):
            return any(bound is not None and number_of(bound) is None for bound in (low, high))
        case Exists():
            return False
        case _:
            return True


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
