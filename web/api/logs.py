"""Search, histogram, context, facets, download and live tail of log records: ``/api/logs/...``."""

from collections.abc import Iterable, Iterator
from threading import Event
from typing import Any, Final

import orjson
from flask import Blueprint, Response, request

from model.clock import now_ms
from model.errors import TaskscopeError
from storage.interface import LogPage, LogQuery, LogRecord
from storage.logquery import parse
from storage.logquery.highlight import highlights
from web.api import params
from web.api.answers import answer, need, sentence
from web.api.log_export import FORMATS, export
from web.parts import Parts
from web.tails import Tails

DEFAULT_LIMIT: Final = 200
MAX_LIMIT: Final = 5000
DEFAULT_BUCKETS: Final = 60
MAX_BUCKETS: Final = 500
DEFAULT_CONTEXT: Final = 20
MAX_CONTEXT: Final = 1000
DEFAULT_FACET_VALUES: Final = 10
MAX_FACET_VALUES: Final = 200
MAX_FACETS: Final = 10
MAX_EXPORT: Final = 1_000_000
_NS_PER_MS: Final = 1_000_000
_MAX_NS: Final = 2**63 - 1
_NO_LOGS: Final = (
    "This process keeps no logs; ask the Taskscope server that its agent sends them to."
)
_TOO_MANY: Final = "All {} log tails of this server are in use; close another page that tails logs."
_HEARTBEAT: Final = b": heartbeat\n\n"
_STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def blueprint(parts: Parts, tails: Tails) -> Blueprint:
    """Make the endpoints.

    ``search`` takes query, start, end, limit, cursor and direction (``backward``: newest first,
    the default; ``forward``); ``histogram`` takes query, start, end and buckets; ``context`` takes
    id and ts_ns of a record, before and after; ``facets`` takes query, start, end, fields
    (comma-separated) and limit; ``export`` takes query, start, end, limit and format (``ndjson`` or
    ``text``); ``tail`` takes query and cursor. Times are seconds since the epoch or RFC 3339.
    """
    routes = Blueprint("logs", __name__)

    @routes.get("/api/logs/search")
    def search() -> Response:
        query = _query(
            limit=params.asked().number("limit", DEFAULT_LIMIT, low=1, high=MAX_LIMIT),
            ascending=_ascending(),
        )
        page = need(parts.logs, _NO_LOGS).search(query)
        shown = highlights(parse(query.text))
        return answer({
            "records": _records(page.records), "cursor": page.cursor, "highlights": shown,
        })  # fmt: skip

    @routes.get("/api/logs/export")
    def download() -> Response:
        kind = params.asked().text("format", "ndjson")
        if kind not in FORMATS:
            raise params.BadParameterError(
                f'invalid parameter "format": {kind!r}; it is {" or ".join(FORMATS)}'
            )
        most = params.asked().number("limit", MAX_EXPORT, low=1, high=MAX_EXPORT)
        query = _query(end_default_ms=now_ms(parts.clock))
        return export(need(parts.logs, _NO_LOGS), query, kind, most)

    @routes.get("/api/logs/histogram")
    def histogram() -> Response:
        buckets = params.asked().number("buckets", DEFAULT_BUCKETS, low=1, high=MAX_BUCKETS)
        query = _query(end_default_ms=now_ms(parts.clock))
        edges_ns, counts = need(parts.logs, _NO_LOGS).histogram(query, buckets)
        levels = {level: counts[level] for level in sorted(counts)}
        return answer({"edges_ms": edges_ns // _NS_PER_MS, "counts": levels})

    @routes.get("/api/logs/context")
    def context() -> Response:
        asked = params.asked()
        near = need(parts.logs, _NO_LOGS).context(
            asked.text("id"),
            _nanoseconds("ts_ns"),
            before=asked.number("before", DEFAULT_CONTEXT, low=0, high=MAX_CONTEXT),
            after=asked.number("after", DEFAULT_CONTEXT, low=0, high=MAX_CONTEXT),
        )
        before, after = _records(near.before), _records(near.after)
        return answer({"before": before, "record": _record(near.record), "after": after})

    @routes.get("/api/logs/facets")
    def facets() -> Response:
        limit = params.asked().number("limit", DEFAULT_FACET_VALUES, low=1, high=MAX_FACET_VALUES)
        fields = params.asked().text("fields", "level,app,task_name").split(",")
        if len(fields) > MAX_FACETS:
            raise params.BadParameterError(
                f'invalid parameter "fields": {len(fields)} of them; at most {MAX_FACETS} at once'
            )
        found = need(parts.logs, _NO_LOGS).facets(_query(), fields, limit)
        values = {
            name: [{"value": one.value, "count": one.count} for one in top]
            for name, top in found.items()
        }
        return answer({"facets": values})

    @routes.get("/api/logs/tail")
    def tail() -> Response:
        reader = need(parts.logs, _NO_LOGS)
        text = params.asked().text("query")
        cursor = request.headers.get("Last-Event-ID") or params.asked().text("cursor")
        is_gone = request.environ.get("waitress.client_disconnected", _never)
        stop = tails.take(is_gone)
        if stop is None:
            refused = sentence(_TOO_MANY.format(tails.limit), 503)
            refused.headers["Retry-After"] = "10"
            return refused
        try:
            # what is wrong with the query is answered here, before a stream begins
            pages = reader.tail(text, cursor, stop)
        except BaseException:
            tails.give_back(stop)
            raise
        body = _stream(pages, tails, stop)
        response = Response(body, content_type="text/event-stream; charset=utf-8")
        response.headers.update(_STREAM_HEADERS)
        # a reader that leaves before the first event never starts the generator
        response.call_on_close(lambda: tails.give_back(stop))
        return response

    return routes


def _stream(pages: Iterator[LogPage], tails: Tails, stop: Event) -> Iterator[bytes]:
    with tails.held(stop):
        yield b"retry: 2000\n" + _HEARTBEAT
        try:
            for page in pages:
                if stop.is_set():
                    return
                yield _event(page)
        except TaskscopeError as error:
            yield b"event: problem\ndata: " + orjson.dumps({"error": str(error)}) + b"\n\n"


def _event(page: LogPage) -> bytes:
    """Return one page as an event; its id is the cursor a browser sends back when it reconnects."""
    if not page.records:
        return (b"id: " + page.cursor.encode() + b"\n" if page.cursor else b"") + _HEARTBEAT
    data = orjson.dumps({"records": _records(page.records)}, option=orjson.OPT_NON_STR_KEYS)
    return b"id: " + page.cursor.encode() + b"\nevent: records\ndata: " + data + b"\n\n"


def _records(records: Iterable[LogRecord]) -> list[dict[str, Any]]:
    return [_record(record) for record in records]


def _record(record: LogRecord) -> dict[str, Any]:
    """Return one record; ``ts_ns`` is a string since JavaScript's numbers are too short for it."""
    return {
        "id": record.id,
        "ts_ms": record.ts_ns // _NS_PER_MS,
        "ts_ns": str(record.ts_ns),
        "document": record.document,
    }


def _query(
    *, limit: int = DEFAULT_LIMIT, ascending: bool = False, end_default_ms: int | None = None
) -> LogQuery:
    start_ms = params.asked().time_ms("start", 0)
    last_ms = LogQuery().end_ns // _NS_PER_MS
    end_ms = params.asked().time_ms("end", last_ms if end_default_ms is None else end_default_ms)
    if end_ms < start_ms:
        raise params.BadParameterError('invalid parameter "end": it is before "start"')
    return LogQuery(
        text=params.asked().text("query"),
        start_ns=max(0, start_ms) * _NS_PER_MS,
        # the whole last millisecond: times of records are finer than those of requests
        end_ns=max(0, min(end_ms, last_ms - 1)) * _NS_PER_MS + _NS_PER_MS - 1,
        limit=limit,
        ascending=ascending,
        cursor=params.asked().text("cursor"),
    )


def _nanoseconds(name: str) -> int:
    raw = params.asked().text(name)
    try:
        value = int(raw)
    except ValueError:
        value = _MAX_NS + 1
    if abs(value) > _MAX_NS:
        raise params.BadParameterError(
            f'invalid parameter "{name}": {raw!r} is no time in nanoseconds since the epoch'
        )
    return value


def _ascending() -> bool:
    direction = params.asked().text("direction", "backward")
    if direction not in ("backward", "forward"):
        raise params.BadParameterError(
            f'invalid parameter "direction": {direction!r}; it is backward or forward'
        )
    return direction == "forward"


def _never() -> bool:
    return False
