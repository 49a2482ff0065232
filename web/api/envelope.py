"""Prometheus's answer envelope and its error types."""

from collections.abc import Sequence
from typing import Any

import orjson
from flask import Response

from web.api.answers import cause_of

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
    """Answer an exception."""
    return failure(*cause_of(error))
