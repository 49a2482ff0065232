"""What comes in over HTTP: remote write, OTLP metrics, and the log batches and task states of agents."""

import zlib
from typing import Final

from flask import Blueprint, Response, request

from model.errors import StorageError
from storage.interface import BadWriteError
from storage.otlp.status import status_message
from web.api.answers import need, sentence
from web.metrics import WebMetrics
from web.parts import Parts

_NO_STORE: Final = "This process keeps no series; remote write goes to a Taskscope server."
_NO_INGEST: Final = "This process takes nothing from agents; send to a Taskscope server."
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_MAX_UNPACKED_BYTES: Final = 128 << 20
_MESSAGES: Final = {"prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2}
_WRONG_TYPE: Final = (
    "Send remote write 1.0 or 2.0: Content-Type application/x-protobuf, with "
    "proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request."
)


def blueprint(parts: Parts, metrics: WebMetrics) -> Blueprint:
    """Make the endpoints."""
    routes = Blueprint("ingest", __name__)

    @routes.post("/api/v1/write")
    def write() -> Response:
        """Take a remote write request; 204 once it is durable, 400 if some of it will never be right."""
        take = need(parts.remote_write, _NO_STORE)
        version = _version(request.headers.get("Content-Type", ""))
        if not version:
            return sentence(_WRONG_TYPE, 415)
        if request.headers.get("Content-Encoding", "snappy").lower() != "snappy":
            return sentence("Send remote write with Content-Encoding snappy.", 415)
        try:
            written = take(request.get_data(cache=False), version)
            response = Response(status=204)
        except BadWriteError as error:
            written, response = error.written, sentence(str(error), 400)
        metrics.remote_write_samples.inc(written.samples + written.histograms)
        if version == 2:
            response.headers["X-Prometheus-Remote-Write-Samples-Written"] = str(written.samples)
            response.headers["X-Prometheus-Remote-Write-Histograms-Written"] = str(
                written.histograms
            )
            response.headers["X-Prometheus-Remote-Write-Exemplars-Written"] = str(written.exemplars)
        return response

    @routes.post("/api/v1/otlp/v1/metrics")
    def otlp() -> Response:
        """Take OTLP metrics (opentelemetry.io/docs/specs/otlp); errors are answered as a Status."""
        take = need(parts.otlp_metrics, _NO_STORE)
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in (_PROTOBUF, _JSON):
            return sentence(f"Send OTLP with Content-Type {_PROTOBUF} or {_JSON}.", 415)
        as_json = kind == _JSON
        try:
            answer, status = take(_unpacked(), as_json), 200
        except ValueError as error:
            answer, status = status_message(str(error), as_json=as_json), 400
        except StorageError as error:
            answer, status = status_message(str(error), as_json=as_json), 503
        return Response(answer, status=status, content_type=kind)

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


def _version(content_type: str) -> int:
    """Return the version of remote write that a Content-Type speaks of, 0 for none.

    Without a ``proto`` parameter it is 1.0 (prometheus.io/docs/specs/prw/remote_write_spec_2_0).
    """
    kind, *options = (part.strip() for part in (content_type or _PROTOBUF).split(";"))
    if kind.lower() != _PROTOBUF:
        return 0
    named = [value for key, _, value in (o.partition("=") for o in options) if key == "proto"]
    return _MESSAGES.get(named[0].strip('"'), 0) if named else 1


def _unpacked() -> bytes:
    """Return the request's body, without its compression.

    Raises:
        ValueError: If it is not gzip as it says, or too large.
    """
    body = request.get_data(cache=False)
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding in ("identity", ""):
        return body
    if encoding != "gzip":
        raise ValueError(f"the Content-Encoding {encoding} is not known here; send gzip")
    gunzip = zlib.decompressobj(wbits=31)
    try:
        data = gunzip.decompress(body, _MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise ValueError(f"the body is not gzip: {error}") from error
    if not gunzip.eof:
        raise ValueError("the body is cut off, or unpacks to too much; send smaller requests")
    return data
