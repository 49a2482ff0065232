"""``/-/healthy``, ``/-/ready``, ``/-/reload``, ``/metrics`` and ``/api/status``."""

from flask import Blueprint, Response

from model.errors import ConfigError
from web.api.answers import answer, need
from web.parts import Parts

_TEXT = "text/plain; charset=utf-8"


def blueprint(parts: Parts) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("operations", __name__)

    @routes.get("/-/healthy")
    def healthy() -> Response:
        return Response("Taskscope is healthy.\n", content_type=_TEXT)

    @routes.get("/-/ready")
    def ready() -> Response:
        if not parts.ready():
            return Response("Taskscope is not ready yet.\n", status=503, content_type=_TEXT)
        return Response("Taskscope is ready.\n", content_type=_TEXT)

    @routes.post("/-/reload")
    def reload() -> Response:
        try:
            need(parts.reload, "This process cannot reload its configuration; restart it.")()
        except ConfigError as error:
            message = f"The configuration stays as it was:\n{error}\n"
            return Response(message, status=400, content_type=_TEXT)
        return Response("The configuration is reloaded.\n", content_type=_TEXT)

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(parts.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")

    @routes.get("/api/status")
    def status() -> Response:
        return answer({"version": parts.version, **parts.status()})

    return routes
