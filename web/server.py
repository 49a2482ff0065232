"""The HTTP server: waitress in threads of its own, with an orderly end."""

import errno
import logging
import socket
import threading
from typing import Any, Final

from flask import Flask
from waitress.server import create_server
from waitress.wasyncore import close_all
from waitress.wasyncore import loop as serve_events

from model.errors import OperatorError
from web.tails import Tails

# waitress copies as much as fits the socket's buffer for each try to send, and megabytes fit by default
SEND_BUFFER_BYTES: Final = 128 * 1024
MAX_BODY_BYTES: Final = 64 * 1024 * 1024


class WebServer:
    """Serves one app on one address."""

    def __init__(self, app: Flask, host: str = "127.0.0.1", port: int = 9800) -> None:
        """Prepare to listen; port 0 lets the kernel choose."""
        self._app = app
        self._host = host
        self._port = port
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def port(self) -> int:
        """The port listened on; the one asked for before ``start``."""
        return int(self._server.effective_port) if self._server is not None else self._port

    @property
    def url(self) -> str:
        """The address as a browser takes it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen; requests are answered when this returns.

        Raises:
            OperatorError: If the address cannot be listened on.
        """
        # it warns of every request that waits for a thread, which is no news
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._server = create_server(
            self._app,
            sockets=[self._listen()],
            threads=self._app.extensions["threads"],
            ident=None,  # no Server header
            clear_untrusted_proxy_headers=False,  # nothing here reads them
            max_request_body_size=MAX_BODY_BYTES,
            # megabyte answers stay in memory until they are sent, not in a temporary file
            outbuf_overflow=MAX_BODY_BYTES,
            # lets a stream see that its reader has gone
            channel_request_lookahead=1,
        )
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Take no more requests, end the streams, let running requests finish for a while."""
        if self._thread is None or self._stopping.is_set():
            return
        self._stopping.set()
        tails: Tails = self._app.extensions["tails"]
        tails.close()
        self._server.pull_trigger()
        self._thread.join(timeout_seconds)
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=timeout_seconds)
        close_all(self._server._map)  # noqa: SLF001  waitress has no other way to close its channels

    def _serve(self) -> None:
        while not self._stopping.is_set():
            serve_events(timeout=1.0, map=self._server._map, use_poll=True, count=1)  # noqa: SLF001

    def _listen(self) -> socket.socket:
        """Bind before waitress starts its threads, so that a failure leaves nothing behind."""
        try:
            family, *_, address = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.create_server(address[:2], family=family)
        except OSError as error:
            raise OperatorError(self._why(error)) from error
        # every connection inherits it
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        return listening

    def _why(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return (
                f"{self._host}:{self._port} is in use by another program; "
                "stop it or choose another port with --listen."
            )
        return f"cannot listen on {self._host}:{self._port}: {error.strerror}"
