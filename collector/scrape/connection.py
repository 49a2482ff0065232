"""One connection to one target, without waiting: TCP, TLS where asked for, one request at a time."""

import errno
import selectors
import socket
import ssl
from enum import Enum
from typing import Final

from collector.scrape.http import FetchError, Response
from collector.scrape.target import Tls

_READ: Final = 256 << 10
_READ_HEAD: Final = 4 << 10  # what belongs to the body is copied from here, so not more
_IN_PROGRESS: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK})


class _Step(Enum):
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    SENDING = "sending"
    RECEIVING = "receiving"


class Connection:
    """A socket and what it is doing; ``advance`` is called when the selector says it can go on.

    Args:
        address: Numeric address.
        port: TCP port.
        context: How to do TLS; None for plain HTTP.
        server_name: For TLS.

    Raises:
        OSError: If it cannot even begin to connect.
    """

    def __init__(
        self, address: str, port: int, context: ssl.SSLContext | None, server_name: str
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket: socket.socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._context = context
        self._server_name = server_name
        self._step = _Step.CONNECTING
        self._request = b""
        self._received = False
        self.response = Response(0)
        error = self._socket.connect_ex((address, port))
        if error not in _IN_PROGRESS:
            self._socket.close()
            raise OSError(error, "connect")

    def fileno(self) -> int:
        """Return the descriptor for the selector."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; safe twice."""
        self._socket.close()

    def send(self, request: bytes, response: Response) -> None:
        """Begin a request; on a connection that is still being made it goes out then."""
        self._request = request
        self._received = False
        self.response = response
        if self._step is _Step.RECEIVING:
            self._step = _Step.SENDING

    def rest(self) -> None:
        """Let go of the response: the connection outlives it, and its body is large."""
        self.response = Response(0)

    @property
    def established(self) -> bool:
        """Whether a request can go out at once."""
        return self._step in (_Step.SENDING, _Step.RECEIVING)

    @property
    def silent(self) -> bool:
        """Whether nothing has come back yet for this request."""
        return not self._received

    def advance(self) -> int:
        """Go on as far as possible; return the selector events to wait for.

        Raises:
            OSError: If the connection fails (ssl's errors are OSErrors).
            FetchError: If the response cannot be used.
        """
        try:
            return self._advance()
        except (ssl.SSLWantReadError, BlockingIOError):
            writing = self._step is _Step.SENDING and not isinstance(self._socket, ssl.SSLSocket)
            return selectors.EVENT_WRITE if writing else selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE

    def _advance(self) -> int:
        if self._step is _Step.CONNECTING:
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "connect")
            self._step = _Step.SENDING
            if self._context is not None:
                self._socket = self._context.wrap_socket(
                    self._socket, server_hostname=self._server_name, do_handshake_on_connect=False
                )
                self._step = _Step.HANDSHAKE
        if self._step is _Step.HANDSHAKE and isinstance(self._socket, ssl.SSLSocket):
            self._socket.do_handshake()
            self._step = _Step.SENDING
        if self._step is _Step.SENDING:
            while self._request:
                sent = self._socket.send(self._request)
                self._request = self._request[sent:]
            self._step = _Step.RECEIVING
            return selectors.EVENT_READ
        return self._receive()

    def _receive(self) -> int:
        """Read the head and once more; over TLS until its buffer is empty, the selector does not see that."""
        response = self.response
        while True:
            first = not self._received
            if (room := response.room()) is not None:
                size = self._socket.recv_into(room)
                response.filled(size)
            else:
                data = self._socket.recv(_READ_HEAD if first else _READ)
                size = len(data)
                if data:
                    response.feed(data)
            if not size:
                response.close()
                return selectors.EVENT_READ
            self._received = True
            if response.done or not (first or isinstance(self._socket, ssl.SSLSocket)):
                return selectors.EVENT_READ


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return how TLS is done.

    Raises:
        FetchError: If a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
    except (OSError, ValueError) as error:
        raise FetchError("tls", f"the TLS files cannot be used: {error}") from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def describe(error: OSError) -> FetchError:
    """Say in one word and one sentence why a connection failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return FetchError("tls", f"the certificate is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return FetchError("tls", f"TLS failed: {error.reason or error}")
    if error.errno == errno.ECONNREFUSED:
        return FetchError("refused", "the connection was refused")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return FetchError("unreachable", "there is no way to the address")
    name = errno.errorcode.get(error.errno or 0, "")
    return FetchError("connection", f"the connection failed: {name or error}")
