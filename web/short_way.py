"""The short way of queries: what rules, Grafana and scripts ask all day does not pass Flask.

A query of some hundred series takes half a millisecond; finding its route, building Flask's contexts
and its response takes as long again. So ``/api/v1/query`` and ``query_range`` are answered here when
they are asked in the usual form; anything unusual (a method, a content type, a Host or an Origin to
be judged, a large body) goes to the app, which gives the same answer.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from web import guard
from web.api.envelope import JSON, Answer, refused_for
from web.api.params import Form
from web.api.query import Queries, is_gone
from web.metrics import WebMetrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_REASONS: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_HEADERS: Final = [("Content-Type", JSON), *guard.HEADERS.items()]
# what a browser says of where a request comes from
_UNUSUAL: Final = ("HTTP_SEC_FETCH_SITE", "HTTP_ORIGIN")

_log = logging.getLogger(__name__)


class ShortWay:
    """WSGI middleware.

    Args:
        app: Where everything else goes.
        queries: Answers queries.
        allowed_hosts: See ``web.guard.install``.
        metrics: Counts the requests.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        queries: Queries,
        *,
        allowed_hosts: Iterable[str],
        metrics: WebMetrics,
    ) -> None:
        self._app = app
        self._allowed = guard.hosts(allowed_hosts)
        self._metrics = metrics
        self._ways = {"/api/v1/query": queries.instant, "/api/v1/query_range": queries.range}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """See PEP 3333."""
        path = environ["PATH_INFO"]
        way = self._ways.get(path)
        if way is None or not self._is_usual(environ):
            return self._app(environ, start_response)
        began = time.monotonic()
        try:
            answer = way(form_of(environ), is_gone(environ))
        except Exception as error:
            answer = _failed(error, path)
        headers = _HEADERS
        if answer.size >= 0:
            headers = [("Content-Length", str(answer.size)), *headers]
        self._metrics.requests.labels(path, str(answer.status)).inc()
        self._metrics.request_seconds.labels(path).inc(time.monotonic() - began)
        start_response(_REASONS.get(answer.status, f"{answer.status} Unknown"), headers)
        return answer.body

    def _is_usual(self, environ: Mapping[str, Any]) -> bool:
        method = environ["REQUEST_METHOD"]
        if method == "POST":
            length = environ.get("CONTENT_LENGTH", "")
            if environ.get("CONTENT_TYPE") != _FORM or not length.isdecimal() or int(length) > MAX_BODY_BYTES:  # fmt: skip
                return False
        elif method != "GET":
            return False
        host, port = environ.get("HTTP_HOST", ""), environ.get("SERVER_PORT", "")
        return not any(name in environ for name in _UNUSUAL) and guard.host_is_ours(
            host, port, self._allowed
        )


def form_of(environ: Mapping[str, Any]) -> Form:
    """Return the parameters of query string and body; bytes that are no UTF-8 stay escaped, as Werkzeug has it."""
    found: dict[str, list[str]] = {}
    text = environ.get("QUERY_STRING", "").encode("latin-1")
    if environ["REQUEST_METHOD"] == "POST":
        text += b"&" + environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    for pair in text.replace(b"+", b" ").split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            found.setdefault(_unquoted(name), []).append(_unquoted(value))
    return Form(found)


def _unquoted(text: bytes) -> str:
    return unquote_to_bytes(text).decode("utf-8", "werkzeug.url_quote")


def _failed(error: Exception, path: str) -> Answer:
    answer = refused_for(error)
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s failed", path, exc_info=error)
    return answer
