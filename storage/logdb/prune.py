"""Which row groups a query has to read: what their ranges and token filters rule out is left alone."""

from collections.abc import Callable, Sequence

import numpy as np

from model.identity import ECS_FIELDS
from storage.logdb import tokens
from storage.logdb.read import OpenSegment
from storage.logquery.fields import timestamp_ns
from storage.logquery.nodes import (
    MESSAGE,
    OWN_FIELDS,
    TIMESTAMP,
    And,
    Node,
    Or,
    Phrase,
    Range,
    Term,
)
from storage.logquery.words import fold, words

May = Callable[[OpenSegment, int], bool]

_TASK = ECS_FIELDS["task_id"]


def may_find(node: Node) -> May:
    """Return a function that tells whether a row group can have a record that the query finds."""
    match node:
        case And(children):
            every = [may_find(child) for child in children]
            return lambda segment, number: all(may(segment, number) for may in every)
        case Or(children):
            some = [may_find(child) for child in children]
            return lambda segment, number: any(may(segment, number) for may in some)
        case Term(field, value) if field == _TASK:
            return lambda segment, number: (
                segment.groups[number].min_task <= value <= segment.groups[number].max_task
            )
        case Range(field) if field == TIMESTAMP:
            return _within(node)
        case Term(field, value) | Phrase(field, value):
            return _with_tokens(_tokens(field, value))
        case _:
            return lambda segment, number: True


def expect(node: Node, segment: OpenSegment, numbers: Sequence[int]) -> None:
    """Have the disk bring what ``may_find`` will look at of some row groups."""
    match node:
        case And(children) | Or(children):
            for child in children:
                expect(child, segment, numbers)
        case Term(field, value) | Phrase(field, value):
            if wanted := _tokens(field, value):
                segment.expect(numbers, tokens.hashes_of(wanted))
        case _:
            return


def _tokens(field: str, value: str) -> list[bytes]:
    if field == MESSAGE:
        return [token for word in words(value) for token in tokens.query_tokens(fold(word))]
    if field == "trace.id" or field.startswith(OWN_FIELDS):
        return tokens.query_tokens(value)
    return []


def _with_tokens(wanted: list[bytes]) -> May:
    if not wanted:
        return lambda segment, number: True
    hashes = np.unique(tokens.hashes_of(wanted))
    return lambda segment, number: segment.may_have(number, hashes)


def _within(node: Range) -> May:
    low = None if node.low is None else timestamp_ns(node.low)
    high = None if node.high is None else timestamp_ns(node.high)
    return lambda segment, number: (
        (low is None or segment.groups[number].max_ts_ns >= low)
        and (high is None or segment.groups[number].min_ts_ns <= high)
    )
