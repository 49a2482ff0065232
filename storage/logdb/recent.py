"""Searching the part of the store that is still in memory.

Most of a query is decided once for all batches of a task; what is left is asked of each record,
newest first, until there are enough.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model.identity import ecs_fields
from model.log import Flag, LogBatch
from storage.interface import LogRecord
from storage.logdb.chunk import Chunk, slice_text
from storage.logdb.document import level_name, own_texts, row_of, to_record
from storage.logquery import match
from storage.logquery.nodes import LEVEL, MESSAGE, OWN_FIELDS, TIMESTAMP, All, Node
from storage.logquery.patterns import required_words

Key = tuple[int, int, int]  # (ts_ns, source, offset): the order of a search
Index = npt.NDArray[np.intp]

_VARYING: Final = frozenset({MESSAGE, LEVEL, TIMESTAMP, "log.offset", "trace.id", "log.flags"})
_FLAGS: Final = tuple((flag.name.lower(), int(flag)) for flag in Flag)


class Window(Struct, frozen=True):
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


class Spot(Struct, frozen=True):
    """Where a record stands in memory."""

    chunk: Chunk
    index: int

    def record(self) -> LogRecord:
        """Return the record."""
        return to_record(row_of(self.chunk, self.index))


class Finder:
    """One query, asked of many chunks. What it finds out about a task it remembers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[object, _Question] = {}

    def search(
        self, chunks: Sequence[Chunk], window: Window, limit: int
    ) -> list[tuple[Key, "Spot"]]:
        """Return the first ``limit`` records found, in the order of the window."""
        sign = 1 if window.ascending else -1
        near = [c for c in chunks if _overlaps(c, window)]
        near.sort(key=lambda c: c.min_ts_ns if window.ascending else -c.max_ts_ns)
        found: list[tuple[Key, Spot]] = []
        for chunk in near:
            nearest = chunk.min_ts_ns if window.ascending else chunk.max_ts_ns
            if len(found) >= limit and sign * nearest > sign * found[limit - 1][0][0]:
                break
            before = len(found)
            for index in islice(self.matching(chunk, window), limit):
                key = (int(chunk.batch.ts_ns[index]), chunk.source, int(chunk.batch.offsets[index]))
                found.append((key, Spot(chunk, index)))
            if len(found) > before:
                found.sort(key=lambda f: f[0], reverse=not window.ascending)
                del found[limit:]
        return found

    def matching(self, chunk: Chunk, window: Window) -> Iterator[int]:
        """Yield the indices of the records that are found, in the order of the window."""
        if not _overlaps(chunk, window):
            return
        question = self._question(chunk)
        if question.nothing or not question.may_be_in(chunk.batch):
            return
        index = _inside(chunk, window)
        if window.after is not None:
            index = _behind(chunk, index, window.after, ascending=window.ascending)
        yield from question.ask(chunk.batch, index.tolist())

    def stored_behind(self, chunk: Chunk, offset: int) -> list[LogRecord]:
        """Return the records found behind an offset, in the order they stand in their source."""
        question = self._question(chunk)
        if question.nothing or not question.may_be_in(chunk.batch):
            return []
        index = np.flatnonzero(chunk.batch.offsets > offset).tolist()
        return [to_record(row_of(chunk, i)) for i in question.ask(chunk.batch, index)]

    def facets(
        self, chunks: Sequence[Chunk], window: Window, fields: Collection[str]
    ) -> dict[str, Counter[str]]:
        """Count the values of some fields among the records found."""
        counts: dict[str, Counter[str]] = {field: Counter() for field in fields}
        own = frozenset(field for field in fields if field.startswith(OWN_FIELDS))
        for chunk in chunks:
            index = list(self.matching(chunk, window))
            if not index:
                continue
            constants = _constants(chunk.batch)
            for field in fields:
                if _is_constant(field) and field in constants:
                    counts[field][match.as_text(constants[field])] += len(index)
            varying = [field for field in fields if not _is_constant(field)]
            for i in index if varying else ():
                for field, value in _varying(chunk.batch, i, varying, own).items():
                    values = value if isinstance(value, list) else [value]
                    counts[field].update({match.as_text(v) for v in values if v not in (None, "")})
        return counts

    def _question(self, chunk: Chunk) -> "_Question":
        batch = chunk.batch
        tags = tuple(batch.tags.items())
        key = (batch.identity, batch.stream, batch.run, batch.dataset, tags)
        question = self._known.get(key)
        if question is None:
            left = match.prune(self._node, _constants(batch), _is_constant)
            question = self._known[key] = _Question(left)
        return question


class _Question:
    """What of a query has to be asked of each record of a task."""

    def __init__(self, node: Node) -> None:
        self.nothing = node == match.NOTHING
        self._all = isinstance(node, All)
        self._test = match.compile_node(node)
        self._asked = match.asked_fields(node)
        self._own = frozenset(field for field in self._asked if field.startswith(OWN_FIELDS))
        self._words = [word.encode() for word in required_words(node)]

    def may_be_in(self, batch: LogBatch) -> bool:
        """Tell whether the batch's bytes have the words that a record must have; exact for ASCII only."""
        if not self._words or not batch.buf.isascii():
            return True
        lowered = batch.buf.lower()
        return all(word in lowered for word in self._words)

    def ask(self, batch: LogBatch, indices: Iterable[int]) -> Iterator[int]:
        """Yield those of the records that are found."""
        if self._all:
            yield from indices
            return
        for i in indices:
            if self._test(_varying(batch, i, self._asked, self._own)):
                yield i


def _varying(
    batch: LogBatch, i: int, asked: Collection[str], own: Collection[str]
) -> dict[str, Any]:
    """Return those of the fields asked for that each record of a batch has for itself."""
    record: dict[str, Any] = {}
    if own and batch.fields.ends[i] > batch.fields.starts[i]:
        text = slice_text(batch.buf, batch.fields.starts, batch.fields.ends, i)
        record.update(own_texts(text, own))
    if MESSAGE in asked:
        record[MESSAGE] = slice_text(batch.buf, batch.message.starts, batch.message.ends, i)
    if LEVEL in asked and batch.levels[i]:
        record[LEVEL] = level_name(int(batch.levels[i]))
    if TIMESTAMP in asked:
        record[TIMESTAMP] = int(batch.ts_ns[i])
    if "log.offset" in asked:
        record["log.offset"] = int(batch.offsets[i])
    if "trace.id" in asked:
        record["trace.id"] = batch.trace_ids.get(i)
    if "log.flags" in asked:
        record["log.flags"] = [name for name, bit in _FLAGS if batch.flags[i] & bit]
    return record


def _constants(batch: LogBatch) -> dict[str, Any]:
    """Return what all records of the batch have in common."""
    constants: dict[str, Any] = dict(ecs_fields(batch.identity))
    own = {"taskscope.stream": batch.stream, "event.dataset": batch.dataset}
    constants |= {field: value for field, value in own.items() if value}
    if batch.run:
        constants["taskscope.task.run"] = batch.run
    return constants | batch.tags


def _is_constant(field: str) -> bool:
    return field not in _VARYING and not field.startswith(OWN_FIELDS)


def _overlaps(chunk: Chunk, window: Window) -> bool:
    return (
        chunk.min_ts_ns <= window.end_ns
        and chunk.max_ts_ns >= window.start_ns
        and chunk.seq <= window.max_seq
    )


def _inside(chunk: Chunk, window: Window) -> Index:
    """Return the records within the window's times, in its order."""
    ts_ns = chunk.batch.ts_ns
    if chunk.min_ts_ns >= window.start_ns and chunk.max_ts_ns <= window.end_ns:
        index = np.arange(len(ts_ns))
    else:
        index = np.flatnonzero((ts_ns >= window.start_ns) & (ts_ns <= window.end_ns))
    if not chunk.rising:
        index = index[np.lexsort((chunk.batch.offsets[index], ts_ns[index]))]
    return index if window.ascending else index[::-1]


def _behind(chunk: Chunk, index: Index, after: Key, *, ascending: bool) -> Index:
    ts_ns, source, offset = after
    times, offsets = chunk.batch.ts_ns[index], chunk.batch.offsets[index]
    beyond = np.greater if ascending else np.less
    if chunk.source == source:
        behind = beyond(offsets, offset)
    else:
        behind = np.full(len(index), beyond(chunk.source, source))
    return index[np.flatnonzero(beyond(times, ts_ns) | ((times == ts_ns) & behind))]
