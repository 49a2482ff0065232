"""Posts remote write requests over one kept connection."""

import http.client
import ssl
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import cramjam

from model.errors import DeliveryError, reason_of
from storage.interface import Written

_TOO_MANY: Final = 429
_UNSUPPORTED: Final = 415
_WRITTEN: Final = "X-Prometheus-Remote-Write-{}-Written"


class Protocol(NamedTuple):
    """A version of the protocol."""

    message: str
    content_type: str
    version: str


PROTOCOLS: Final = {
    1: Protocol("prometheus.WriteRequest", "application/x-protobuf", "0.1.0"),
    2: Protocol(
        "io.prometheus.write.v2.Request",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "2.0.0",
    ),
}


class RefusedError(DeliveryError):
    """The far side answered, but not with success.

    Attributes:
        status: The HTTP status.
        written: What it has stored all the same; None if it does not say.
    """

    def __init__(
        self,
        message: str,
        status: int,
        *,
        retryable: bool,
        retry_after_seconds: float | None,
        written: Written | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after_seconds=retry_after_seconds)
        self.status = status
        self.written = written


class RemoteWriteClient:
    """Sends to one URL; for one thread at a time.

    Args:
        url: Where to, with its scheme.
        timeout_seconds: For each step of a request.
        authorization: Makes the Authorization header, anew for each request; "" for none.
        context: For https; the system's certificates if None.
        headers: Sent with each request beside those that the protocol asks for.
        retry_on_429: Whether 429 is worth another try.
        version: Of the protocol, 1 or 2.

    Raises:
        ValueError: If the URL is not one of http or https.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float = 30.0,
        authorization: Callable[[], str] = str,
        context: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        retry_on_429: bool = True,
        version: int = 1,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the URL of a remote write endpoint")
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authorization = authorization
        self._headers = dict(headers or {})
        self._retry_on_429 = retry_on_429
        self._protocol = PROTOCOLS[version]
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                parts.hostname,
                parts.port,
                timeout=timeout_seconds,
                context=context or ssl.create_default_context(),
            )
        else:
            self._connection = http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=timeout_seconds
            )

    def post(self, message: bytes) -> Written | None:
        """Send one request and return when the far side has taken it.

        Returns:
            How much it says that it has stored; None if it does not say, as with 1.0.

        Raises:
            DeliveryError: If it did not; says whether to try again. A RefusedError if it answered.
        """
        headers = self._headers | {
            "Content-Encoding": "snappy",
            "Content-Type": self._protocol.content_type,
            "User-Agent": "Taskscope",
            "X-Prometheus-Remote-Write-Version": self._protocol.version,
        }
        body = bytes(cramjam.snappy.compress_raw(message))
        try:
            authorization = self._authorization()
            if authorization:
                headers["Authorization"] = authorization
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            said = response.read(2048)
            complete = response.isclosed()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise DeliveryError(
                f"no answer from the remote store: {reason_of(error)}", retryable=True
            ) from error
        if not complete:  # what is left of a long answer would be taken for the next one
            self._connection.close()
        written = _written(response)
        if response.status // 100 != 2:
            text = said.decode("utf-8", "replace").strip().partition("\n")[0][:200]
            if response.status == _UNSUPPORTED:
                text = f"it does not take {self._protocol.message} (protobuf_message): {text}"
            again = response.status >= 500 or (response.status == _TOO_MANY and self._retry_on_429)
            raise RefusedError(
                f"the remote store answered {response.status}: {text}",
                response.status,
                retryable=again,
                retry_after_seconds=_seconds(response.getheader("Retry-After")),
                written=written,
            )
        return written

    def close(self) -> None:
        """Close the connection; safe twice."""
        self._connection.close()


def _written(response: http.client.HTTPResponse) -> Written | None:
    """Return what the headers of 2.0 say; None without any of them."""
    kinds = ("Samples", "Histograms", "Exemplars")
    said = [response.getheader(_WRITTEN.format(kind)) for kind in kinds]
    if not any(said):
        return None
    return Written(*(int(one) if one and one.isdecimal() and one.isascii() else 0 for one in said))


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() and text.isascii() else None
