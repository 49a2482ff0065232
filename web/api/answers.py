"""How Taskscope's own endpoints (not Prometheus's) answer: plain JSON, errors as a sentence."""

from typing import Any, TypeVar

import orjson
from flask import Response

from model.errors import ParseError, QueryError, QueryLimitError, StorageError
from web.api.gate import QueryCanceledError
from web.api.params import BadParameterError

PartT = TypeVar("PartT")


class NotHereError(Exception):
    """This process does not have the part that an endpoint needs."""


def need(part: PartT | None, sentence: str) -> PartT:
    """Return the part.

    Raises:
        NotHereError: If this process does not have it.
    """
    if part is None:
        raise NotHereError(sentence)
    return part


def answer(data: Any, status: int = 200) -> Response:
    """Return data as JSON; arrays of numpy are written as lists."""
    body = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    response = Response(body, status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def sentence(message: str, status: int, **more: Any) -> Response:
    """Return an error."""
    return answer({"error": message, **more}, status)


def sentence_of(error: Exception) -> Response:
    """Answer an exception."""
    where = {"start": error.start, "end": error.end} if isinstance(error, ParseError) else {}
    status, _, message = cause_of(error)
    return sentence(message, status, **where)


def cause_of(error: Exception) -> tuple[int, str, str]:
    """Return HTTP status, Prometheus's error type (web/api/v1/api.go, respondError) and message of an exception."""
    message = str(error)
    if isinstance(error, BadParameterError | ParseError | ValueError):
        return 400, "bad_data", message
    if isinstance(error, NotHereError):
        return 404, "not_found", message
    if isinstance(error, QueryCanceledError):
        return 499, "canceled", message
    if isinstance(error, QueryLimitError) and error.timeout:
        return 503, "timeout", message
    if isinstance(error, QueryError):
        return 422, "execution", message
    if not isinstance(error, StorageError):
        message = f"unexpected {type(error).__name__}; see Taskscope's own log"
    return 500, "internal", message
