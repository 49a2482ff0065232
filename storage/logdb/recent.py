"""Searching the part of the store that is still in memory.

Most of a query is decided once per batch, whose records share their task; what is left is asked of
each record, newest first, until there are enough.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.identity import ecs_fields
from model.log import Flag
from storage.interface import LogRecord
from storage.logdb.chunk import Chunk, slice_text
from storage.logdb.document import level_name, own_fields, row_of, to_record
from storage.logquery import match
from storage.logquery.nodes import LEVEL, MESSAGE, OWN_FIELDS, TIMESTAMP, All, Node
from storage.logquery.patterns import required_words

Key = tuple[int, int, int]  # (ts_ns, source, offset): the order of a search
Index = npt.NDArray[np.intp]

_VARYING: Final = frozenset({MESSAGE, LEVEL, TIMESTAMP, "log.offset", "trace.id", "log.flags"})


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the records is asked for, and in which order.

    Attributes:
        start_ns: First time.
        end_ns: Last time.
        ascending: Oldest first.
        after: Key of the last record already seen, None for none.
        max_seq: Last batch looked at.
    """

    start_ns: int
    end_ns: int
    ascending: bool = False
    after: Key | None = None
    max_seq: int = 2**63 - 1


def search(
    chunks: Sequence[Chunk], node: Node, window: Window, limit: int
) -> list[tuple[Key, LogRecord]]:
    """Return the first ``limit`` records found, in the order of the window."""
    sign = 1 if window.ascending else -1
    spans = [(int(c.batch.ts_ns.min()), int(c.batch.ts_ns.max()), c) for c in chunks]
    spans.sort(key=lambda s: s[0] if window.ascending else -s[1])
    found: list[tuple[Key, Chunk, int]] = []
    for low, high, chunk in spans:
        nearest = low if window.ascending else high
        if len(found) >= limit and sign * nearest > sign * found[limit - 1][0][0]:
            break
        if low > window.end_ns or high < window.start_ns or chunk.seq > window.max_seq:
            continue
        for index in islice(matching(chunk, node, window), limit):
            key = (int(chunk.batch.ts_ns[index]), chunk.source, int(chunk.batch.offsets[index]))
            found.append((key, chunk, index))
        found.sort(key=lambda f: f[0], reverse=not window.ascending)
        del found[limit:]
    return [(key, to_record(row_of(chunk, index))) for key, chunk, index in found]


def matching(chunk: Chunk, node: Node, window: Window) -> Iterator[int]:
    """Yield the indices of the records that are found, in the order of the window."""
    batch = chunk.batch
    left = leftover(chunk, node)
    if left == match.NOTHING:
        return
    inside = (batch.ts_ns >= window.start_ns) & (batch.ts_ns <= window.end_ns)
    index = np.flatnonzero(inside)
    order = np.lexsort((batch.offsets[index], batch.ts_ns[index]))
    index = index[order if window.ascending else order[::-1]]
    if window.after is not None:
        index = _behind(chunk, index, window.after, ascending=window.ascending)
    if isinstance(left, All):
        yield from index.tolist()
        return
    yield from _each(chunk, left, index)


def leftover(chunk: Chunk, node: Node) -> Node:
    """Return what of the query has to be asked of each record of the chunk."""
    batch = chunk.batch
    constants: dict[str, Any] = ecs_fields(batch.identity)
    own = {"taskscope.stream": batch.stream, "event.dataset": batch.dataset}
    constants |= {field: value for field, value in own.items() if value}
    if batch.run:
        constants["taskscope.task.run"] = batch.run
    constants |= batch.tags
    left = match.prune(node, constants, _is_constant)
    if left == match.NOTHING or not batch.buf.isascii():
        return left
    words = [word.encode() for word in required_words(left)]
    if words:
        lowered = batch.buf.lower()
        if not all(word in lowered for word in words):
            return match.NOTHING
    return left


def _is_constant(field: str) -> bool:
    return field not in _VARYING and not field.startswith(OWN_FIELDS)


def _each(chunk: Chunk, node: Node, index: Index) -> Iterator[int]:
    batch = chunk.batch
    test = match.compile_node(node)
    asked = match.asked_fields(node)
    wants_own = any(field.startswith(OWN_FIELDS) for field in asked)
    for i in index.tolist():
        record: dict[str, Any] = {}
        if wants_own and batch.fields.ends[i] > batch.fields.starts[i]:
            record = own_fields(batch.buf[batch.fields.starts[i] : batch.fields.ends[i]])
        if MESSAGE in asked:
            record[MESSAGE] = slice_text(batch.buf, batch.message.starts, batch.message.ends, i)
        if LEVEL in asked:
            record[LEVEL] = level_name(int(batch.levels[i]))
        if TIMESTAMP in asked:
            record[TIMESTAMP] = int(batch.ts_ns[i])
        if "log.offset" in asked:
            record["log.offset"] = int(batch.offsets[i])
        if "trace.id" in asked:
            record["trace.id"] = batch.trace_ids.get(i)
        if "log.flags" in asked:
            record["log.flags"] = [f.name.lower() for f in Flag if batch.flags[i] & f]
        if test(record):
            yield i


def _behind(chunk: Chunk, index: Index, after: Key, *, ascending: bool) -> Index:
    ts_ns, source, offset = after
    times, offsets = chunk.batch.ts_ns[index], chunk.batch.offsets[index]
    if ascending:
        tie = (offsets > offset) | (chunk.source > source)
        if chunk.source < source:
            tie &= False
        behind = (times > ts_ns) | ((times == ts_ns) & tie)
    else:
        tie = (offsets < offset) | (chunk.source < source)
        if chunk.source > source:
            tie &= False
        behind = (times < ts_ns) | ((times == ts_ns) & tie)
    return index[np.flatnonzero(behind)]


def stored_behind(chunk: Chunk, node: Node, offset: int) -> list[LogRecord]:
    """Return the records found behind an offset, in the order they stand in their source."""
    left = leftover(chunk, node)
    index = np.flatnonzero(chunk.batch.offsets > offset)
    if left == match.NOTHING:
        return []
    chosen = index.tolist() if isinstance(left, All) else _each(chunk, left, index)
    return [to_record(row_of(chunk, i)) for i in chosen]
