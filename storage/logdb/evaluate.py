"""Which records of a row group a query finds: column by column, with the meaning of ``storage.logquery.match``.

Columns with few values (the task, the level, tags) are judged once for each value; texts by RE2 over
the column, after a look whether the words stand there at all; own fields by what ``own`` takes out.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.log import Flag
from storage.logdb.document import NUMBER_FIELDS, TEXT_FIELDS, level_name, tag_values
from storage.logdb.frames import Frame, Index
from storage.logdb.own import own_values
from storage.logdb.table import DICTIONARIES, column_bytes
from storage.logquery import match
from storage.logquery.fields import timestamp_ns
from storage.logquery.nodes import (
    LEVEL,
    MESSAGE,
    OWN_FIELDS,
    TIMESTAMP,
    All,
    And,
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
from storage.logquery.patterns import message_pattern, required_literals

Mask = npt.NDArray[np.bool_]
Texts = tuple[str, ...]

_NAMES: Final = [level_name(code) for code in range(256)]
_LEVELS: Final[list[Texts]] = [(name,) if name else () for name in _NAMES]
_FLAGS: Final[list[Texts]] = [
    tuple(f.name.lower() for f in Flag if code & f) for code in range(256)
]
_AS_IT_IS = re.compile(r"[\w .:@=+-]+", re.ASCII)  # JSON has no other way to write these


def columns_of(node: Node) -> set[str]:
    """Return the columns that a query looks at."""
    return {column_of(field) for field in match.asked_fields(node)}


def evaluate(node: Node, frame: Frame, index: Index) -> Mask:
    """Return which of some records, named by their place in the row group, a query finds.

    Raises:
        UnreadableError: If a column cannot be read.
    """
    match node:
        case All():
            return np.ones(len(index), dtype=np.bool_)
        case And(children):
            found = np.ones(len(index), dtype=np.bool_)
            for child in sorted(children, key=_cost):
                left = np.flatnonzero(found)
                if not len(left):
                    break
                found[left] = evaluate(child, frame, index[left])
            return found
        case Or(children):
            found = np.zeros(len(index), dtype=np.bool_)
            for child in sorted(children, key=_cost):
                left = np.flatnonzero(~found)
                if not len(left):
                    break
                found[left] = evaluate(child, frame, index[left])
            return found
        case Not(child):
            return ~evaluate(child, frame, index)
        case _:
            return _leaf(node, frame, index)


def values_of(field: str, frame: Frame, index: Index) -> tuple[list[Texts], Index]:
    """Return some lists of values, and for each record which of the lists is its own.

    Args:
        field: Full name.
        frame: The row group.
        index: The records, by their place in it.

    Raises:
        UnreadableError: If a column cannot be read.
    """
    column = column_of(field)
    if column in frame.constants:
        return [_constant(field, column, frame.constants[column])], np.zeros(len(index), np.intp)
    if field == LEVEL:
        return _LEVELS, frame.numbers(column)[index].astype(np.intp)
    if field == "log.flags":
        return _FLAGS, frame.numbers(column)[index].astype(np.intp)
    if field.startswith(OWN_FIELDS):
        return _own(field, frame, index)
    if column in DICTIONARIES:
        array = frame.array(column)
        texts = array.dictionary.to_pylist()
        if column == "tags":
            return [tag_values(text, field) for text in texts], _codes(array)[index]
        return _one_each(texts), _codes(array)[index]
    if field in NUMBER_FIELDS:
        numbers, which = np.unique(frame.numbers(column)[index], return_inverse=True)
        absent = 0 if column == "run" else None
        return [() if n == absent else (str(n),) for n in numbers.tolist()], which
    coded = frame.array(column).take(_arrow(index)).dictionary_encode()
    return _one_each(coded.dictionary.to_pylist()), _codes(coded)


def _constant(field: str, column: str, value: str | int) -> Texts:
    if column == "tags":
        return tag_values(str(value), field)
    if column == "flags":
        return _FLAGS[int(value)]
    return (str(value),) if value else ()


def _leaf(node: Leaf, frame: Frame, index: Index) -> Mask:
    field = node.field
    if field == MESSAGE:
        return _message(node, frame, index)
    if field == TIMESTAMP and isinstance(node, Range):
        return _between(node, frame.numbers("ts_ns")[index], lambda bound: timestamp_ns(bound) or 0)
    if field == "log.offset":
        return _offset(node, frame.numbers("offset")[index])
    if field == LEVEL and column_of(field) not in frame.constants:
        which: Index = frame.numbers(column_of(field))[index]
        return _of_levels(node)[which]
    test = match.value_test(node)
    if field.startswith(OWN_FIELDS) and isinstance(node, Term):
        mask = np.zeros(len(index), dtype=np.bool_)
        rows = _standing(node, frame)
        left = np.arange(len(index)) if rows is None else np.flatnonzero(np.isin(index, rows))
        lists, which = values_of(field, frame, index[left])
        mask[left] = _judged(lists, test)[which]
        return mask
    lists, which = values_of(field, frame, index)
    return _judged(lists, test)[which]


@lru_cache(maxsize=64)
def _of_levels(node: Leaf) -> Mask:
    """Return which of all levels a query finds: asked of each row group, and always the same."""
    return _judged(_LEVELS, match.value_test(node))


def _judged(lists: Sequence[Texts], test: Callable[[str], bool]) -> Mask:
    return np.array([any(map(test, texts)) for texts in lists], dtype=np.bool_)


def _offset(node: Leaf, offsets: npt.NDArray[np.int64]) -> Mask:
    if isinstance(node, Range):
        return _between(node, offsets, int)
    if isinstance(node, Term):
        return np.asarray(offsets == int(node.value))
    return np.ones(len(offsets), dtype=np.bool_)


def _between(node: Range, numbers: npt.NDArray[np.int64], bound: Callable[[str], int]) -> Mask:
    found = np.ones(len(numbers), dtype=np.bool_)
    if node.low is not None:
        low = bound(node.low)
        found &= numbers >= low if node.include_low else numbers > low
    if node.high is not None:
        high = bound(node.high)
        found &= numbers <= high if node.include_high else numbers < high
    return found


def _own(field: str, frame: Frame, index: Index) -> tuple[list[Texts], Index]:
    array = frame.array("fields").take(_arrow(index))
    present = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
    data, starts = column_bytes(array)
    ends = np.append(starts[1:], len(data))
    bounds = zip(starts[present].tolist(), ends[present].tolist(), strict=True)
    lists, found = own_values([data[start:end] for start, end in bounds], field)
    which = np.zeros(len(index), dtype=np.intp)
    which[present] = found + 1
    return [(), *lists], which


def narrow(node: Node, frame: Frame, index: Index) -> Index:
    """Return those of some records that a query can find at all, by a quick look where its words stand.

    Raises:
        UnreadableError: If a column cannot be read.
    """
    if isinstance(node, And):
        for child in sorted(node.children, key=_cost):
            index = narrow(child, frame, index)
        return index
    if isinstance(node, All | Or | Not) or not len(index):
        return index
    rows = _standing(node, frame)
    return index if rows is None else index[np.isin(index, rows)]


def _standing(node: Leaf, frame: Frame) -> Index | None:
    if node.field == MESSAGE and (literals := required_literals(node)):
        return frame.rows_with(literals)
    own = node.field.startswith(OWN_FIELDS)
    if own and isinstance(node, Term) and _AS_IT_IS.fullmatch(node.value):
        return frame.rows_with([node.value], caseless=False)
    return None


def _message(node: Leaf, frame: Frame, index: Index) -> Mask:
    if not isinstance(node, Term | Phrase | Wildcard | Regex):
        return np.asarray(frame.lengths(MESSAGE)[index] > 0)
    rows = _standing(node, frame)
    if rows is None:
        return _fits(node, frame, index)
    found = np.isin(index, rows)
    left = np.flatnonzero(found)
    found[left] = _fits(node, frame, index[left])
    return found


def _fits(node: Term | Phrase | Wildcard | Regex, frame: Frame, index: Index) -> Mask:
    import pyarrow.compute as pc

    texts = frame.array(MESSAGE)
    if not len(index):
        return np.zeros(0, dtype=np.bool_)
    if len(index) < len(texts):
        texts = texts.take(_arrow(index))
    found: Mask = pc.match_substring_regex(texts, message_pattern(node)).to_numpy(zero_copy_only=False)  # fmt: skip
    return found


def _one_each(texts: Sequence[str]) -> list[Texts]:
    return [(text,) if text else () for text in texts]


def _codes(array: Any) -> Index:
    codes: Index = array.indices.to_numpy().astype(np.intp)
    return codes


def _arrow(index: Index) -> Any:
    import pyarrow as pa

    return pa.array(index)


def column_of(field: str) -> str:
    """Return the column that a field is in."""
    if field in TEXT_FIELDS:
        return TEXT_FIELDS[field]
    if field in NUMBER_FIELDS:
        return NUMBER_FIELDS[field]
    if field.startswith(OWN_FIELDS):
        return "fields"
    known = {MESSAGE: "message", LEVEL: "level", TIMESTAMP: "ts_ns", "log.flags": "flags"}
    return known.get(field, "tags")


def _cost(node: Node) -> int:
    """Return about how long a part of a query takes; what is quick goes first and leaves less for the rest."""
    match node:
        case All():
            return 0
        case And(children) | Or(children):
            return max(map(_cost, children))
        case Not(child):
            return _cost(child)
        case Regex(field) if field == MESSAGE:
            return 4
        case _:
            if node.field == MESSAGE:
                return 3
            return 5 if node.field.startswith(OWN_FIELDS) else 0
