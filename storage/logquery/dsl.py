"""A query in Elasticsearch's own terms, and how exactly those say it.

For each query there are two: one that finds no record too many, and one that misses none. Mostly
they are the same. Where they are not (a regular expression over the whole message; a phrase, where
the index keeps no places of words), the reader looks at the records between the two itself.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

from msgspec import Struct

from storage.logquery import fields
from storage.logquery.match import number_of, value_test
from storage.logquery.nodes import (
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
    Term,
    Wildcard,
)
from storage.logquery.patterns import parts
from storage.logquery.words import fold, is_letter, words

Dsl = dict[str, Any]
Values = Callable[[str], Collection[str] | None]

EVERYTHING: Final[Dsl] = {"match_all": {}}
NOTHING: Final[Dsl] = {"match_none": {}}
_HIGHEST: Final = (
    "\U0010ffff" * 8
)  # behind any value there is; ranges of flattened fields need both ends


class Asked(Struct, frozen=True):
    """A query as Elasticsearch takes it.

    Attributes:
        least: Finds no record that the query does not find.
        most: Finds every record that the query finds.
    """

    least: Dsl
    most: Dsl

    @property
    def exact(self) -> bool:
        """Whether the index alone can tell."""
        return self.least == self.most


class Index(Struct, frozen=True):
    """What the indices can.

    Attributes:
        words: Whether each word of a message (``storage.logquery.words``) is a term.
        places: Whether terms also keep the places of words.
        values: Returns all values of a field, None if there are too many.
    """

    words: bool
    places: bool
    values: Values


def to_dsl(node: Node, index: Index) -> Asked:
    """Return a query in Elasticsearch's terms."""
    match node:
        case All():
            return _exactly(EVERYTHING)
        case And(children):
            both = [to_dsl(child, index) for child in children]
            return Asked(_all([one.least for one in both]), _all([one.most for one in both]))
        case Or(children):
            some = [to_dsl(child, index) for child in children]
            return Asked(_any([one.least for one in some]), _any([one.most for one in some]))
        case Not(child):
            inner = to_dsl(child, index)
            return Asked(_not(inner.most), _not(inner.least))
        case _:
            return _message(node, index) if node.field == MESSAGE else _field(node, index)


def without(most: Dsl, least: Dsl) -> Dsl:
    """Return what finds the records that only the wider of the two finds."""
    return {"bool": {"filter": [most], "must_not": [least]}}


def _exactly(query: Dsl) -> Asked:
    return Asked(query, query)


def _all(queries: list[Dsl]) -> Dsl:
    if NOTHING in queries:
        return NOTHING
    wanted = [query for query in queries if query != EVERYTHING]
    if not wanted:
        return EVERYTHING
    return wanted[0] if len(wanted) == 1 else {"bool": {"filter": wanted}}


def _any(queries: list[Dsl]) -> Dsl:
    if EVERYTHING in queries:
        return EVERYTHING
    wanted = [query for query in queries if query != NOTHING]
    if not wanted:
        return NOTHING
    if len(wanted) == 1:
        return wanted[0]
    return {"bool": {"should": wanted, "minimum_should_match": 1}}


def _not(query: Dsl) -> Dsl:
    if query == EVERYTHING:
        return NOTHING
    return EVERYTHING if query == NOTHING else {"bool": {"must_not": [query]}}


def _message(node: Leaf, index: Index) -> Asked:
    match node:
        case Exists():
            return _exactly(EVERYTHING)
        case Term(_, value) | Phrase(_, value):
            found = [fold(word) for word in words(value)]
            if not found:
                return Asked(NOTHING, EVERYTHING)
            if not index.words:
                return Asked(NOTHING, _all([_inside_term(word) for word in found]))
            every = _all([{"term": {MESSAGE: word}} for word in found])
            if len(found) == 1:
                return _exactly(every)
            if index.places:
                return _exactly({"match_phrase": {MESSAGE: value}})
            return Asked(NOTHING, every)
        case Wildcard(_, pattern):
            return _word_wildcard(pattern, index)
        case _:
            return Asked(NOTHING, EVERYTHING)


def _inside_term(word: str) -> Dsl:
    """Return what finds the terms with a word in it, however messages are cut; all records if that cannot be said."""
    if not all(is_letter(char) for char in word) or not word.isascii():
        return EVERYTHING
    return {"wildcard": {MESSAGE: {"value": f"*{word}*"}}}


def _word_wildcard(pattern: str, index: Index) -> Asked:
    pieces = parts(pattern)
    letters = [escaped or plain for escaped, wild, plain in pieces if not wild]
    if not index.words or not all(map(is_letter, letters)):
        return Asked(NOTHING, EVERYTHING)
    folded = "".join(wild or fold(escaped or plain) for escaped, wild, plain in pieces)
    query: Dsl = {"wildcard": {MESSAGE: {"value": folded}}}
    # without a letter it could be a word of another kind, which no wildcard stands for
    return _exactly(query) if letters else Asked(NOTHING, query)


def _field(node: Leaf, index: Index) -> Asked:
    field = node.field
    if field == TIMESTAMP:
        return _exactly(_moment(node))
    if field in fields.NUMBERS:
        return _exactly(_number(node))
    own = field.startswith(OWN_FIELDS)
    match node:
        case Term(_, value) | Phrase(_, value):
            return _exactly({"term": {field: value}})
        case Exists():
            last = {"lte": _HIGHEST} if own else {}
            return _exactly({"range": {field: {"gt": "", **last}}})
        case Wildcard(_, pattern) if not own:
            return _exactly({"wildcard": {field: {"value": pattern}}})
        case Range(_, low, high) if not any(_is_number(bound) for bound in (low, high)):
            return _exactly({"range": {field: _bounds(node, own=own)}})
        case _:
            return _by_value(node, index)


def _by_value(node: Leaf, index: Index) -> Asked:
    """Return a query by the values that there are and that pass: for what Elasticsearch understands otherwise, or not."""
    there = index.values(node.field)
    if there is None:
        last = {"lte": _HIGHEST} if node.field.startswith(OWN_FIELDS) else {}
        return Asked(NOTHING, {"range": {node.field: {"gte": "", **last}}})
    test = value_test(node)
    passing = sorted(value for value in there if test(value))
    return _exactly({"terms": {node.field: passing}} if passing else NOTHING)


def _bounds(node: Range, *, own: bool) -> dict[str, str]:
    bounds = {"gte": "", "lte": _HIGHEST} if own else {}
    if node.low is not None:
        bounds.pop("gte", None)
        bounds["gte" if node.include_low else "gt"] = node.low
    if node.high is not None:
        bounds.pop("lte", None)
        bounds["lte" if node.include_high else "lt"] = node.high
    return bounds


def _number(node: Leaf) -> Dsl:
    match node:
        case Term(field, value):
            return {"term": {field: int(value)}}
        case Range(field):
            bounds = {name: int(bound) for name, bound in _bounds(node, own=False).items()}
            return {"range": {field: bounds}}
        case _:
            return {"exists": {"field": node.field}}


def _moment(node: Leaf) -> Dsl:
    if not isinstance(node, Range):
        return EVERYTHING
    bounds = {}
    for name, bound in _bounds(node, own=False).items():
        at = fields.timestamp_ns(bound)
        bounds[name] = "" if at is None else fields.moment(at)
    return {"range": {TIMESTAMP: {**bounds, "format": "strict_date_optional_time_nanos"}}}


def _is_number(bound: str | None) -> bool:
    return bound is not None and number_of(bound) is not None
