"""Servers on loopback that behave and misbehave."""

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def serve(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Let each connection be handled by a function in a thread; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    over = threading.Event()

    def handle(connection: socket.socket) -> None:
        # what the far side does to us is not the test's business
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5)
            if context is None:
                behaviour(connection)
                return
            with context.wrap_socket(connection, server_side=True) as wrapped:
                behaviour(wrapped)

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join()
        listener.close()


def answer(
    status: str = "200 OK", body: bytes = b"", headers: str = "", *, length: bool = True
) -> Behaviour:
    """Answer each request alike."""

    def behave(connection: socket.socket) -> None:
        request(connection)
        size = f"Content-Length: {len(body)}\r\n" if length else ""
        connection.sendall(f"HTTP/1.1 {status}\r\n{size}{headers}\r\n".encode() + body)

    return behave


def redirects(target: Callable[[str], str]) -> Behaviour:
    """Answer each path with a redirect to what ``target`` makes of it; "" for 200."""

    def behave(connection: socket.socket) -> None:
        path = request(connection).split(" ")[1]
        location = target(path)
        if location:
            head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        else:
            head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        connection.sendall(head.encode())

    return behave


def request(connection: socket.socket) -> str:
    """Read a request's head."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(4096)
        if not part:
            break
        data += part
    return data.decode(errors="replace")


def hang(connection: socket.socket) -> None:
    """Take the request and say nothing."""
    request(connection)
    time.sleep(3)


def half_header(connection: socket.socket) -> None:
    """Begin the head and stop."""
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
    time.sleep(3)


def drip(connection: socket.socket) -> None:
    """Send an endless head, a byte at a time, so that no single read ever waits long."""
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.03)


def slow_body(connection: socket.socket) -> None:
    """Send the head, then the body too slowly."""
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.03)


def reset(connection: socket.socket) -> None:
    """Break the connection with RST."""
    request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(connection: socket.socket) -> None:
    """Close without a word."""
    request(connection)


def garbage(connection: socket.socket) -> None:
    """Speak something else."""
    request(connection)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\x00\xff\r\n")


def endless(connection: socket.socket) -> None:
    """Send a body without an end."""
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def big_head(connection: socket.socket) -> None:
    """Send a header line of 1 MB."""
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n")


def chunked(connection: socket.socket) -> None:
    """Send a body in chunks; the word to find is cut over two."""
    request(connection)
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nall\r\n6\r\n is we\r\n2\r\nll\r\n0\r\n\r\n"
    )


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def self_signed(directory: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that nobody trusts."""
    key, certificate = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
            "-subj",
            "/CN=wrong.example",
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
