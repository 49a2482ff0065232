"""Prometheus's answer envelope and its error types."""

from collections.abc import Sequence
from typing import Any

import orjson
from flask import Response

from model.errors import ParseError, QueryError, QueryLimitError, StorageError
from web.api.answers import NotHereError
from web.api.params import BadParameterError

_JSON = "application/json"


def success(data: bytes, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response:
    """Wrap data that is JSON already."""
    tail = b""
    if warnings:
        tail += b',"warnings":' + orjson.dumps(list(warnings))
    if infos:
        tail += b',"infos":' + orjson.dumps(list(infos))
    return Response(b'{"status":"success","data":' + data + tail + b"}", content_type=_JSON)


def success_of(data: Any) -> Response:
    """Wrap plain data."""
    return success(orjson.dumps(data))


def failure(status: int, error_type: str, message: str) -> Response:
    """Say what went wrong."""
    body = {"status": "error", "errorType": error_type, "error": message}
    return Response(orjson.dumps(body), status=status, content_type=_JSON)


def failure_of(error: Exception) -> Response:
    """Map an exception to Prometheus's error types (web/api/v1/api.go, respondError)."""
    message = str(error)
    if isinstance(error, BadParameterError | ParseError | ValueError):
        return failure(400, "bad_data", message)
    if isinstance(error, QueryLimitError) and error.timeout:
        return failure(503, "timeout", message)
    if isinstance(error, QueryError):
        return failure(422, "execution", message)
    if isinstance(error, NotHereError):
        return failure(404, "not_found", message)
    if isinstance(error, StorageError):
        return failure(500, "internal", message)
    return failure(500, "internal", f"unexpected {type(error).__name__}; see Taskscope's own log")
