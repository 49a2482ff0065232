"""A proxy before a real Elasticsearch that fails in every way a real one was seen to fail.

Whatever is forwarded is done by the real server; only answers are delayed, replaced or cut. ``fault`` may be set
at any time; ``refused`` closes the port itself.
"""

import contextlib
import http.client
import json
import random
import socket
import threading
import time
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, Self

FAULTS: Final = (
    "refused",  # connections are refused, open ones break
    "slow",  # each answer takes 0.3 to 2 s
    "hang",  # it is done, but no answer comes in time
    "503",
    "429",
    "403",  # the whole request is refused
    "blocked",  # each item is refused: cluster_block_exception
    "partial",  # the second half of the items is answered 429
    "cut-answer",  # it is done, then the answer breaks off
    "cut-request",  # it breaks off in the request; nothing is done
    "cut-rollover",  # it is done, the answer breaks off, and the data stream rolls over
)
_HANG_SECONDS: Final = 20.0
_ERRORS: Final = {
    503: ("unavailable_shards_exception", "primary shard is not active"),
    429: ("es_rejected_execution_exception", "rejected execution of coordinating operation"),
    403: ("cluster_block_exception", "index has read-only-allow-delete block"),
}


class Backend:
    """Listens on a port of its own that stays the same; see the module."""

    def __init__(self, far_port: int, stream: str, seed: int) -> None:
        self.far_port = far_port
        self.stream = stream
        self.fault = ""
        self.random = random.Random(seed)
        self.spoilt: dict[str, int] = {}  # by fault, how many requests met it
        self.port = 0
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *exc: object) -> None:
        self._refuse()

    def set(self, fault: str) -> None:
        """Begin a fault, or end it with ""."""
        self.fault = fault
        if fault == "refused":
            self._refuse()
        elif self._listener is None:
            self._listen()

    def met(self, fault: str) -> None:
        """Count a request that met a fault."""
        with self._lock:
            self.spoilt[fault] = self.spoilt.get(fault, 0) + 1

    def rollover(self) -> bool:
        """Roll the data stream over; False if there is none yet."""
        url = f"http://127.0.0.1:{self.far_port}/{self.stream}/_rollover"
        request = urllib.request.Request(url, method="POST")
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except urllib.error.HTTPError:
            return False
        return True

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _refuse(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            _shut(listener)
        for sock in list(self._open):
            _shut(sock)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, address = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near, address), daemon=True).start()

    def _serve(self, near: socket.socket, address: Any) -> None:
        self._open.add(near)
        near.settimeout(60.0)
        try:
            _Relay(near, address, self)  # type: ignore[arg-type]  # it asks nothing of a server
        except OSError:
            return  # the agent was killed, or we cut it
        finally:
            self._open.discard(near)
            _shut(near)
            near.close()


class _Relay(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Backend  # type: ignore[assignment]  # see _serve

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""

    def do_GET(self) -> None:
        self._relay()

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815  (the base class looks for these)

    def _relay(self) -> None:
        backend, fault = self.server, self.server.fault
        size = int(self.headers.get("Content-Length", 0))
        bulk = "_bulk" in self.path
        if fault == "cut-request" and bulk:
            self.rfile.read(size // 2)
            self._hang_up(fault)
            return
        body = self.rfile.read(size)
        if fault.isdigit():
            backend.met(fault)
            self._refuse(int(fault))
        elif not bulk or fault not in FAULTS:
            self._answer(*self._forward(body))
        elif fault == "blocked":
            backend.met(fault)
            items = [_refused(403)] * (body.count(b"\n") // 2)
            self._answer(200, _JSON, json.dumps({"errors": True, "items": items}).encode())
        elif fault == "partial":
            backend.met(fault)
            self._half(body)
        else:
            self._late(fault, self._forward(body))

    def _late(self, fault: str, answer: tuple[int, Mapping[str, str], bytes]) -> None:
        """Spoil the answer to a request that was done."""
        backend = self.server
        backend.met(fault)
        if fault == "slow":
            time.sleep(backend.random.uniform(0.3, 2.0))
            self._answer(*answer)
        elif fault == "hang":
            end = time.monotonic() + _HANG_SECONDS
            while backend.fault == fault and time.monotonic() < end:
                time.sleep(0.1)
            self.close_connection = True
        else:
            if fault == "cut-rollover":
                backend.rollover()
            self._answer(*answer, cut=True)

    def _half(self, body: bytes) -> None:
        lines = body.split(b"\n")
        pairs = list(zip(lines[:-1:2], lines[1::2], strict=True))
        taken = pairs[: len(pairs) // 2]
        items: list[Any] = []
        if taken:
            status, headers, data = self._forward(b"".join(b"%b\n%b\n" % pair for pair in taken))
            if status != 200:
                self._answer(status, headers, data)
                return
            said = json.loads(data)
            items = said.get("items", [{"create": {"status": 201}}] * len(taken))
        items += [_refused(429)] * (len(pairs) - len(taken))
        self._answer(200, _JSON, json.dumps({"errors": True, "items": items}).encode())

    def _forward(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        far = http.client.HTTPConnection("127.0.0.1", self.server.far_port, timeout=60)
        try:
            keep = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "content-length", "accept-encoding")}  # fmt: skip
            far.request(self.command, self.path, body, keep)
            answer = far.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            far.close()

    def _refuse(self, status: int) -> None:
        kind, reason = _ERRORS[status]
        body = json.dumps({"error": {"type": kind, "reason": reason}, "status": status}).encode()
        self._answer(status, _JSON | ({"Retry-After": "1"} if status == 429 else {}), body)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, *, cut: bool = False) -> None:  # fmt: skip
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection |= cut

    def _hang_up(self, fault: str) -> None:
        self.server.met(fault)
        self.close_connection = True


_JSON: Final = {
    "Content-Type": "application/vnd.elasticsearch+json;compatible-with=8",
    "X-Elastic-Product": "Elasticsearch",
}


def _refused(status: int) -> dict[str, Any]:
    kind, reason = _ERRORS[status]
    return {"create": {"status": status, "error": {"type": kind, "reason": reason}}}


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    if sock.fileno() >= 0 and sock.type == socket.SOCK_STREAM:
        with contextlib.suppress(OSError):
            sock.close()
