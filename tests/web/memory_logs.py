"""Log records in a list: slow, obvious, with Taskscope's own query language."""

import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import QueryError
from model.identity import ecs_fields
from model.samples import Ints
from model.task import TaskIdentity
from storage.interface import FacetValue, LogContext, LogPage, LogQuery, LogRecord
from storage.logquery import field_name, parse
from storage.logquery.nodes import All, And, Exists, Node, Not, Or, Phrase, Term, Wildcard


class MemoryLogs:
    """See ``storage.interface.LogReader``; ``put`` stores one record."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.open_tails = 0
        self._changed = threading.Condition()
        self._ids = itertools.count(1)

    def put(
        self,
        identity: TaskIdentity,
        ts_ns: int,
        message: str,
        level: str = "",
        **fields: Any,
    ) -> LogRecord:
        document: dict[str, Any] = {**ecs_fields(identity), "message": message}
        document["taskscope.stream"] = fields.pop("stream", "stdout")
        if level:
            document["log.level"] = level
        if fields:
            document["fields"] = fields
        record = LogRecord(f"doc-{next(self._ids):08d}", ts_ns, document)
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()
        return record

    def search(self, query: LogQuery) -> LogPage:
        node = parse(query.text)
        found = [
            record
            for record in self.records
            if query.start_ns <= record.ts_ns <= query.end_ns and _matches(node, record.document)
        ]
        found.sort(key=lambda r: (r.ts_ns, r.id), reverse=not query.ascending)
        skip = int(query.cursor or 0)
        page = found[skip : skip + query.limit]
        more = skip + query.limit < len(found)
        return LogPage(tuple(page), str(skip + len(page)) if more else "")

    def tail(self, text: str, cursor: str, stop: threading.Event) -> Iterator[LogPage]:
        node = parse(text)
        at = int(cursor) if cursor else len(self.records)
        return self._tail(node, at, stop)

    def _tail(self, node: Node, at: int, stop: threading.Event) -> Iterator[LogPage]:
        self.open_tails += 1
        try:
            while not stop.is_set():
                with self._changed:
                    if len(self.records) == at:
                        self._changed.wait(0.1)
                fresh = self.records[at:]
                at += len(fresh)
                found = tuple(r for r in fresh if _matches(node, r.document))
                if found:
                    yield LogPage(found, str(at))
        finally:
            self.open_tails -= 1

    def histogram(
        self, query: LogQuery, buckets: int
    ) -> tuple[Ints, Mapping[str, npt.NDArray[np.int64]]]:
        edges = np.linspace(query.start_ns, query.end_ns, buckets, endpoint=False).astype(np.int64)
        counts: dict[str, npt.NDArray[np.int64]] = {}
        node = parse(query.text)
        for record in self.records:
            inside = query.start_ns <= record.ts_ns <= query.end_ns
            if inside and _matches(node, record.document):
                level = record.document.get("log.level", "")
                bucket = int(np.searchsorted(edges, record.ts_ns, side="right")) - 1
                counts.setdefault(level, np.zeros(buckets, dtype=np.int64))[bucket] += 1
        return edges, counts

    def context(
        self, record_id: str, ts_ns: int, *, before: int = 20, after: int = 20
    ) -> LogContext:
        record = next((r for r in self.records if (r.id, r.ts_ns) == (record_id, ts_ns)), None)
        if record is None:
            raise QueryError("there is no such record")
        task = record.document.get("taskscope.task.id")
        same = [r for r in self.records if r.document.get("taskscope.task.id") == task]
        same.sort(key=lambda r: (r.ts_ns, r.id))
        at = same.index(record)
        return LogContext(
            tuple(same[max(0, at - before) : at]), record, tuple(same[at + 1 : at + 1 + after])
        )

    def facets(
        self, query: LogQuery, fields: Sequence[str], limit: int = 10
    ) -> Mapping[str, tuple[FacetValue, ...]]:
        node = parse(query.text)
        found = [
            record.document
            for record in self.records
            if query.start_ns <= record.ts_ns <= query.end_ns and _matches(node, record.document)
        ]
        facets = {}
        for name in fields:
            full = field_name(name)
            counts = Counter(str(d[full]) for d in found if full in d)
            top = sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:limit]
            facets[name] = tuple(FacetValue(value, count) for value, count in top)
        return facets


def _matches(node: Node, document: Mapping[str, Any]) -> bool:
    if isinstance(node, All):
        return True
    if isinstance(node, And):
        return all(_matches(child, document) for child in node.children)
    if isinstance(node, Or):
        return any(_matches(child, document) for child in node.children)
    if isinstance(node, Not):
        return not _matches(node.child, document)
    if isinstance(node, Exists):
        return node.field in document
    if not isinstance(node, Term | Phrase | Wildcard):
        raise NotImplementedError(type(node).__name__)
    value = str(document.get(node.field, ""))
    if isinstance(node, Wildcard):
        pattern = re.escape(node.pattern).replace(r"\*", ".*").replace(r"\?", ".")
        return re.search(rf"\b{pattern}\b", value, re.IGNORECASE) is not None
    if node.field != "message":
        return value == node.value
    return re.search(rf"\b{re.escape(node.value)}\b", value, re.IGNORECASE) is not None
