"""HTTP and HTTPS: a status in range, and what the body must contain, within one time limit for all of it."""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urljoin, urlsplit

from configfile.pattern import compile_pattern
from healthcheck.prober.outcome import Outcome, failed, not_made, of_socket_error, passed

MAX_BODY_BYTES: Final = 256 * 1024  # as much is searched for the pattern
_MAX_REDIRECTS: Final = 5
_OUTPUT_BYTES: Final = 512  # of a body that failed
_GLANCE_SECONDS: Final = 0.2  # for a body that decides nothing


class _Deadline(io.RawIOBase):
    """A socket as a file whose every read is bounded by one moment, so that drops of data cannot stretch it."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)

    def hurry(self, seconds: float) -> None:
        """Bring the moment nearer."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """Give http.client what it asks a socket for."""
        return io.BufferedReader(self, 16384)


def probe_http(
    address: str,
    port: int,
    path: str,
    *,
    tls: bool,
    status: tuple[tuple[int, int], ...],
    body_regex: str,
    verify_certificate: bool,
    timeout_seconds: float,
) -> Outcome:
    """GET a path. Redirects are followed only on the same address and port; others count as what they are."""
    scheme = "https" if tls else "http"
    base = f"{scheme}://{_bracketed(address)}:{port}"
    deadline = time.monotonic() + timeout_seconds
    url = urljoin(base, path)
    seen = set()
    try:
        pattern = compile_pattern(body_regex.encode()) if body_regex else None
    except ValueError as error:
        return not_made("pattern", f"body_regex {error}")
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            seen.add(url)
            code, location, body = _get(
                address,
                port,
                url.removeprefix(base),
                context=_context(verify_certificate) if tls else None,
                deadline=deadline,
                body_needed=lambda code: _in(code, status) and pattern is not None,
            )
            target = urljoin(url, location) if 300 <= code < 400 and location else ""
            if not target or not _same(target, base):
                break
            if target in seen:
                return failed(f"{url}: redirects in a circle to {target}")
            url = target
        else:
            return failed(f"{base}{path}: more than {_MAX_REDIRECTS} redirects")
    except TimeoutError:
        return failed(f"{url}: no whole answer within {timeout_seconds:g} s")
    except ssl.SSLError as error:
        return failed(f"{url}: {getattr(error, 'verify_message', '') or error.reason or error}")
    except http.client.HTTPException as error:
        return failed(f"{url}: no HTTP answer: {error!r}")
    except OSError as error:
        return of_socket_error(error, url)
    except ValueError as error:
        return failed(f"{url}: {error}")
    said = body[:_OUTPUT_BYTES].decode(errors="replace").strip()
    if not _in(code, status):
        return failed(f"{url}: status {code}" + (f": {said}" if said else ""))
    if pattern is not None and pattern.search(body) is None:
        return failed(f"{url}: status {code}, but the body does not match {body_regex!r}: {said}")
    return passed(f"{url}: status {code}")


def _get(
    address: str,
    port: int,
    target: str,
    *,
    context: ssl.SSLContext | None,
    deadline: float,
    body_needed: Callable[[int], bool],
) -> tuple[int, str, bytes]:
    """Return status, Location and the body as far as it is needed; else its first bytes if they come at once."""
    with socket.create_connection((address, port), timeout=_left(deadline)) as plain:
        sock = plain
        if context is not None:
            plain.settimeout(_left(deadline))
            sock = context.wrap_socket(plain, server_hostname=address)
        try:
            sock.settimeout(_left(deadline))
            sock.sendall(
                f"GET {target or '/'} HTTP/1.1\r\nHost: {_bracketed(address)}:{port}\r\n"
                "User-Agent: taskscope-healthcheck\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            raw = _Deadline(sock, deadline)
            with http.client.HTTPResponse(cast("socket.socket", raw), method="GET") as response:
                response.begin()
                location = response.headers.get("Location", "")
                if body_needed(response.status):
                    return response.status, location, response.read(MAX_BODY_BYTES)
                raw.hurry(_GLANCE_SECONDS)
                try:
                    body = response.read1(_OUTPUT_BYTES)
                except (OSError, http.client.HTTPException):
                    body = b""
                return response.status, location, body
        finally:
            if sock is not plain:
                sock.close()


def _context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _in(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= code <= high for low, high in ranges)


def _same(url: str, base: str) -> bool:
    """Whether a URL is on the very address that was probed."""
    one, two = urlsplit(url), urlsplit(base)
    return (one.scheme, one.netloc) == (two.scheme, two.netloc)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
