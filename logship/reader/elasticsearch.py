"""Search, tail, counts and neighbours on Elasticsearch, where no embedded store is configured; see ``LogReader``.

Answers are those of the embedded store, record by record; docs/specs/logquery.md says what both do.
"""

import base64
import binascii
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from logship.parse.timestamps import scalar
from logship.reader.asking import FIRST, LAST, Hit, Indices, Question, between, place_sort
from logship.sink.elasticsearch.client import Connection
from model.errors import ParseError, QueryError
from model.identity import ECS_FIELDS
from model.samples import Ints
from storage.interface import FacetValue, LogContext, LogPage, LogQuery, LogReader, LogRecord
from storage.logquery import Node, parse
from storage.logquery.facets import MAX_VALUES, facet_fields, top_values
from storage.logquery.histogram import edges_ms
from storage.logquery.match import as_text
from storage.logquery.nodes import LEVEL, TIMESTAMP, All, Exists, Not, Term

TAIL_LIMIT: Final = 500
TAIL_SECONDS: Final = 0.5
KEEPALIVE_SECONDS: Final = 15.0
# a record is searchable up to a refresh interval after it was read; shippers may be a bit behind
OVERLAP_NS: Final = 30_000_000_000
SEEN_MAX: Final = 50_000
_CREATED: Final = "event.created"


class ElasticsearchLogReader:
    """Reads the data streams that ``ElasticsearchSink`` writes.

    Args:
        connection: How to reach Elasticsearch.
        indices: Data streams to look at, comma-separated, wildcards allowed.
        timeout_seconds: For one request.
    """

    def __init__(
        self, connection: Connection, *, indices: str = "logs-*-default", timeout_seconds: float = 30.0
    ) -> None:  # fmt: skip
        self._indices = Indices(connection, indices, timeout_seconds)

    def search(self, query: LogQuery) -> LogPage:
        """See ``LogReader.search``."""
        node = parse(query.text)
        after = _decode(query.cursor) if query.cursor else None
        question = self._question(node, query.start_ns, query.end_ns)
        sort = place_sort(TIMESTAMP, "asc" if query.ascending else "desc")
        found, more = self._indices.find(question, sort, after, max(query.limit, 1))
        return LogPage(tuple(map(_record, found)), _encode(more) if more else "")

    def tail(self, text: str, cursor: str, stop: Event) -> Iterator[LogPage]:
        """See ``LogReader.tail``."""
        node = parse(text)
        after = _decode(cursor) if cursor else None
        seen: deque[str] = deque(maxlen=SEEN_MAX)
        newest = _created(after) if after else self._newest()
        for hit in self._arrived(node, newest - OVERLAP_NS):
            if after is None or tuple(hit["sort"]) <= tuple(after):
                seen.append(hit["_id"])
        known = set(seen)
        said = time.monotonic()
        while not stop.is_set():
            fresh = [h for h in self._arrived(node, newest - OVERLAP_NS) if h["_id"] not in known]
            if fresh:
                seen.extend(hit["_id"] for hit in fresh)
                known = set(seen)
                after = fresh[-1]["sort"]
                newest = max(newest, _created(after))
            if fresh or time.monotonic() - said >= KEEPALIVE_SECONDS:
                said = time.monotonic()
                yield LogPage(tuple(map(_record, fresh)), _encode(after) if after else "")
            if len(fresh) < TAIL_LIMIT and stop.wait(TAIL_SECONDS):
                return

    def histogram(
        self, query: LogQuery, buckets: int
    ) -> tuple[Ints, Mapping[str, npt.NDArray[np.int64]]]:
        """See ``LogReader.histogram``; QueryLimitError if too much has to be looked at one by one."""
        node = parse(query.text)
        start, end = self._extent(query)
        edges, width_ms = edges_ms(start, end, buckets)
        question = self._question(node, start, end)
        time_ = {
            "field": TIMESTAMP,
            "fixed_interval": f"{width_ms}ms",
            "offset": f"{int(edges[0]) % width_ms}ms",
            "min_doc_count": 1,
        }
        level = {"terms": {"field": LEVEL, "missing": "", "size": 20}}
        aggs = {"time": {"date_histogram": time_, "aggs": {"level": level}}}
        answer = self._indices.search(question.body(question.asked.least, size=0, aggs=aggs))
        counts: dict[str, npt.NDArray[np.int64]] = {}

        def count(at_ms: int, name: str, records: int) -> None:
            column = counts.setdefault(name, np.zeros(buckets, dtype=np.int64))
            column[min(max((at_ms - int(edges[0])) // width_ms, 0), buckets - 1)] += records

        for bucket in answer.get("aggregations", {}).get("time", {}).get("buckets", []):
            for one in bucket["level"]["buckets"]:
                count(int(bucket["key"]), one["key"], one["doc_count"])
        for hit in self._indices.doubtful(question, [LEVEL]):
            (name,) = hit.get("fields", {}).get(LEVEL, [""])
            count(scalar(str(hit["sort"][0])) // 1_000_000, name, 1)
        return edges * 1_000_000, counts

    def context(
        self, record_id: str, ts_ns: int, *, before: int = 20, after: int = 20
    ) -> LogContext:
        """See ``LogReader.context``."""
        at = self._question(All(), ts_ns, ts_ns)
        sort = place_sort(TIMESTAMP, "asc")
        body = at.body({"ids": {"values": [record_id]}}, sort=sort, size=1)
        hits = self._indices.search(body)["hits"]["hits"]
        if not hits:
            raise QueryError(
                "there is no such record, or no more: it may be older than what is kept"
            )
        record = _record(hits[0])
        task = ECS_FIELDS["task_id"]
        same = Term(task, record.document[task]) if task in record.document else Not(Exists(task))
        question = self._question(same, FIRST, LAST)
        older, newer = (
            self._indices.find(question, place_sort(TIMESTAMP, order), hits[0]["sort"], size)[0]
            if size > 0
            else []
            for order, size in (("desc", before), ("asc", after))
        )
        return LogContext(tuple(map(_record, older[::-1])), record, tuple(map(_record, newer)))

    def facets(
        self, query: LogQuery, fields: Sequence[str], limit: int = 10
    ) -> Mapping[str, tuple[FacetValue, ...]]:
        """See ``LogReader.facets``; QueryLimitError if too much has to be looked at one by one."""
        node = parse(query.text)
        names = facet_fields(fields)
        wanted = sorted(set(names.values()))
        question = self._question(node, query.start_ns, query.end_ns, wanted)
        order = [{"_count": "desc"}, {"_key": "asc"}]
        size = MAX_VALUES if not question.asked.exact else limit + 1  # one may be the empty value
        aggs = {
            field: {
                "terms": {"field": field, "size": size, "shard_size": MAX_VALUES, "order": order}
            }
            for field in wanted
        }
        answer = self._indices.search(question.body(question.asked.least, size=0, aggs=aggs))
        counts: dict[str, Counter[str]] = {field: Counter() for field in wanted}
        for field, found in answer.get("aggregations", {}).items():
            for bucket in found["buckets"]:
                counts[field][as_text(bucket["key"])] += bucket["doc_count"]
        for hit in self._indices.doubtful(question, wanted):
            for field in wanted:
                counts[field].update({as_text(one) for one in hit.get("fields", {}).get(field, [])})
        for counter in counts.values():
            counter.pop("", None)
        return {name: top_values(counts[field], limit) for name, field in names.items()}

    def close(self) -> None:
        """Let go of connections; safe twice."""
        self._indices.close()

    def _question(
        self, node: Node, start_ns: int, end_ns: int, also: Sequence[str] = ()
    ) -> Question:
        return self._indices.question(node, between(TIMESTAMP, start_ns, end_ns), also)

    def _arrived(self, node: Node, since_ns: int) -> list[Hit]:
        question = self._indices.question(node, between(_CREATED, since_ns, LAST))
        return self._indices.find(question, place_sort(_CREATED, "desc"), None, TAIL_LIMIT)[0][::-1]

    def _newest(self) -> int:
        """Return when the newest record there is was read, so that a tail starts behind it."""
        question = self._indices.question(All(), [])
        hits, _ = self._indices.find(question, place_sort(_CREATED, "desc"), None, 1)
        return _created(hits[0]["sort"]) if hits else OVERLAP_NS

    def _extent(self, query: LogQuery) -> tuple[int, int]:
        """Return the range of times; an open end is the time of the first or last record there is."""
        start, end = query.start_ns, query.end_ns
        question = self._question(All(), start, end)
        if start <= FIRST:
            hits, _ = self._indices.find(question, place_sort(TIMESTAMP, "asc"), None, 1)
            start = scalar(str(hits[0]["sort"][0])) if hits else 0
        if end >= LAST:
            hits, _ = self._indices.find(question, place_sort(TIMESTAMP, "desc"), None, 1)
            end = scalar(str(hits[0]["sort"][0])) if hits else start
        return start, max(start, end)


def _record(hit: Hit) -> LogRecord:
    document: dict[str, Any] = {}
    _flatten("", hit["_source"], document)
    return LogRecord(hit["_id"], scalar(str(document.get(TIMESTAMP, ""))), document)


def _flatten(prefix: str, value: Mapping[str, Any], into: dict[str, Any]) -> None:
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping):
            _flatten(f"{name}.", inner, into)
        elif inner is not None:
            into[name] = inner


def _encode(sort: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(sort))).decode().rstrip("=")


def _decode(cursor: str) -> list[Any]:
    try:
        sort = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise ParseError(f"the cursor {cursor!r} is none of ours") from error
    if not isinstance(sort, list) or len(sort) != 4:
        raise ParseError(f"the cursor {cursor!r} is none of ours")
    return sort


def _created(sort: list[Any]) -> int:
    return scalar(str(sort[0]))


if TYPE_CHECKING:
    _: type[LogReader] = ElasticsearchLogReader
