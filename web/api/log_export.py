"""``/api/logs/export``: the records of a query as a file, oldest first, however many there are."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from flask import Response
from msgspec.structs import replace

from model.identity import ECS_FIELDS
from storage.interface import LogPage, LogQuery, LogReader, LogRecord

FORMATS: Final = {"ndjson": "application/x-ndjson", "text": "text/plain; charset=utf-8"}
PAGE: Final = 5000
_NS: Final = 1_000_000_000


def export(reader: LogReader, query: LogQuery, kind: str, most: int) -> Response:
    """Return a response that is written while it is read.

    Args:
        reader: Finds the records.
        query: Which; its limit and cursor mean nothing here.
        kind: One of FORMATS.
        most: Records after which it ends; if there are more its last line says so.

    Raises:
        ParseError: If the query cannot be parsed; before anything is sent.
        StorageError: Likewise, if the store cannot be read.
    """
    query = replace(query, ascending=True, limit=min(PAGE, most), cursor="")
    first = reader.search(query)
    response = Response(_lines(reader, query, kind, most, first), content_type=FORMATS[kind])
    extension = "ndjson" if kind == "ndjson" else "log"
    name = f"taskscope-{_stamp(first, query)}.{extension}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _lines(
    reader: LogReader, query: LogQuery, kind: str, most: int, page: LogPage
) -> Iterator[bytes]:
    write = _ndjson if kind == "ndjson" else _text
    left = most
    while True:
        records = page.records[:left]
        left -= len(records)
        yield write(records)
        if not page.cursor:
            return
        if not left:
            yield _ending(kind, most)
            return
        page = reader.search(replace(query, limit=min(PAGE, left), cursor=page.cursor))


def _ndjson(records: Sequence[LogRecord]) -> bytes:
    lines = (
        orjson.dumps({"id": r.id, "@timestamp": moment_text(r.ts_ns), **r.document})
        for r in records
    )
    return b"".join(line + b"\n" for line in lines)


def _text(records: Sequence[LogRecord]) -> bytes:
    return "".join(_text_line(r.ts_ns, r.document) for r in records).encode()


def _text_line(ts_ns: int, document: Any) -> str:
    name = document.get(ECS_FIELDS["task_name"]) or document.get(ECS_FIELDS["app"], "-")
    level = document.get("log.level", "-")
    # whatever belongs to a record is indented, so that records can be told apart
    message = str(document.get("message", "")).rstrip("\n").replace("\n", "\n    ")
    return f"{moment_text(ts_ns)}\t{name}\t{level}\t{message}\n"


def _ending(kind: str, most: int) -> bytes:
    text = f"More than {most:,} records match; these are the oldest. Ask for a shorter time."
    return orjson.dumps({"truncated": text}) + b"\n" if kind == "ndjson" else f"# {text}\n".encode()


def moment_text(ts_ns: int) -> str:
    """Return a time in RFC 3339 with all nine digits."""
    seconds, ns = divmod(ts_ns, _NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def _stamp(first: LogPage, query: LogQuery) -> str:
    ts_ns = first.records[0].ts_ns if first.records else query.start_ns
    return f"{datetime.fromtimestamp(ts_ns // _NS, UTC):%Y%m%dT%H%M%SZ}"
