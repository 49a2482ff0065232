"""How Taskscope's own endpoints (not Prometheus's) answer: plain JSON, errors as a sentence."""

from typing import Any, TypeVar

import orjson
from flask import Response

from model.errors import ParseError, QueryError, QueryLimitError, StorageError
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
    """Map an exception to an error answer."""
    if isinstance(error, BadParameterError | ValueError):
        return sentence(str(error), 400)
    if isinstance(error, ParseError):
        return sentence(str(error), 400, start=error.start, end=error.end)
    if isinstance(error, NotHereError):
        return sentence(str(error), 404)
    if isinstance(error, QueryLimitError) and error.timeout:
        return sentence(str(error), 503)
    if isinstance(error, QueryError):
        return sentence(str(error), 422)
    if isinstance(error, StorageError):
        return sentence(str(error), 500)
    return sentence(f"unexpected {type(error).__name__}; see Taskscope's own log", 500)
