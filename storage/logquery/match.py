"""Queries against records in memory, one at a time: the tail, and the part of a store not sealed yet."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from configfile.pattern import compile_pattern
from storage.logquery import fields
from storage.logquery.nodes import (
    MESSAGE,
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
    conjunction,
    disjunction,
)
from storage.logquery.patterns import message_pattern, value_pattern

# A record's fields by full name, as far as the query asks for them; values as in JSON.
Record = Mapping[str, Any]
Predicate = Callable[[Record], bool]

NOTHING: Final = Not(All())
NUMBER: Final = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_NUMBER = re.compile(NUMBER)
_WHOLE = re.compile(r"[-+]?[0-9]{1,4000}")


def compile_node(node: Node) -> Predicate:
    """Return a function that tells whether a record is found."""
    match node:
        case All():
            return lambda record: True
        case And(children):
            every = [compile_node(child) for child in children]
            return lambda record: all(test(record) for test in every)
        case Or(children):
            some = [compile_node(child) for child in children]
            return lambda record: any(test(record) for test in some)
        case Not(child):
            inner = compile_node(child)
            return lambda record: not inner(record)
        case Range(field, low, high) if field == TIMESTAMP:
            return _time_range(
                node, fields.timestamp_ns(low or ""), fields.timestamp_ns(high or "")
            )
        case Term() | Phrase() | Wildcard() | Regex() if node.field == MESSAGE:
            search = compile_pattern(message_pattern(node)).search
            return lambda record: search(record.get(MESSAGE, "")) is not None
        case _:
            return any_value(node.field, value_test(node))


def prune(node: Node, constants: Record, constant: Callable[[str], bool]) -> Node:
    """Decide what can be decided for a whole batch.

    Args:
        node: The query.
        constants: What all records of the batch have in common.
        constant: Tells whether a field is the same for all records (even if absent).

    Returns:
        The query that is left for each record: ``All``, ``NOTHING`` or something in between.
    """
    match node:
        case And(children):
            left = [prune(child, constants, constant) for child in children]
            return NOTHING if NOTHING in left else conjunction(*left)
        case Or(children):
            left = [prune(child, constants, constant) for child in children]
            if All() in left:
                return All()
            some = [child for child in left if child != NOTHING]
            return disjunction(*some) if some else NOTHING
        case Not(child):
            inner = prune(child, constants, constant)
            return inner.child if isinstance(inner, Not) else Not(inner)
        case All():
            return node
        case _:
            if constant(node.field):
                return All() if compile_node(node)(constants) else NOTHING
            return node


def asked_fields(node: Node) -> set[str]:
    """Return the fields that the query looks at."""
    match node:
        case All():
            return set()
        case And(children) | Or(children):
            return {field for child in children for field in asked_fields(child)}
        case Not(child):
            return asked_fields(child)
        case _:
            return {node.field}


def as_text(value: Any) -> str:
    """Return a JSON value as queries see it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def number_of(text: str) -> float | int | None:
    """Return a decimal number, None for any other text (also for ``nan`` and ``inf``); whole ones are exact."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if _WHOLE.fullmatch(text) else float(text)


def any_value(field: str, test: Callable[[str], bool]) -> Predicate:
    """Return a function that tells whether any value of a record's field passes."""

    def found(record: Record) -> bool:
        value = record.get(field)
        if isinstance(value, list):
            return any(
                test(as_text(one)) for one in value if one is not None and not isinstance(one, dict)
            )
        return value is not None and test(as_text(value))

    return found


def value_test(node: Leaf) -> Callable[[str], bool]:
    """Return a function that tells whether one value, as text, is what a leaf asks for."""
    match node:
        case Term(_, value) | Phrase(_, value):
            return lambda text: text == value
        case Wildcard() | Regex():
            search = compile_pattern(value_pattern(node)).search
            return lambda text: search(text) is not None
        case Exists():
            return bool
        case Range():
            low, high = _bound(node.low), _bound(node.high)
            return lambda text: (
                (low is None or _compare(text, low, 1, node.include_low))
                and (high is None or _compare(text, high, -1, node.include_high))
            )


def _bound(bound: str | None) -> str | float | None:
    if bound is None:
        return None
    number = number_of(bound)
    return bound if number is None else number


def _compare(text: str, bound: str | float, sign: int, inclusive: bool) -> bool:
    """Tell whether the text is beyond the bound; a numeric bound never matches what is no number."""
    if isinstance(bound, str):
        difference = (text > bound) - (text < bound)
    else:
        value = number_of(text)
        if value is None:
            return False
        difference = (value > bound) - (value < bound)
    return difference == sign or (inclusive and difference == 0)


def _time_range(node: Range, low: int | None, high: int | None) -> Predicate:
    first = -(2**63) if low is None else low + (not node.include_low)
    last = 2**63 if high is None else high - (not node.include_high)
    return lambda record: first <= record[TIMESTAMP] <= last
