"""The Flask app: guard, APIs and console around the parts."""

import logging
import time
from typing import Final

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException

from web import guard
from web.api import ingest, logs, operations, prometheus, rules, tasks
from web.api.answers import sentence, sentence_of
from web.api.envelope import failure, failure_of
from web.console import docs, pages
from web.metrics import WebMetrics
from web.parts import Parts
from web.tails import Tails
from web.usage import TaskUsage

MAX_LOG_TAILS: Final = 16
MAX_FORM_BYTES: Final = 4 * 1024 * 1024

_log = logging.getLogger(__name__)
_PROMETHEUS_ERRORS: Final = {404: "not_found", 405: "bad_data", 413: "bad_data"}


def create_app(
    parts: Parts, registry: CollectorRegistry, *, max_log_tails: int = MAX_LOG_TAILS
) -> Flask:
    """Return the app; serve it with ``web.server.WebServer``.

    Args:
        parts: What stands behind the endpoints.
        registry: Takes the server's own metrics.
        max_log_tails: Most log tails at once.
    """
    app = Flask("web", static_folder="static", template_folder="templates")
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_BYTES
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = None  # asked anew each time, answered 304
    tails = Tails(max_log_tails)
    app.extensions["tails"] = tails
    metrics = WebMetrics(registry, lambda: tails.open)
    usage = None
    if parts.queryable is not None and parts.engine is not None:
        usage = TaskUsage(parts.queryable, parts.engine, parts.clock)
    _count_requests(app, metrics)
    guard.install(app, parts.allowed_hosts, lambda reason: metrics.refused.labels(reason).inc())
    for routes in (
        prometheus.blueprint(parts),
        rules.blueprint(parts),
        ingest.blueprint(parts, metrics),
        logs.blueprint(parts, tails),
        tasks.blueprint(parts, usage),
        operations.blueprint(parts),
        pages.blueprint(parts),
        docs.blueprint(),
    ):
        app.register_blueprint(routes)
    app.register_error_handler(Exception, _on_error)
    return app


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
