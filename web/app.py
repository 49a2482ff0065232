"""The Flask app: guard, APIs and console around the parts."""

import logging
import time
from typing import Final

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException

from web import guard
from web.api import (
    admin,
    exemplars,
    ingest,
    logs,
    operations,
    query,
    rules,
    series,
    status,
    syntax,
    targets,
    tasks,
    words,
)
from web.api.answers import sentence, sentence_of
from web.api.envelope import failure, failure_of
from web.api.gate import DEFAULT_LIMITS, QueryGate, QueryLimits
from web.compress import compressed
from web.console import docs, pages
from web.metrics import WebMetrics
from web.parts import Parts
from web.short_way import ShortWay
from web.tails import Tails
from web.usage import TaskUsage

MAX_LOG_TAILS: Final = 16
MAX_FORM_BYTES: Final = 4 * 1024 * 1024

_log = logging.getLogger(__name__)
# for everything but tails and queries, and for queries that wait for a place
_OTHER_THREADS: Final = 8
_WAITING_PER_PLACE: Final = 4
_PROMETHEUS_ERRORS: Final = {404: "not_found", 405: "bad_data", 413: "bad_data"}


def create_app(
    parts: Parts,
    registry: CollectorRegistry,
    *,
    max_log_tails: int = MAX_LOG_TAILS,
    query_limits: QueryLimits = DEFAULT_LIMITS,
) -> Flask:
    """Return the app; serve it with ``web.server.WebServer``.

    Args:
        parts: What stands behind the endpoints.
        registry: Takes the server's own metrics.
        max_log_tails: Most log tails at once.
        query_limits: What queries may use.
    """
    app = Flask("web", static_folder="static", template_folder="templates")
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_BYTES
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = None  # asked anew each time, answered 304
    tails = Tails(max_log_tails)
    app.extensions["tails"] = tails
    gate = QueryGate(
        query_limits, parts.clock, lambda reason: metrics.stopped_queries.labels(reason).inc()
    )
    app.extensions["threads"] = thread_count(max_log_tails, query_limits.max_concurrency)
    metrics = WebMetrics(registry, open_tails=lambda: tails.open, queries=lambda: gate.running)
    usage = None
    if parts.queryable is not None and parts.engine is not None:
        usage = TaskUsage(parts.queryable, parts.engine, parts.clock)
    _count_requests(app, metrics)
    guard.install(app, parts.allowed_hosts, lambda reason: metrics.refused.labels(reason).inc())
    queries = query.Queries(parts, gate)
    short = ShortWay(app.wsgi_app, queries, allowed_hosts=parts.allowed_hosts, metrics=metrics)
    app.wsgi_app = short  # type: ignore[method-assign]  # as Flask's documentation has it
    for routes in (
        query.blueprint(queries),
        series.blueprint(parts),
        exemplars.blueprint(parts),
        rules.blueprint(parts),
        targets.blueprint(parts),
        syntax.blueprint(),
        status.blueprint(parts),
        admin.blueprint(parts),
        ingest.blueprint(parts, metrics),
        logs.blueprint(parts, tails),
        tasks.blueprint(parts, usage),
        words.blueprint(),
        operations.blueprint(parts),
        pages.blueprint(parts),
        docs.blueprint(),
    ):
        app.register_blueprint(routes)
    app.register_error_handler(Exception, _on_error)
    app.wsgi_app = compressed(app.wsgi_app)  # type: ignore[method-assign,assignment]  # Flask's way
    return app


def thread_count(tails: int, queries: int) -> int:
    """Return how many requests are worked on at once, so that none of a kind keeps out the others."""
    return tails + queries * (1 + _WAITING_PER_PLACE) + _OTHER_THREADS


def _on_error(error: Exception) -> Response:
    """Answer an error in the words of the API that was asked."""
    prometheus_words = request.path.startswith("/api/v1/")
    if isinstance(error, HTTPException):
        code = error.code or 500
        message = error.description or error.name
        if prometheus_words:
            return failure(code, _PROMETHEUS_ERRORS.get(code, "internal"), message)
        if request.path.startswith("/api/"):
            return sentence(message, code)
        if code == 404:
            return pages.not_found()
        return Response(f"{message}\n", status=code, content_type="text/plain; charset=utf-8")
    answer = failure_of(error) if prometheus_words else sentence_of(error)
    if answer.status_code == 500:
        _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return answer


def _count_requests(app: Flask, metrics: WebMetrics) -> None:
    def begin() -> None:
        g.began = time.monotonic()

    def end(response: Response) -> Response:
        handler = request.url_rule.rule if request.url_rule is not None else "none"
        metrics.requests.labels(handler, str(response.status_code)).inc()
        metrics.request_seconds.labels(handler).inc(time.monotonic() - g.began)
        return response

    app.before_request(begin)
    app.after_request(end)
