"""Prometheus's answer envelope and its error types."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import orjson
from flask import Response
from msgspec import Struct

from web.api.answers import cause_of
from web.api.label_text import json_text

JSON: Final = "application/json"
_LARGE_BYTES: Final = 256 * 1024
_MOST_ANNOTATIONS: Final = 10  # as Prometheus


def success(data: bytes, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response:
    """Wrap data that is JSON already."""
    body = b'{"status":"success","data":' + data + _tail(warnings, infos) + b"}"
    return Response(body, content_type=JSON)


def _tail(warnings: Sequence[str], infos: Sequence[str]) -> bytes:
    tail = b""
    for name, texts, kind in ((b"warnings", warnings, "warning"), (b"infos", infos, "info")):
        if texts:
            more = len(texts) - _MOST_ANNOTATIONS
            rest = [f"{more} more {kind} annotations omitted"] if more > 0 else []
            shown = [*texts[:_MOST_ANNOTATIONS], *rest]
            tail += b',"' + name + b'":[' + b",".join(map(json_text, shown)) + b"]"
    return tail


class Answer(Struct, frozen=True):
    """What is answered, whoever sends it.

    Attributes:
        body: JSON, in pieces.
        size: Their length in bytes, -1 where they are made while they are sent.
        status: The HTTP status.
    """

    body: Iterable[bytes]
    size: int
    status: int = 200

    def response(self) -> Response:
        """Return it as Flask's."""
        response = Response(self.body, status=self.status, content_type=JSON)
        if self.size >= 0:
            response.content_length = self.size
        return response


def whole(data: Iterable[bytes], warnings: Sequence[str], infos: Sequence[str]) -> Answer:
    """Wrap data that comes in pieces; all are made first, and large ones are not copied."""
    body = [b'{"status":"success","data":', *data, _tail(warnings, infos) + b"}"]
    size = sum(map(len, body))
    return Answer([b"".join(body)] if size < _LARGE_BYTES else body, size)


def streamed(data: Iterable[bytes], warnings: Sequence[str], infos: Sequence[str]) -> Answer:
    """Wrap data that comes in pieces; they are sent as they are made."""

    def pieces() -> Iterator[bytes]:
        yield b'{"status":"success","data":'
        yield from data
        yield _tail(warnings, infos) + b"}"

    return Answer(pieces(), -1)


def success_of(data: Any) -> Response:
    """Wrap plain data."""
    return success(orjson.dumps(data))


def refused(status: int, error_type: str, message: str) -> Answer:
    """Say what went wrong."""
    body = b'{"status":"error","errorType":' + json_text(error_type)
    body += b',"error":' + json_text(message) + b"}"  # which may quote bytes that are no UTF-8
    return Answer([body], len(body), status)


def failure(status: int, error_type: str, message: str) -> Response:
    """Say what went wrong, as Flask's."""
    return refused(status, error_type, message).response()


def refused_for(error: Exception) -> Answer:
    """Answer an exception."""
    return refused(*cause_of(error))


def failure_of(error: Exception) -> Response:
    """Answer an exception, as Flask's."""
    return refused_for(error).response()
