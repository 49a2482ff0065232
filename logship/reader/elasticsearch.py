"""Search, tail and histogram on Elasticsearch, where no embedded store is configured; see ``LogReader``."""

import base64
import binascii
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from msgspec.structs import replace

from logship.parse.timestamps import scalar
from logship.sink.elasticsearch.client import Connection, connect, explain
from model.errors import ParseError, QueryError, StorageError
from model.identity import ECS_FIELDS
from model.samples import Ints
from storage.interface import FacetValue, LogContext, LogPage, LogQuery, LogReader, LogRecord
from storage.logquery import parse, to_lucene
from storage.logquery.facets import MAX_VALUES, facet_fields

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

TAIL_LIMIT: Final = 500
TAIL_SECONDS: Final = 0.5
KEEPALIVE_SECONDS: Final = 15.0
# a record is searchable up to a refresh interval after it was read; shippers may be a bit behind
OVERLAP_NS: Final = 30_000_000_000
SEEN_MAX: Final = 50_000
_NANOS: Final = "strict_date_optional_time_nanos"
_FIRST, _LAST = 0, 2**63 - 1


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
        self._connection = connection
        self._indices = indices
        self._timeout_seconds = timeout_seconds
        self._client: Elasticsearch | None = None
        self._lock = threading.Lock()

    def search(self, query: LogQuery) -> LogPage:
        """See ``LogReader.search``."""
        order = "asc" if query.ascending else "desc"
        body: dict[str, Any] = {
            "query": _filter(query.text, _between("@timestamp", query.start_ns, query.end_ns)),
            "sort": _sort("@timestamp", order),
            "size": min(max(query.limit, 1), 10_000),
        }
        if query.cursor:
            body["search_after"] = _decode(query.cursor)
        hits = self._hits(body)
        records = tuple(map(_record, hits))
        more = len(hits) == body["size"]
        return LogPage(records, _encode(hits[-1]["sort"]) if more and hits else "")

    def tail(self, text: str, cursor: str, stop: Event) -> Iterator[LogPage]:
        """See ``LogReader.tail``."""
        parse(text)
        after = _decode(cursor) if cursor else None
        seen: deque[str] = deque(maxlen=SEEN_MAX)
        newest = _created(after) if after else self._newest()
        for hit in self._arrived(text, newest - OVERLAP_NS):
            if after is None or tuple(hit["sort"]) <= tuple(after):
                seen.append(hit["_id"])
        known = set(seen)
        said = time.monotonic()
        while not stop.is_set():
            fresh = [h for h in self._arrived(text, newest - OVERLAP_NS) if h["_id"] not in known]
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
        """See ``LogReader.histogram``; buckets are whole milliseconds wide."""
        start, end = self._extent(query) if query.start_ns <= _FIRST or query.end_ns >= _LAST else (query.start_ns, query.end_ns)  # fmt: skip
        width_ms = max(1, -(-(end - start + 1) // (buckets * 1_000_000)))
        start_ms = start // 1_000_000
        edges = (start_ms + width_ms * np.arange(buckets, dtype=np.int64)) * 1_000_000
        body = {
            "size": 0,
            "query": _filter(query.text, _between("@timestamp", start, end)),
            "aggs": {
                "time": {
                    "date_histogram": {
                        "field": "@timestamp",
                        "fixed_interval": f"{width_ms}ms",
                        "offset": f"{start_ms % width_ms}ms",
                        "min_doc_count": 1,
                    },
                    "aggs": {"level": {"terms": {"field": "log.level", "missing": "", "size": 20}}},
                }
            },
        }
        counts: dict[str, npt.NDArray[np.int64]] = {}
        answer = self._search(body)
        for bucket in answer.get("aggregations", {}).get("time", {}).get("buckets", []):
            index = min(max((int(bucket["key"]) - start_ms) // width_ms, 0), buckets - 1)
            for level in bucket["level"]["buckets"]:
                column = counts.setdefault(level["key"], np.zeros(buckets, dtype=np.int64))
                column[index] += level["doc_count"]
        return edges, counts

    def context(
        self, record_id: str, ts_ns: int, *, before: int = 20, after: int = 20
    ) -> LogContext:
        """See ``LogReader.context``."""
        one = {"bool": {"filter": [{"ids": {"values": [record_id]}}, *_between("@timestamp", ts_ns, ts_ns)]}}  # fmt: skip
        hits = self._hits({"query": one, "sort": _sort("@timestamp", "asc"), "size": 1})
        if not hits:
            raise QueryError(
                "there is no such record, or no more: it may be older than what is kept"
            )
        record = _record(hits[0])
        task = ECS_FIELDS["task_id"]
        same = {"bool": {"filter": [{"term": {task: record.document.get(task, "")}}]}}
        around = [
            [
                _record(hit)
                for hit in self._hits(
                    {
                        "query": same,
                        "sort": _sort("@timestamp", order),
                        "size": size,
                        "search_after": hits[0]["sort"],
                    }
                )
            ]
            if size > 0
            else []
            for order, size in (("desc", before), ("asc", after))
        ]
        return LogContext(tuple(around[0][::-1]), record, tuple(around[1]))

    def facets(
        self, query: LogQuery, fields: Sequence[str], limit: int = 10
    ) -> Mapping[str, tuple[FacetValue, ...]]:
        """See ``LogReader.facets``."""
        names = facet_fields(fields)
        between = _between("@timestamp", query.start_ns, query.end_ns)
        aggs = {
            name: {
                "terms": {
                    "field": field,
                    "size": limit,
                    "shard_size": MAX_VALUES,
                    "order": [{"_count": "desc"}, {"_key": "asc"}],
                }
            }
            for name, field in names.items()
        }
        answer = self._search({"size": 0, "query": _filter(query.text, between), "aggs": aggs})
        found = answer.get("aggregations", {})
        return {
            name: tuple(
                FacetValue(str(bucket["key"]), bucket["doc_count"])
                for bucket in found.get(name, {}).get("buckets", [])
                if bucket["key"] != ""
            )
            for name in names
        }

    def close(self) -> None:
        """Let go of connections; safe twice."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _arrived(self, text: str, since_ns: int) -> list[dict[str, Any]]:
        body = {
            "query": _filter(text, _between("event.created", since_ns, _LAST)),
            "sort": _sort("event.created", "desc"),
            "size": TAIL_LIMIT,
        }
        return self._hits(body)[::-1]

    def _newest(self) -> int:
        """Return when the newest record there is was read, so that a tail starts behind it."""
        hits = self._hits({"query": _filter("", []), "sort": _sort("event.created", "desc"), "size": 1})  # fmt: skip
        return _created(hits[0]["sort"]) if hits else OVERLAP_NS

    def _extent(self, query: LogQuery) -> tuple[int, int]:
        ends = []
        for ascending in (True, False):
            page = self.search(replace(query, limit=1, ascending=ascending, cursor=""))
            ends.append(page.records[0].ts_ns if page.records else 0)
        return max(ends[0], query.start_ns), min(ends[1], query.end_ns)

    def _hits(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._search(body)["hits"]["hits"]
        return found

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            with self._lock:
                if self._client is None:
                    self._client = connect(self._connection, self._timeout_seconds)
                client = self._client
            answer = client.perform_request(
                "POST",
                f"/{self._indices}/_search",
                params={"ignore_unavailable": "true", "allow_no_indices": "true"},
                headers={
                    "content-type": "application/vnd.elasticsearch+json; compatible-with=8",
                    "accept": "application/vnd.elasticsearch+json; compatible-with=8",
                },
                body=body,
            )
            return dict(answer.body)
        except Exception as error:
            raise StorageError(str(explain(error, self._connection))) from error


def _filter(text: str, ranges: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the query of Taskscope's documents that match a text in its query language.

    Raises:
        ParseError: If the text is none.
    """
    wanted = {"query_string": {"query": to_lucene(parse(text)), "analyze_wildcard": True, "default_operator": "AND"}}  # fmt: skip
    ours = {"exists": {"field": ECS_FIELDS["task_id"]}}
    return {"bool": {"filter": [ours, wanted, *ranges]}}


def _between(name: str, start_ns: int, end_ns: int) -> list[dict[str, Any]]:
    bounds = {}
    if start_ns > _FIRST:
        bounds["gte"] = _iso(start_ns)
    if end_ns < _LAST:
        bounds["lte"] = _iso(end_ns)
    return [{"range": {name: {**bounds, "format": _NANOS}}}] if bounds else []


def _iso(ns: int) -> str:
    return str(np.datetime_as_string(np.int64(ns).view("M8[ns]"), unit="ns")) + "Z"


def _sort(field: str, order: str) -> list[dict[str, Any]]:
    # within the same instant the place in the file decides, then the task
    first = {field: {"order": order, "format": _NANOS, "numeric_type": "date_nanos", "unmapped_type": "date_nanos"}}  # fmt: skip
    return [
        first,
        {"log.offset": {"order": order, "unmapped_type": "long"}},
        {ECS_FIELDS["task_id"]: {"order": order, "unmapped_type": "keyword"}},
        {"taskscope.stream": {"order": order, "unmapped_type": "keyword"}},
    ]


def _record(hit: Mapping[str, Any]) -> LogRecord:
    document: dict[str, Any] = {}
    _flatten("", hit["_source"], document)
    return LogRecord(hit["_id"], scalar(str(document.get("@timestamp", ""))), document)


def _flatten(prefix: str, value: Mapping[str, Any], into: dict[str, Any]) -> None:
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping) and inner:
            _flatten(f"{name}.", inner, into)
        else:
            into[name] = inner


def _encode(sort: list[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(sort)).decode().rstrip("=")


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
