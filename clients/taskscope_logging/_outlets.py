"""Where records go: standard output, or a receiver of fluentd's forward protocol."""

import encodings.idna  # noqa: F401  else the first connection imports it, and a fork meanwhile leaves half of it
import hashlib
import json
import os
import select
import socket
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgpack
from fluent.sender import EventTime

SEND_SECONDS = 5.0
_READ_BYTES = 4096


class Chunk(NamedTuple):
    """Records that are delivered together, as the receiver gets them.

    The bytes are made once: who sends them again, in another process even, sends the very same,
    and that is what a receiver knows a repetition by.

    Attributes:
        id: What the receiver acknowledges; "" where nothing is.
        records: How many.
        message: As it is sent.
    """

    id: str
    records: int
    message: bytes


class Outlet(Protocol):
    """Takes packed records; all but ``pack`` is called by one thread at a time."""

    def pack(self, fields: "dict[str, Any]", created: float) -> bytes:
        """Return a record as it is sent; any thread may ask."""
        ...

    def seal(self, records: Sequence[bytes]) -> Chunk:
        """Return packed records as they are sent; may be called while ``deliver`` runs."""
        ...

    def deliver(self, chunk: Chunk, deadline: float) -> None:
        """Return when it is there; ``deadline`` is monotonic.

        Raises:
            OSError: If it is not; the same is given again later.
        """
        ...

    def forget(self) -> None:
        """Let go of what a forked child has of its parent's connection."""
        ...

    def close(self) -> None:
        """Let go of everything; safe twice."""
        ...


class Stdout:
    """One JSON object per line on standard output."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def pack(self, fields: "dict[str, Any]", created: float) -> bytes:
        """See ``Outlet.pack``."""
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def seal(self, records: Sequence[bytes]) -> Chunk:
        """See ``Outlet.seal``."""
        return Chunk("", len(records), b"".join(records))

    def deliver(self, chunk: Chunk, deadline: float) -> None:
        """See ``Outlet.deliver``; a pipe that nobody reads is waited for until the deadline."""
        data = memoryview(self._rest or chunk.message)
        while data:
            left = max(0.0, deadline - time.monotonic())
            _, ready, _ = select.select([], [self._descriptor], [], left)
            if not ready:
                # what was written is not written again
                self._rest = bytes(data)
                raise TimeoutError("nobody reads standard output")
            # a pipe that is ready takes this much without waiting (POSIX, PIPE_BUF)
            data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
        self._rest = b""

    def forget(self) -> None:
        """See ``Outlet.forget``."""
        self._rest = b""

    def close(self) -> None:
        """See ``Outlet.close``; standard output is the process's."""


class Forward:
    """PackedForward messages, each acknowledged.

    Args:
        host: Of the receiver.
        port: Of the receiver.
        tag: Of all messages.
    """

    def __init__(self, host: str, port: int, tag: str) -> None:
        self._address = (host, port)
        self._tag = tag
        self._socket: socket.socket | None = None
        self._sender = uuid.uuid4().bytes
        self._sealed = 0

    def pack(self, fields: "dict[str, Any]", created: float) -> bytes:
        """See ``Outlet.pack``."""
        packed: bytes = msgpack.packb([EventTime(created), fields])
        return packed

    def seal(self, records: Sequence[bytes]) -> Chunk:
        """See ``Outlet.seal``; no two chunks of any process have the same id."""
        number = self._sealed.to_bytes(8, "big")
        self._sealed += 1
        chunk = hashlib.sha256(self._sender + number).hexdigest()[:32]
        message = msgpack.packb([self._tag, b"".join(records), {"chunk": chunk, "size": len(records)}])  # fmt: skip
        return Chunk(chunk, len(records), message)

    def deliver(self, chunk: Chunk, deadline: float) -> None:
        """See ``Outlet.deliver``."""
        try:
            sock = self._connected(deadline)
            sock.settimeout(_left(deadline))
            sock.sendall(chunk.message)
            self._wait(sock, chunk.id, deadline)
        except (OSError, ValueError, msgpack.UnpackException) as error:
            self.close()
            raise OSError(str(error)) from error

    def _connected(self, deadline: float) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=_left(deadline))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _wait(self, sock: socket.socket, chunk: str, deadline: float) -> None:
        """Wait for the acknowledgement of a chunk."""
        unpacker = msgpack.Unpacker(max_buffer_size=1 << 16)
        while True:
            sock.settimeout(_left(deadline))
            data = sock.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError("the receiver has closed the connection")
            unpacker.feed(data)
            for answer in unpacker:
                if isinstance(answer, dict) and answer.get("ack") == chunk:
                    return

    def forget(self) -> None:
        """See ``Outlet.forget``: the connection stays the parent's, and the child is another sender."""
        self.close()
        self._sender = uuid.uuid4().bytes
        self._sealed = 0

    def close(self) -> None:
        """See ``Outlet.close``."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()


def _left(deadline: float) -> float:
    """Return the seconds until a deadline, a few of them at the least: 0 would mean not to wait at all."""
    return max(0.01, deadline - time.monotonic())
