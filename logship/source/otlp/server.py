"""Takes OTLP logs at ``/v1/logs``, safe on disk before it answers.

The same request sent again (its answer was lost) is taken once. Where the disk takes nothing, the
answer is 503 with Retry-After, on which exporters keep what they have and try again.
"""

import logging
import socket
import threading
import zlib
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

import orjson
from msgspec import Struct

from logship.metrics import LogshipMetrics
from logship.source.inbox import Inbox
from logship.source.otlp.records import read
from model.errors import reason_of
from storage.otlp.status import status_message
from storage.remote.wire import delimited, varint

PATH: Final = "/v1/logs"
RETRY_SECONDS: Final = 5
UNPACKED_FACTOR: Final = 4
CONNECTIONS_MAX: Final = 64
IDLE_SECONDS: Final = 60
LISTEN_RETRY_SECONDS: Final = 5.0
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_log = logging.getLogger(__name__)

Answer = tuple[str, bytes, dict[str, str]]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


class OtlpSettings(Struct, frozen=True):
    """How to serve; ``request_bytes`` is the longest body, which may be four times as long unpacked."""

    host: str = "127.0.0.1"
    port: int = 4318
    request_bytes: int = 8 << 20
    threads: int = 2


class OtlpServer:
    """Serves OTLP logs into an inbox.

    Args:
        settings: How.
        inbox: Where records go; used by this server only.
        metrics: Where it counts.

    Attributes:
        port: The one it listens on, once it is started.
        problem: Why it does not serve now, in words for people; "" if it does.
    """

    name: Final = "otlp"

    def __init__(self, settings: OtlpSettings, inbox: Inbox, metrics: LogshipMetrics) -> None:
        self.port = settings.port
        self.problem = ""
        self._settings = settings
        self._inbox = inbox
        self._metrics = metrics
        self._lock = threading.Lock()
        self._server: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start; returns when it listens, or when it is known why it cannot (it tries again then)."""
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._listen()
        self._thread = threading.Thread(target=self._run, name="logship-otlp", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Take no more requests, let running ones finish for a while; safe twice and before start."""
        self._stop.set()
        if self._thread is None:
            return
        if self._server is not None:
            self._server.pull_trigger()
        self._thread.join(timeout_seconds)
        self._thread = None
        if self._server is not None:
            from waitress.wasyncore import close_all

            self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=timeout_seconds)
            close_all(self._server._map)  # noqa: SLF001  waitress has no other way to close its channels

    def _listen(self) -> None:
        from waitress.server import create_server

        host, port, most = self._settings.host, self._settings.port, self._settings.request_bytes
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            problem = f"cannot listen for OTLP logs on {host}:{port}: {reason_of(error)}"
            if problem != self.problem:
                _log.warning("%s; it is tried again", problem)
            self.problem = problem
            return
        self.port = listener.getsockname()[1]
        self._server = create_server(
            self._application,
            sockets=[listener],
            threads=self._settings.threads,
            ident=None,
            clear_untrusted_proxy_headers=False,
            max_request_body_size=most,
            inbuf_overflow=most + 1,  # what was not redacted yet is written to no file
            connection_limit=CONNECTIONS_MAX,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=IDLE_SECONDS // 2,
        )
        self.problem = ""

    def _run(self) -> None:
        from waitress.wasyncore import loop

        while not self._stop.is_set():
            try:
                if self._server is None:
                    self._stop.wait(LISTEN_RETRY_SECONDS)
                    if not self._stop.is_set():
                        self._listen()
                    continue
                loop(timeout=1.0, map=self._server._map, count=1, use_poll=True)  # noqa: SLF001  as waitress's own run() does
            except Exception as error:
                self._metrics.errors.labels("otlp", type(error).__name__).inc()
                _log.exception("the OTLP server met an error and goes on")
                self._stop.wait(1.0)

    # ------------------------------------------------------------ requests

    def _application(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:  # fmt: skip
        """Answer a request (PEP 3333)."""
        try:
            status, body, headers = self._answer(environ)
        except Exception as error:
            self._metrics.errors.labels("otlp", type(error).__name__).inc()
            _log.exception("a request for the OTLP server failed")
            status, body, headers = "500 Internal Server Error", b"", {}
        headers.setdefault("Content-Length", str(len(body)))
        start_response(status, list(headers.items()))
        return [body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        if environ["PATH_INFO"] != PATH:
            return _sentence("404 Not Found", f"Send OTLP logs to {PATH}.")
        if environ["REQUEST_METHOD"] != "POST":
            return _sentence("405 Method Not Allowed", "Send OTLP logs with POST.")
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if kind not in (_PROTOBUF, _JSON):
            return _sentence("415 Unsupported Media Type", f"Send OTLP with Content-Type {_PROTOBUF} or {_JSON}.")  # fmt: skip
        as_json = kind == _JSON
        try:
            body = self._unpacked(environ["wsgi.input"].read(), environ.get("HTTP_CONTENT_ENCODING", ""))  # fmt: skip
            request = read(body, as_json=as_json)
        except ValueError as error:
            self._metrics.errors.labels("otlp", "BadRequest").inc()
            return _status("400 Bad Request", str(error), kind)
        ticket = blake2b(body, digest_size=16).digest() if request.is_timed else b""
        with self._lock:
            if not self._inbox.has_room():
                return self._later(kind)
            self._inbox.put(request.groups, ticket)
            kept = self._inbox.flush()
        if not kept:
            return self._later(kind)
        if request.rejected:
            self._metrics.dropped.labels("unreadable").inc(request.rejected)
        return "200 OK", _response(request.rejected, as_json=as_json), {"Content-Type": kind}

    def _later(self, kind: str) -> Answer:
        status, body, headers = _status("503 Service Unavailable", "the log buffer takes nothing now; try again later", kind)  # fmt: skip
        return status, body, {**headers, "Retry-After": str(RETRY_SECONDS)}

    def _unpacked(self, body: bytes, encoding: str) -> bytes:
        encoding = encoding.strip().lower()
        if encoding in ("", "identity"):
            return body
        if encoding != "gzip":
            raise ValueError(f"the Content-Encoding {encoding[:20]!r} is not known here; send gzip")
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(body, self._settings.request_bytes * UNPACKED_FACTOR)
        except zlib.error as error:
            raise ValueError(f"the body is not gzip: {error}") from error
        if not unpacker.eof:
            raise ValueError("the body is cut off, or unpacks to too much; send smaller requests")
        return data


def _response(rejected: int, *, as_json: bool) -> bytes:
    """Return an ExportLogsServiceResponse: empty, or saying how much of the request was not taken."""
    if not rejected:
        return b"{}" if as_json else b""
    why = "these records could not be read"
    if as_json:
        return orjson.dumps({"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": why}})  # fmt: skip
    return delimited(0x0A, b"\x08" + varint(rejected) + delimited(0x12, why.encode()))


def _sentence(status: str, text: str) -> Answer:
    return status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"}


def _status(status: str, text: str, kind: str) -> Answer:
    return status, status_message(text, as_json=kind == _JSON), {"Content-Type": kind}
