"""A TCP proxy on loopback that a test can cut and mend, as a network would."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit


class Proxy:
    """Passes connections on to a URL's host and port.

    Args:
        url: Where to.
        tls: Ends TLS here, as a load balancer in front of the server does.

    Attributes:
        on_answer: Called with what a request began with before its answer is passed on; True
            loses the answer and breaks the connection: the server has done the work, and nobody knows.
        delay_seconds: How long each answer takes more.
    """

    on_answer: Callable[[bytes], bool] | None = None
    delay_seconds = 0.0

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._cut = False
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        self._cut = True
        for one in self._open:
            _shut(one)
        self._open.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._cut = False

    def close(self) -> None:
        """End."""
        self._closed = True
        self.cut()
        _shut(self._listener)

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            if self._tls is not None:
                near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(self._target)
        except OSError:  # nobody there, or no TLS from the other side
            _shut(near)
            return
        self._open += [near, far]
        heads: list[bytes] = []
        threading.Thread(target=self._pump, args=(near, far, heads, None), daemon=True).start()
        self._pump(far, near, None, heads)

    def _pump(self, source: socket.socket, sink: socket.socket, heads: list[bytes] | None, asked: list[bytes] | None) -> None:  # fmt: skip
        """Pass on what comes; the first piece of each request is noted in ``heads`` and found in ``asked``."""
        try:
            while data := source.recv(65536):
                if heads is not None and data.partition(b" ")[0] in _METHODS:
                    heads.append(data)
                if asked:
                    head = asked.pop()
                    asked.clear()
                    time.sleep(self.delay_seconds)
                    if self.on_answer is not None and self.on_answer(head):
                        return
                sink.sendall(data)
        except OSError:
            return
        finally:
            _shut(source)
            _shut(sink)


_METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"}


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    finally:
        one.close()
