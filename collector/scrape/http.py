"""One HTTP/1.1 response, taken in as it comes: a state machine without any socket.

Bodies come with a length, in chunks, or until the connection closes; gzip is unpacked as it comes,
so that neither a large body nor a small one that unpacks to a large one takes memory beyond the limit.
"""

from enum import Enum
from typing import Final

from isal import isal_zlib

_MAX_HEAD: Final = 64 << 10
_MAX_CHUNK_LINE: Final = 1 << 10
_MAX_ROOM: Final = 16 << 20  # a claim of more than this is not believed before it has come


class FetchError(Exception):
    """A response that cannot be used.

    Attributes:
        reason: One word for a counter.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _State(Enum):
    HEAD = "head"
    LENGTH = "length"
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    CHUNK_END = "chunk end"
    TRAILER = "trailer"
    UNTIL_CLOSE = "until close"
    DONE = "done"


class Response:
    """Feed it what the socket gives until ``done``.

    Args:
        max_body_bytes: Largest body taken, unpacked; 0 for no limit.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.wire_bytes = 0
        self._max = max_body_bytes or 1 << 62
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._left = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._whole: bytearray | None = None
        self._gzip: isal_zlib.Decompress | None = None
        self._packed = False  # whether anything packed has come
        self._http10 = False

    @property
    def done(self) -> bool:
        """Whether the response is complete."""
        return self._state is _State.DONE

    @property
    def keep_alive(self) -> bool:
        """Whether the connection can be used again."""
        said = self.headers.get("connection", "").lower()
        return "keep-alive" in said if self._http10 else "close" not in said

    @property
    def body_bytes(self) -> int:
        """Size of the unpacked body."""
        return self._size if self._whole is None else len(self._whole)

    def body(self) -> bytes | bytearray:
        """Return the unpacked body.

        Raises:
            FetchError: If it was packed and ends too early.
        """
        if self._gzip is not None and self._packed and not self._gzip.eof:
            raise FetchError("bad_encoding", "the gzip body is cut off")
        if self._whole is not None:
            return self._whole
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def close(self) -> None:
        """Note that the far side closed the connection.

        Raises:
            FetchError: If it did so in the middle.
        """
        if self._state is _State.UNTIL_CLOSE:
            self._state = _State.DONE
        elif self._state is not _State.DONE:
            raise FetchError("closed", "the connection closed before the response was complete")

    def feed(self, data: bytes) -> None:
        """Take in what came.

        Raises:
            FetchError: If it is not HTTP, is too large, or cannot be unpacked.
        """
        self.wire_bytes += len(data)
        if self._state is _State.LENGTH and not self._buffer:  # the common case, without a copy
            self._take_length(data)
            return
        if self._state is _State.UNTIL_CLOSE:
            self._take(data)
            return
        self._buffer += data
        while self._step():
            pass

    def room(self) -> memoryview | None:
        """Return where the rest of the body belongs; None if what comes must be fed.

        Most bodies are plain and of a known length: the socket writes them to their place at once.
        """
        if self._whole is None:
            return None
        return memoryview(self._whole)[len(self._whole) - self._left :]

    def filled(self, size: int) -> None:
        """Note that so many bytes have come to where ``room`` began."""
        self.wire_bytes += size
        self._left -= size
        if self._left == 0:
            self._state = _State.DONE

    def _step(self) -> bool:
        """Work off some of the buffer; False if more must come first."""
        if self._state is _State.HEAD:
            return self._read_head()
        if self._state is _State.LENGTH:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._take_length(data)
            return False
        if self._state is _State.UNTIL_CLOSE:
            self._take(bytes(self._buffer))
            self._buffer.clear()
            return False
        if self._state is _State.CHUNK:
            data = bytes(self._buffer[: self._left])
            del self._buffer[: self._left]
            self._left -= len(data)
            self._take(data)
            if self._left == 0:
                self._state = _State.CHUNK_END
            return self._left == 0
        if self._state in (_State.CHUNK_SIZE, _State.CHUNK_END, _State.TRAILER):
            return self._read_chunk_line()
        return False

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise FetchError("not_http", "the response has no HTTP header")
            if len(self._buffer) >= 5 and not self._buffer.startswith(b"HTTP/"):
                raise FetchError("not_http", "the response is not HTTP")
            return False
        head = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 4]
        first, *lines = head.split("\r\n")
        words = first.split(None, 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
            raise FetchError("not_http", "the response is not HTTP/1")
        self.status = int(words[1])
        self._http10 = words[0] == "HTTP/1.0"
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        if 100 <= self.status < 200:  # an interim answer, the real one follows
            return True
        self._begin_body()
        return True

    def _begin_body(self) -> None:
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding == "gzip":
            self._gzip = isal_zlib.decompressobj(wbits=31)
        elif encoding != "identity":
            raise FetchError("bad_encoding", f"the body has the encoding {encoding[:40]!r}")
        length = self.headers.get("content-length", "")
        if self.status in (204, 304):
            self._state = _State.DONE
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._state = _State.CHUNK_SIZE
        elif length.isdecimal() and length.isascii() and len(length) < 19:
            self._left = int(length)
            if self._left > self._max:
                raise self._too_large()
            self._state = _State.LENGTH if self._left else _State.DONE
            if self._gzip is None and 0 < self._left <= _MAX_ROOM:
                self._whole = bytearray(self._left)
        elif length:
            raise FetchError("not_http", "the response has a bad Content-Length")
        else:
            self._state = _State.UNTIL_CLOSE

    def _read_chunk_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_CHUNK_LINE:
                raise FetchError("not_http", "the response has a bad chunk")
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._state is _State.TRAILER:
            if not line:
                self._state = _State.DONE
            return bool(line)
        if self._state is _State.CHUNK_END:
            if line:
                raise FetchError("not_http", "the response has a bad chunk")
            self._state = _State.CHUNK_SIZE
            return True
        try:
            self._left = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            self._left = -1
        if self._left < 0:
            raise FetchError("not_http", "the response has a bad chunk")
        self._state = _State.CHUNK if self._left else _State.TRAILER
        return True

    def _take_length(self, data: bytes) -> None:
        if len(data) > self._left:
            raise FetchError("not_http", "the response is longer than its Content-Length")
        if self._whole is not None:
            at = len(self._whole) - self._left
            self._whole[at : at + len(data)] = data
        else:
            self._take(data)
        self._left -= len(data)
        if self._left == 0:
            self._state = _State.DONE

    def _take(self, data: bytes) -> None:
        if self._gzip is not None:
            data = self._unpack(self._gzip, data)
        if data:
            self._size += len(data)
            if self._size > self._max:
                raise self._too_large()
            self._parts.append(data)

    def _unpack(self, gzip: isal_zlib.Decompress, data: bytes) -> bytes:
        self._packed = True
        if gzip.eof:
            return b""
        try:
            return gzip.decompress(data, max_length=self._max - self._size + 1)
        except Exception as error:  # isal's own error class, which its stub does not declare as one
            raise FetchError("bad_encoding", "the body is not gzip") from error

    def _too_large(self) -> FetchError:
        return FetchError("body_too_large", f"the body is larger than {self._max} bytes")
