"""A small client of the Docker Engine API over its unix socket; standard library only.

The API version is negotiated: the newest both sides know, as ``GET /version`` says (Docker 29
refuses versions below 1.44, Docker 20.10 knows none above 1.41). One connection per request,
except for streams, which the caller closes.
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self
from urllib.parse import urlencode

from model.errors import DiscoveryError

NEWEST_API: Final = (1, 45)  # the newest version this client was written against
DEFAULT_SOCKET: Final = "unix:///var/run/docker.sock"


class DockerError(DiscoveryError):
    """Docker could not be asked or refused.

    Attributes:
        status: HTTP status, 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        self.sock = sock


class DockerStream:
    """An answer that goes on (events, logs, the output of an exec); close it to end it, from any thread."""

    def __init__(self, connection: http.client.HTTPConnection, sock: socket.socket) -> None:
        self._connection = connection
        self._sock = sock
        self._response: http.client.HTTPResponse | None = None

    @property
    def content_type(self) -> str:
        """What Docker says the bytes are (``application/vnd.docker.multiplexed-stream``, ...)."""
        return self._response.headers.get("Content-Type", "") if self._response else ""

    def attach(self, response: http.client.HTTPResponse) -> Self:
        """Read from this response."""
        self._response = response
        return self

    def read(self, size: int = 65536) -> bytes:
        """Return what is there, at most ``size`` bytes, waiting for the first; b"" at the end.

        Raises:
            DockerError: If the connection broke.
            TimeoutError: After a silence longer than allowed.
        """
        if self._response is None:
            return b""
        try:
            return self._response.read1(size)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # ValueError and AttributeError: closed by another thread in mid-read
            raise DockerError(f"the connection to Docker broke: {error}") from error

    def chunks(self) -> Iterator[bytes]:
        """Yield what comes until the end."""
        while data := self.read():
            yield data

    def lines(self) -> Iterator[bytes]:
        """Yield lines without their end until the stream ends; a torn last one is left out."""
        rest = b""
        for data in self.chunks():
            *whole, rest = (rest + data).split(b"\n")
            yield from whole

    def set_timeout(self, seconds: float | None) -> None:
        """Set the longest silence from here on."""
        self._sock.settimeout(seconds)

    def close(self) -> None:
        """End the stream; a reader in another thread gets the end or DockerError."""
        with contextlib.suppress(OSError):  # the far side may have closed it already
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._response is not None:
            self._response.close()
        self._connection.close()


class DockerClient:
    """Asks one Docker Engine.

    Args:
        socket_url: ``unix:///path``.
        timeout_seconds: Longest silence accepted in a request; streams have none.
    """

    def __init__(self, socket_url: str = DEFAULT_SOCKET, *, timeout_seconds: float = 10.0) -> None:
        self.path = socket_url.removeprefix("unix://")
        self._timeout = timeout_seconds
        self._prefix = ""

    def negotiate(self) -> dict[str, Any]:
        """Ask for the engine's version and use the newest API that both know; returns ``/version``."""
        version: dict[str, Any] = self._json("GET", "/version")
        server = _version(version.get("ApiVersion"))
        oldest = _version(version.get("MinAPIVersion"))
        use = max(min(server or NEWEST_API, NEWEST_API), oldest)
        self._prefix = f"/v{use[0]}.{use[1]}"
        return version

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON answer of a GET.

        Raises:
            DockerError: If Docker cannot be asked, or answers with an error.
        """
        return self._json("GET", self._versioned(path, query))

    def post(self, path: str, body: object = None, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON answer of a POST; see ``get``."""
        return self._json("POST", self._versioned(path, query), body)

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON answer of a DELETE; see ``get``."""
        return self._json("DELETE", self._versioned(path, query))

    def upload(self, path: str, content: bytes, query: Mapping[str, str] | None = None) -> None:
        """POST bytes as they are (a tar); Docker's answer is progress and is left unread.

        Raises:
            DockerError: If Docker cannot be asked, or answers with an error.
        """
        connection, response, _ = self._send("POST", self._versioned(path, query), content)
        try:
            response.read()
        finally:
            connection.close()

    def stream(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: object = None,
        timeout_seconds: float | None = None,
    ) -> DockerStream:
        """Open an answer that goes on.

        Args:
            path: Below the API version.
            query: Parameters.
            method: GET or POST.
            body: Sent as JSON.
            timeout_seconds: Longest silence within the stream, None for any.
        """
        connection, response, sock = self._send(method, self._versioned(path, query), body)
        sock.settimeout(timeout_seconds)
        return DockerStream(connection, sock).attach(response)

    def _versioned(self, path: str, query: Mapping[str, str] | None) -> str:
        if not self._prefix:
            self.negotiate()
        return f"{self._prefix}{path}?{urlencode(query)}" if query else self._prefix + path

    def _json(self, method: str, target: str, body: object = None) -> Any:
        connection, response, _ = self._send(method, target, body)
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        try:
            return json.loads(data) if data.strip() else None
        except ValueError as error:
            raise DockerError(f"Docker's answer to {target} is no JSON") from error

    def _send(
        self, method: str, target: str, body: object
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse, socket.socket]:
        connection = _UnixConnection(self.path, self._timeout)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        headers = {"Host": "docker"} | ({"Content-Type": kind} if data else {})
        try:
            connection.request(method, target, body=data, headers=headers)
            sock = connection.sock
            response = connection.getresponse()
            if response.status >= 400:
                raise _refused(method, target, response)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        except DockerError:
            connection.close()
            raise
        return connection, response, sock

    def _unreachable(self, error: Exception) -> DockerError:
        return DockerError(unreachable_sentence(self.path, error, self._timeout))


def unreachable_sentence(path: str, error: Exception, timeout_seconds: float) -> str:
    """Say in one sentence why Docker cannot be asked, and what to do."""
    if isinstance(error, FileNotFoundError):
        return f"Docker's socket {path} is not there; start Docker or set discovery.docker.socket"
    if isinstance(error, PermissionError):
        return (
            f"no rights on Docker's socket {path}; run as root or as a member of the group docker"
        )
    if isinstance(error, ConnectionRefusedError):
        return f"nobody answers on Docker's socket {path}; start Docker"
    if isinstance(error, TimeoutError):
        return f"Docker did not answer on {path} within {timeout_seconds:g} s"
    return f"Docker cannot be asked on {path}: {str(error) or type(error).__name__}"


def _refused(method: str, target: str, response: http.client.HTTPResponse) -> DockerError:
    text = response.read(4096)
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        message = text.decode(errors="replace").strip()
    where = target.partition("?")[0]
    return DockerError(f"{method} {where}: {response.status} {message}", response.status)


def _version(text: object) -> tuple[int, int]:
    try:
        major, minor = str(text).split(".")[:2]
        return int(major), int(minor)
    except ValueError:
        return (0, 0)
