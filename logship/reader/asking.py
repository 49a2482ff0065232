"""Asking Elasticsearch for records: the query in its terms, and what of it only we can tell."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from logship.parse.timestamps import scalar
from logship.sink.elasticsearch.client import Connection, ask, ask_if_known, connect, explain
from logship.sink.elasticsearch.template import PROPERTIES
from logship.sink.elasticsearch.words import PARTS, WORDS, way_of
from model.errors import QueryLimitError, StorageError
from model.identity import ECS_FIELDS
from storage.logquery import Node
from storage.logquery.dsl import Asked, Dsl, Index, to_dsl, without
from storage.logquery.facets import MAX_VALUES
from storage.logquery.fields import NUMBERS, moment
from storage.logquery.match import asked_fields, compile_node
from storage.logquery.nodes import MESSAGE, OWN_FIELDS, TIMESTAMP

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

Hit = Mapping[str, Any]

NANOS: Final = "strict_date_optional_time_nanos"
SOURCE: Final = "taskscope.source"
_WAY_SECONDS: Final = 60.0  # a rollover may bring an index with words of another kind
_PAGE: Final = 1000  # records looked at in one request
_MOST_READ: Final = 10_000  # what Elasticsearch gives at once
_MOST_LOOKED_AT: Final = 100_000  # for one page of a search, which goes on behind them
_MOST_COUNTED: Final = 300_000
_MAPPED: Final = frozenset(name for name, kind in PROPERTIES.items() if kind["type"] == "keyword")
FIRST: Final = 0
LAST: Final = 2**63 - 1


class Question(Struct, frozen=True):
    """A query over some records.

    Attributes:
        asked: In Elasticsearch's terms.
        check: Tells whether a record is found indeed; None where the index can tell.
        fields: Fields that ``check`` looks at, but for message and time.
        filters: What else a record has to be.
        runtime: Fields that have no mapping.
    """

    asked: Asked
    check: Callable[[Mapping[str, Any]], bool] | None
    fields: tuple[str, ...]
    filters: tuple[Dsl, ...]
    runtime: Dsl

    def body(self, query: Dsl, **more: Any) -> Dsl:
        """Return a search for what a query finds among the records in question."""
        body = {"query": {"bool": {"filter": [*self.filters, query]}}, **more}
        return {**body, "runtime_mappings": self.runtime} if self.runtime else body


class Indices:
    """The data streams to look at.

    Args:
        connection: How to reach Elasticsearch.
        names: Data streams, comma-separated, wildcards allowed.
        timeout_seconds: For one request.
    """

    def __init__(self, connection: Connection, names: str, timeout_seconds: float) -> None:
        self._connection = connection
        self._names = names
        self._timeout_seconds = timeout_seconds
        self._client: Elasticsearch | None = None
        self._lock = threading.Lock()
        self._way = ""
        self._way_until = 0.0

    def question(self, node: Node, filters: Sequence[Dsl], also: Sequence[str] = ()) -> Question:
        """Return a query in Elasticsearch's terms; ``also`` are further fields that will be asked for.

        Raises:
            StorageError: If Elasticsearch cannot be asked what values there are.
        """
        asked = asked_fields(node)
        unmapped = {name for name in {*asked, *also} if not _is_mapped(name)}
        runtime = {name: {"type": "keyword"} for name in sorted(unmapped)}
        filters = (_OURS, *filters)
        way = self._words() if MESSAGE in asked else WORDS
        within = Question(_ANYTHING, None, (), filters, runtime)
        index = Index(
            way in (WORDS, PARTS), way == WORDS, lambda field: self._values(within, field)
        )
        wanted = to_dsl(node, index)
        certain = wanted.exact and way == WORDS
        fields = tuple(sorted(asked - {MESSAGE, TIMESTAMP}))
        return Question(wanted, None if certain else compile_node(node), fields, filters, runtime)

    def find(
        self, question: Question, sort: Sequence[Dsl], after: Sequence[Any] | None, limit: int
    ) -> tuple[list[Hit], Sequence[Any] | None]:
        """Return records in an order, and the place to go on behind, None if there are no more.

        Raises:
            StorageError: If Elasticsearch does not answer as it should.
        """
        found: list[Hit] = []
        looked_at = 0
        while True:
            missing = limit + 1 - len(found)
            size = min(_MOST_READ, missing if question.check is None else max(missing, _PAGE))
            body = question.body(question.asked.most, sort=sort, size=size)
            hits = self._hits(question, body, after)
            found += [hit for hit in hits if _is_found(question, hit)]
            if len(found) > limit:
                return found[:limit], found[limit - 1]["sort"]
            if len(hits) < size:
                return found, None
            looked_at += len(hits)
            after = hits[-1]["sort"]
            if looked_at >= _MOST_LOOKED_AT:
                return found, after

    def doubtful(self, question: Question, fields: Sequence[str]) -> Iterator[Hit]:
        """Yield the records that the index alone cannot tell to be found, but are, with some fields.

        Raises:
            StorageError: See ``find``.
            QueryLimitError: If there are too many to look at.
        """
        if question.asked.exact:
            return
        doubt = without(question.asked.most, question.asked.least)
        body = question.body(doubt, sort=place_sort(TIMESTAMP, "desc"), size=_PAGE, _source=[MESSAGE, TIMESTAMP])  # fmt: skip
        after: Sequence[Any] | None = None
        looked_at = 0
        while True:
            hits = self._hits(question, body, after, fields)
            yield from (hit for hit in hits if _is_found(question, hit))
            if len(hits) < _PAGE:
                return
            looked_at += len(hits)
            after = hits[-1]["sort"]
            if looked_at >= _MOST_COUNTED:
                raise QueryLimitError(
                    f"to count this, more than {_MOST_COUNTED:,} records would have to be looked at one by one; "
                    "narrow it by time, by task, or by a word that stands in each"
                )

    def search(self, body: Dsl) -> Dsl:
        """Send a search.

        Raises:
            StorageError: If Elasticsearch does not answer as it should.
        """
        params = {"ignore_unavailable": "true", "allow_no_indices": "true"}
        try:
            return dict(ask(self._connected(), "POST", f"/{self._names}/_search", body, params=params))  # fmt: skip
        except Exception as error:
            raise StorageError(str(explain(error, self._connection))) from error

    def close(self) -> None:
        """Let go of connections; safe twice."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> "Elasticsearch":
        with self._lock:
            if self._client is None:
                self._client = connect(self._connection, self._timeout_seconds)
            return self._client

    def _hits(self, question: Question, body: Dsl, after: Sequence[Any] | None, fields: Sequence[str] = ()) -> list[Hit]:  # fmt: skip
        if after is not None:
            body = {**body, "search_after": list(after)}
        wanted = {*fields, *question.fields} if question.check else {*fields}
        if wanted:
            body = {**body, "docvalue_fields": sorted(wanted)}
        hits: list[Hit] = self.search(body)["hits"]["hits"]
        return hits

    def _values(self, within: Question, field: str) -> list[str] | None:
        """Return all values that a field has among the records, None if there are too many."""
        terms = {"field": field, "size": MAX_VALUES, "execution_hint": "map"}
        answer = self.search(within.body({"match_all": {}}, size=0, aggs={"values": {"terms": terms}}))  # fmt: skip
        found = answer.get("aggregations", {}).get("values", {})
        if found.get("sum_other_doc_count", 0):
            return None
        return [str(bucket["key"]) for bucket in found.get("buckets", [])]

    def _words(self) -> str:
        """Return the worst of the ways in which the indices cut messages into words."""
        if time.monotonic() >= self._way_until:
            path = f"/{self._names}/_settings/index.uuid,index.analysis.analyzer.default.*?flat_settings=true"  # fmt: skip
            try:
                found = ask_if_known(self._connected(), "GET", path)
            except Exception as error:
                raise StorageError(str(explain(error, self._connection))) from error
            ways = {way_of(index["settings"]) for index in found.values()}
            self._way = next((way for way in ("", PARTS) if way in ways), WORDS if ways else "")
            self._way_until = time.monotonic() + _WAY_SECONDS
        return self._way


_ANYTHING: Final = Asked({"match_all": {}}, {"match_all": {}})
_OURS: Final[Dsl] = {
    "bool": {
        "should": [
            {"exists": {"field": SOURCE}},
            {"exists": {"field": ECS_FIELDS["task_id"]}},  # of earlier versions
        ],
        "minimum_should_match": 1,
    }
}


def between(field: str, start_ns: int, end_ns: int) -> list[Dsl]:
    """Return the filter for a closed range of times; none for all times."""
    bounds = {}
    if start_ns > FIRST:
        bounds["gte"] = moment(start_ns)
    if end_ns < LAST:
        bounds["lte"] = moment(end_ns)
    return [{"range": {field: {**bounds, "format": NANOS}}}] if bounds else []


def place_sort(field: str, order: str) -> list[Dsl]:
    """Return the order of records: by a time, those of the same nanosecond by file and offset."""
    first = {field: {"order": order, "format": NANOS, "numeric_type": "date_nanos", "unmapped_type": "date_nanos"}}  # fmt: skip
    return [
        first,
        {SOURCE: {"order": order, "unmapped_type": "keyword"}},
        {"log.offset": {"order": order, "unmapped_type": "long"}},
        # of documents of earlier versions, which do not say their source
        {ECS_FIELDS["task_id"]: {"order": order, "unmapped_type": "keyword"}},
    ]


def _is_mapped(field: str) -> bool:
    return field in _MAPPED or field in NUMBERS or field in (MESSAGE, TIMESTAMP) or field.startswith(OWN_FIELDS)  # fmt: skip


def _is_found(question: Question, hit: Hit) -> bool:
    if question.check is None:
        return True
    record: dict[str, Any] = dict(hit.get("fields", {}))
    record[MESSAGE] = hit["_source"].get(MESSAGE, "")
    record[TIMESTAMP] = scalar(str(hit["_source"].get(TIMESTAMP, "")))
    return question.check(record)
