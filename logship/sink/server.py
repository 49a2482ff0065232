"""The sink of ``agent`` mode: batches go to the server's ``/api/agent/logs``."""

import http.client
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from logship import wire
from logship.sink.base import Sink
from model.errors import DeliveryError, reason_of
from model.log import Delivery, LogBatch

PATH = "/api/agent/logs"


class ServerSink:
    """POSTs wire batches over one kept connection; the answer is the delivery. See ``Sink``.

    Args:
        url: Of the server (``http://127.0.0.1:9800``) or of the whole endpoint.
        token_file: File with a bearer token, "" for none.
        ca_file: For https, certificates to trust instead of the system's.
    """

    def __init__(self, url: str, *, token_file: str = "", ca_file: str = "", name: str = "server") -> None:  # fmt: skip
        self.name = name
        self._url = urlsplit(url)
        self._path = self._url.path if self._url.path not in ("", "/") else PATH
        self._token_file = token_file
        self._ca_file = ca_file
        self._connection: http.client.HTTPConnection | None = None

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """See ``Sink.write``."""
        try:
            request = wire.encode(batches)
            status, reason, body, retry_after = self._post(request, timeout_seconds)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise DeliveryError(f"the server at {self._url.netloc} cannot be reached: {reason_of(error)}", retryable=True) from error  # fmt: skip
        if status == 200:
            return self._deliveries(body, batches)
        text = body[:200].decode("utf-8", "replace").strip()
        if status in (400, 413, 422):
            why = f"the server refuses the batch: {status} {text or reason}"
            return [_refused(len(batch), why) for batch in batches]
        raise DeliveryError(
            f"the server at {self._url.netloc} answers {status} {reason}: {text}",
            retryable=status not in (401, 403, 404),
            retry_after_seconds=float(retry_after) if retry_after.isdigit() else None,
        )

    def _deliveries(self, body: bytes, batches: Sequence[LogBatch]) -> Sequence[Delivery]:
        try:
            deliveries = wire.decode_deliveries(body)
        except ValueError as error:
            raise DeliveryError(str(error), retryable=True) from error
        if [len(d.status) for d in deliveries] != [len(b) for b in batches]:
            raise DeliveryError("the server's answer does not fit the batches", retryable=True)
        return deliveries

    def _post(self, body: bytes, timeout_seconds: float) -> tuple[int, str, bytes, str]:
        headers = {"Content-Type": wire.CONTENT_TYPE, "User-Agent": "taskscope-agent"}
        if self._token_file:
            headers["Authorization"] = f"Bearer {_read(self._token_file)}"
        fresh = self._connection is None
        connection = self._connection or self._connect(timeout_seconds)
        self._connection = connection
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if fresh:
                raise
            return self._post(body, timeout_seconds)  # the server had closed an idle connection
        return answer.status, answer.reason, answer.read(), answer.headers.get("Retry-After", "")

    def _connect(self, timeout_seconds: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "127.0.0.1", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context(cafile=self._ca_file or None)
            return http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=timeout_seconds)

    def check(self, timeout_seconds: float) -> None:
        """The first batch tells: a server that is away says so at once."""

    def close(self) -> None:
        """See ``Sink.close``."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DeliveryError(f"the token in {path} cannot be read: {error.strerror}", retryable=False) from error  # fmt: skip


def _refused(size: int, why: str) -> Delivery:
    return Delivery(np.full(size, 400, dtype=np.int16), dict.fromkeys(range(size), why))


if TYPE_CHECKING:
    _: type[Sink] = ServerSink
