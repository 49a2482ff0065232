"""A container's log through Docker's API, for who may not read the files or where there are none.

``GET /containers/<id>/logs?follow=1&timestamps=1`` over the unix socket, one connection per
container, polled by the reader like a file. A line's position is its time in ns (plus one for
each line of the same instant), so a stream is resumed by time and records keep their ids. All
sinks move together here: the runtime remembers, but there is no second reader.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from logship.checkpoint import Entry
from logship.parse import timestamps
from logship.parse.batch import Origin
from logship.parse.lines import Lines
from logship.parse.parser import Parser
from logship.source.chunk import Chunk, Stream
from logship.source.frames import Frames
from logship.source.known import KnownFiles
from logship.source.rotation import QUIET_SECONDS
from model.task import Task

RECV_BYTES: Final = 256 << 10
BUFFER_BYTES: Final = 1 << 20
RECONNECT_SECONDS: Final = 1.0
OVERLAP_NS: Final = 1_000  # more than a line can have parts of one instant
_log = logging.getLogger(__name__)


class _GoneError(OSError):
    """Docker knows no such container any more."""


class ApiOrigin(Struct):
    """Positions in a stream; see ``chunk.Origin`` and ``LogFile``."""

    inode: int = 0
    device: int = 0
    fingerprint: str = "api"
    generation: int = 0
    source_id: str = ""
    size: int = 2**63 - 1
    positions: dict[str, int] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
    counted: int = 0

    def holds(self, entry: Entry) -> bool:
        """See ``Identified.holds``: times do not change."""
        return True

    def mark(self) -> tuple[int, str]:
        """See ``Identified.mark``."""
        return 0, ""


class ApiStream:
    """See ``Stream``."""

    def __init__(
        self,
        key: str,
        task: Task,
        socket_path: str,
        parser: Parser,
        known: KnownFiles,
        sinks: Sequence[str],
        origin: Callable[[Task, str], Origin],
    ) -> None:
        self.key = key
        self.task = task
        self.gone = False
        self.problem = ""
        self._socket_path = socket_path
        self._parser = parser
        self._sinks = tuple(sinks)
        self._origin_of = origin
        self._origin = ApiOrigin()
        known.identify(key, self._origin, lambda key, file: f"{key}:{file.generation}")  # fmt: skip
        self._connection: socket.socket | None = None
        self._header: bytearray | None = None
        self._frames = Frames(tty=task.status.tty)
        self._lines = Lines([], [], [], [], [], [], {})
        self._bytes = 0
        self._last = -1  # position of the last line taken, on this connection
        self._grown_at = 0.0
        self._retry_at = 0.0
        self._ended = False

    def losses(self) -> tuple[int, int]:
        """See ``Stream.losses``; nobody can truncate what the runtime gives."""
        return 0, 0

    def settled(self, now: float) -> bool:
        """See ``Stream.settled``: the socket is asked each time, until nothing will come."""
        return self._ended and not self._lines.texts

    @property
    def watched(self) -> tuple[Path, Path | None]:
        """See ``Stream.watched``."""
        return Path(self._socket_path), None

    # ------------------------------------------------------------ receiving

    def refresh(self, now: float, now_ns: int) -> bool:
        """See ``Stream.refresh``."""
        try:
            if self._connection is None and not self._ended and now >= self._retry_at:
                self._connect()
            if self._connection is not None and self._bytes < BUFFER_BYTES:
                self._receive(now)
        except _GoneError:
            # nobody can do anything about it, so it is said once and is no lasting problem
            _log.warning(
                "the log of %s went with its container before it could be read",
                self.task.identity.container_name or self.key,
            )
            self.problem, self._ended = "", True
            self._disconnect(now)
        except OSError as error:
            self.problem = f"the log of {self.task.identity.container_name or self.key} cannot be read through Docker's API: {error.strerror or error}"  # fmt: skip
            self._disconnect(now)
        return bool(self._lines.texts)

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._connection = connection
        connection.settimeout(5.0)
        connection.connect(self._socket_path)
        query = "follow=1&stdout=1&stderr=1&timestamps=1"
        since = self._position() - OVERLAP_NS
        if since > 0:
            query += f"&since={since // 1_000_000_000}.{since % 1_000_000_000:09d}"
        # HTTP/1.0, so that the answer is not chunked
        request = f"GET /containers/{self.task.identity.container_id}/logs?{query} HTTP/1.0\r\nHost: docker\r\n\r\n"  # fmt: skip
        connection.sendall(request.encode())
        connection.setblocking(False)
        self._header = bytearray()
        self._frames = Frames(tty=self.task.status.tty)
        self._lines = Lines([], [], [], [], [], [], {})
        self._bytes = 0
        self._last = -1

    def _receive(self, now: float) -> None:
        assert self._connection is not None
        try:
            data = self._connection.recv(RECV_BYTES)
        except BlockingIOError:
            return
        if self._header is not None and data:
            data = self._answer(data)
            if not data:
                return
        if not data:
            self._disconnect(now)
            # a container that runs again goes on in a new connection
            self._ended = self.gone
            return
        self._grown_at = now
        self._take(self._frames.feed(data))

    def _answer(self, data: bytes) -> bytes:
        """Collect the answer's header; return what stands behind it."""
        assert self._header is not None
        self._header += data
        head, found, rest = bytes(self._header).partition(b"\r\n\r\n")
        if not found:
            return b""
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            if status == [b"404"]:
                raise _GoneError
            text = rest.decode("utf-8", "replace").strip()[:200]
            raise OSError(0, f"it answers {b''.join(status).decode()} {text}")
        self._header = None
        self.problem = ""
        return rest

    def _take(self, frames: Sequence[tuple[str, str, str, bool]]) -> None:
        """Add lines; those that every sink has already (the overlap) only count up positions."""
        lines = self._lines
        position = self._position()
        for stream, time, text, partial in frames:
            at = timestamps.scalar(time)
            self._last = max(at, self._last + 1)
            if self._last < position:
                continue
            if not lines.texts:
                lines.starts = [self._last]
            else:
                lines.starts[-1] = self._last
            lines.starts.append(self._last + 1)
            if partial:
                lines.partial.append(len(lines.texts))
            lines.texts.append(text)
            lines.streams.append(stream)
            lines.times.append(time)
            self._bytes += len(text) + 64

    def _disconnect(self, now: float) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._retry_at = now + RECONNECT_SECONDS

    # ------------------------------------------------------------ reading

    def _position(self) -> int:
        return min((self._origin.positions.get(sink, 0) for sink in self._sinks), default=0)

    def read(self, sink: str, now: float, read_ns: int) -> Chunk | None:
        """See ``Stream.read``."""
        position = self._origin.positions.get(sink, 0)
        if not self._lines.texts or position != self._position():
            return None
        closing = now - self._grown_at >= QUIET_SECONDS or self._bytes >= BUFFER_BYTES
        final = (closing and self._ended) or self._bytes >= BUFFER_BYTES
        origin = self._origin_of(self.task, self._origin.source_id)
        parsed = self._parser.lines(self._lines, origin, read_ns, closing=closing, final=final)
        if not parsed.batches:
            return None
        return Chunk(self._origin, self.task, position, parsed.end, parsed.batches, self._bytes, parsed.tally)  # fmt: skip

    def fits(self, sink: str, chunk: Chunk) -> bool:
        """See ``Stream.fits``."""
        return self._origin.positions.get(sink, 0) == chunk.start

    def advance(self, sink: str, chunk: Chunk) -> None:
        """See ``Stream.advance``; lines that every sink has taken are let go."""
        self._origin.positions[sink] = chunk.end
        position = self._position()
        lines = self._lines
        keep = next((n for n, at in enumerate(lines.starts) if at >= position), len(lines.starts))
        keep = min(keep, len(lines.texts))
        partial = [row - keep for row in lines.partial if row >= keep]
        self._lines = Lines(lines.texts[keep:], lines.starts[keep:], lines.streams[keep:], lines.times[keep:], partial, [], {})  # fmt: skip
        self._bytes = sum(len(text) + 64 for text in self._lines.texts)

    def lag_bytes(self) -> int:
        """See ``Stream.lag_bytes``; what the runtime still has is not known."""
        return self._bytes

    def lag_seconds(self, now: float) -> float:
        """See ``Stream.lag_seconds``."""
        return max(0.0, now - self._grown_at) if self._bytes else 0.0

    @property
    def finished(self) -> bool:
        """See ``Stream.finished``."""
        done = all(self._origin.acked.get(s, 0) >= self._origin.positions.get(s, 0) for s in self._sinks)  # fmt: skip
        return self.gone and (self._ended or self._connection is None) and not self._lines.texts and done  # fmt: skip

    def close(self) -> None:
        """See ``Stream.close``."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


if TYPE_CHECKING:
    _: type[Stream] = ApiStream
