"""The sink for Fluentd and Fluent Bit: the forward protocol, each chunk acknowledged.

A batch is a PackedForward message; its records are the ECS documents, its chunk's name is made of
what it holds, so that a receiver that knows chunks takes one that is sent again once. Delivered is
what was acknowledged (on Fluentd: is in its buffer; ``require_ack_response``).
"""

import socket
import ssl
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
import numpy as np
import orjson

from logship import ecs
from logship.sink.base import Sink
from logship.source.forward.handshake import ClientHandshake
from logship.source.forward.message import value_of
from logship.source.forward.scanner import BadMessageError, Scanner
from model.errors import DeliveryError, reason_of
from model.log import Delivery, LogBatch

ANSWER_BYTES_MAX: Final = 1 << 20
_READ_BYTES: Final = 64 << 10
_encode = msgspec.msgpack.encode


class ForwardSink:
    """Sends over one kept connection. See ``Sink``.

    Args:
        endpoint: ``tcp://host:port`` or ``tls://host:port``.
        tag: Of all messages; the record's ``event.dataset`` tells kinds apart.
        shared_key_file: File with the key, "" for none.
        ca_file: For ``tls://``, certificates to trust instead of the system's.
        compress: Whether to send gzip.
        host: This host's name, for the handshake.
    """

    def __init__(
        self, endpoint: str, *, tag: str = "taskscope", shared_key_file: str = "", ca_file: str = "",
        compress: bool = True, host: str = "taskscope", name: str = "forward",
    ) -> None:  # fmt: skip
        self.name = name
        self._url = urlsplit(endpoint)
        self._tag = tag
        self._shared_key_file = shared_key_file
        self._ca_file = ca_file
        self._compress = compress
        self._host = host
        self._socket: socket.socket | None = None
        self._received = b""

    def write(self, batches: Sequence[LogBatch], timeout_seconds: float) -> Sequence[Delivery]:
        """See ``Sink.write``; all messages are sent before the first acknowledgement is waited for."""
        messages = [self._message(batch) for batch in batches]
        try:
            sock = self._connected(timeout_seconds)
            sock.settimeout(timeout_seconds)
            waiting = {chunk for chunk, _ in messages}
            for _, data in messages:
                sock.sendall(data)
            for answer in self._answers(sock):
                waiting.discard(_chunk_of(answer))
                if not waiting:
                    break
        except TimeoutError as error:
            self.close()
            raise DeliveryError(f"{self._where} does not acknowledge in time (does it have an ack-capable forward input?)", retryable=True) from error  # fmt: skip
        except (OSError, BadMessageError) as error:
            self.close()
            refused = isinstance(error, BadMessageError | ssl.SSLCertVerificationError)
            raise DeliveryError(f"{self._where}: {reason_of(error)}", retryable=not refused) from error  # fmt: skip
        return [Delivery(np.full(len(batch), 201, dtype=np.int16)) for batch in batches]

    @property
    def _where(self) -> str:
        return f"the forward receiver at {self._url.netloc}"

    def _message(self, batch: LogBatch) -> tuple[str, bytes]:
        """Return a chunk's name and its message."""
        documents = ecs.documents(batch)
        entries = b"".join(
            _encode([_event_time(ns), orjson.loads(document)])
            for ns, document in zip(batch.ts_ns.tolist(), documents, strict=True)
        )
        name = f"{batch.source_id}:{batch.offsets[0]}:{batch.offsets[-1]}:{len(batch)}"
        chunk = blake2b(name.encode(), digest_size=16).hexdigest()
        option: dict[str, Any] = {"chunk": chunk, "size": len(batch)}
        if self._compress:
            option["compressed"] = "gzip"
            packer = zlib.compressobj(1, wbits=31)
            entries = packer.compress(entries) + packer.flush()
        return chunk, _encode([self._tag, entries, option])

    def _connected(self, timeout_seconds: float) -> socket.socket:
        if self._socket is not None:
            return self._socket
        address = (self._url.hostname or "127.0.0.1", self._url.port or 24224)
        sock = socket.create_connection(address, timeout=timeout_seconds)
        self._socket, self._received = sock, b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._url.scheme == "tls":
            context = ssl.create_default_context(cafile=self._ca_file or None)
            self._socket = sock = context.wrap_socket(sock, server_hostname=self._url.hostname)
        if self._shared_key_file:
            hands = ClientHandshake(_key(self._shared_key_file), self._host)
            answers = self._answers(sock)
            sock.sendall(hands.ping(next(answers)))
            hands.check(next(answers))
        return sock

    def _answers(self, sock: socket.socket) -> Iterator[bytes]:
        """Yield the values that come back.

        Raises:
            OSError: If the connection ends before.
            BadMessageError: If something else comes.
        """
        scanner = Scanner(ANSWER_BYTES_MAX)
        while True:
            end = scanner.find(self._received) if self._received else -1
            if end >= 0:
                value, self._received = self._received[:end], self._received[end:]
                yield value
                continue
            data = sock.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError("it has closed the connection")
            self._received += data

    def check(self, timeout_seconds: float) -> None:
        """Connect; a receiver that is away says so before there is anything to send."""
        try:
            self._connected(timeout_seconds)
        except (OSError, BadMessageError) as error:
            self.close()
            raise DeliveryError(f"{self._where}: {reason_of(error)}", retryable=True) from error

    def close(self) -> None:
        """See ``Sink.close``."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()


def _event_time(ns: int) -> msgspec.msgpack.Ext:
    seconds, nanos = divmod(ns, 1_000_000_000)
    return msgspec.msgpack.Ext(0, (seconds & 0xFFFFFFFF).to_bytes(4, "big") + nanos.to_bytes(4, "big"))  # fmt: skip


def _chunk_of(answer: bytes) -> str:
    value = value_of(answer)
    chunk = value.get("ack") if isinstance(value, dict) else None
    return chunk if isinstance(chunk, str) else ""


def _key(path: str) -> bytes:
    try:
        return Path(path).read_bytes().strip()
    except OSError as error:
        raise DeliveryError(f"the shared key in {path} cannot be read: {error.strerror}", retryable=False) from error  # fmt: skip


if TYPE_CHECKING:
    _: type[Sink] = ForwardSink
