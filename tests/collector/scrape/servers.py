"""Targets of every kind on loopback, good and nasty."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

GOOD = b"# TYPE hits counter\n# HELP hits Hits.\nhits_total 3\n"

Serve = Callable[[socket.socket, bytes], None]


def answer(
    body: bytes, kind: str = "text/plain; version=0.0.4", status: str = "200 OK", *more: str
) -> bytes:
    """Return a whole response with a length."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


def replies(data: bytes) -> Serve:
    """Answer every request with the same bytes."""
    return lambda connection, request: connection.sendall(data)


def silent(connection: socket.socket, request: bytes) -> None:
    """Never answer."""
    time.sleep(30)


def endless(connection: socket.socket, request: bytes) -> None:
    """Send a body without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    line = b'a{b="c"} 1\n' * 6000
    while True:
        connection.sendall(line)


def dripping(connection: socket.socket, request: bytes) -> None:
    """Send one byte at a time, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.sendall(b"a")
        time.sleep(0.05)


@contextlib.contextmanager
def serving(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on a free port of loopback, a thread per connection; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = []

    def talk(connection: socket.socket) -> None:
        try:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
                open_sockets.append(connection)
            buffer = b""
            while data := connection.recv(65536):
                buffer += data
                while b"\r\n\r\n" in buffer:
                    request, _, buffer = buffer.partition(b"\r\n\r\n")
                    serve(connection, request)
        except OSError:
            return
        finally:
            connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_sockets.append(connection)
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate for localhost; returns its file and its key's."""
    import subprocess

    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key
