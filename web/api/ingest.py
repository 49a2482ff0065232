"""What comes in over HTTP: remote write, and the log batches and task states of agents."""

from typing import Final

from flask import Blueprint, Response, request

from web.api.answers import need, sentence
from web.metrics import WebMetrics
from web.parts import Parts

_NO_STORE: Final = "This process keeps no series; remote write goes to a Taskscope server."
_NO_INGEST: Final = "This process takes nothing from agents; send to a Taskscope server."
_WRITE_V1: Final = "application/x-protobuf"


def blueprint(parts: Parts, metrics: WebMetrics) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("ingest", __name__)

    @routes.post("/api/v1/write")
    def write() -> Response:
        """Take a remote write 1.0 request; 204 once it is durable."""
        take = need(parts.remote_write, _NO_STORE)
        refusal = _refuse_write()
        if refusal is not None:
            return refusal
        metrics.remote_write_samples.inc(take(request.get_data(cache=False)))
        return Response(status=204)

    @routes.post("/api/agent/logs")
    def logs() -> Response:
        take = need(parts.ingest_logs, _NO_INGEST)
        return Response(
            take(request.get_data(cache=False)), content_type="application/octet-stream"
        )

    @routes.post("/api/agent/state")
    def state() -> Response:
        need(parts.ingest_state, _NO_INGEST)(request.get_data(cache=False))
        return Response(status=204)

    return routes


def _refuse_write() -> Response | None:
    """Refuse what is no remote write 1.0 (prometheus.io/docs/specs/prw/remote_write_spec)."""
    kind, _, options = request.headers.get("Content-Type", _WRITE_V1).partition(";")
    if kind.strip().lower() != _WRITE_V1 or "io.prometheus.write.v2" in options:
        return sentence("Send remote write 1.0: Content-Type application/x-protobuf.", 415)
    encoding = request.headers.get("Content-Encoding", "snappy").lower()
    if encoding != "snappy":
        return sentence("Send remote write 1.0: Content-Encoding snappy.", 415)
    return None
