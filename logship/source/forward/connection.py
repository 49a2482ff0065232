"""One connection of the forward server: bytes in, whole messages out, acknowledgements back."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from logship.source.forward.handshake import ServerHandshake
from logship.source.forward.scanner import BadMessageError, Scanner

SMALL_BYTES: Final = 8 << 10  # a message that is longer needs a place among the large ones
GREETING_BYTES_MAX: Final = 4 << 10
ANSWERS_BYTES_MAX: Final = 256 << 10
MESSAGE_SECONDS: Final = 30.0
GREETING_SECONDS: Final = 10.0
PLACE_SECONDS: Final = 3.0  # beyond what the message takes at
PLACE_BYTES_PER_SECOND: Final = 256 << 10


class ClosedError(Exception):
    """The other side has gone; nothing to say about it."""


class Connection:
    """Reads and writes without waiting.

    Args:
        sock: Accepted, not blocking; wrapped already where there is TLS.
        handshake: None where no key is asked for.
        message_bytes: Longest message.
        now: Monotonic seconds.

    Attributes:
        large: Whether it has a place for a long message.
        deadline: When it is closed unless it gets on; None while it is idle.
        active_at: When something came from it.
        answered_at: When it last got an acknowledgement.
        owners: Keys of those whose lines came; Docker makes a connection for each container.
    """

    def __init__(self, sock: socket.socket, handshake: ServerHandshake | None, message_bytes: int, now: float) -> None:  # fmt: skip
        self.sock = sock
        self.large = False
        self.active_at = now
        self.answered_at = 0.0
        self.owners: set[str] = set()
        self.deadline: float | None = None
        self._place_at = 0.0
        self._greeting = isinstance(sock, ssl.SSLSocket)
        self._handshake = handshake
        self._authorized = handshake is None
        self._scanner = Scanner(message_bytes)
        self._received = bytearray()
        self._answers = bytearray()
        if self._greeting or not self._authorized:
            self.deadline = now + GREETING_SECONDS
        if not self._greeting and handshake is not None:
            self._answers += handshake.helo()

    @property
    def held_bytes(self) -> int:
        """Bytes of a message that has begun."""
        return len(self._received)

    @property
    def needs_place(self) -> bool:
        """Whether its message is long, and it may not read on before it has a place."""
        return not self.large and len(self._received) >= SMALL_BYTES

    @property
    def wants_to_write(self) -> bool:
        """Whether answers are left to be sent."""
        return bool(self._answers)

    @property
    def has_more(self) -> bool:
        """Whether TLS has bytes for us that no selector knows of."""
        return isinstance(self.sock, ssl.SSLSocket) and not self._greeting and self.sock.pending() > 0  # fmt: skip

    def receive(self, now: float, size: int) -> Iterator[bytes]:
        """Read what is there, up to ``size`` bytes, and yield the messages that are whole.

        Raises:
            ClosedError: If the other side has gone.
            BadMessageError: If it sends something else, or does not know the key.
            OSError: If the connection broke.
        """
        if self._greeting and not self._greet():
            return
        try:
            data = self.sock.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        if not data:
            raise ClosedError
        self.active_at = now
        idle = not self._received
        self._received += data
        at = 0
        while at < len(self._received):
            end = self._scanner.find(self._received, at)
            if end < 0:
                break
            message = bytes(memoryview(self._received)[at:end])
            at = end
            if self._authorized:
                yield message
            else:
                self._authorize(message)
        del self._received[:at]
        if not self._authorized:
            if len(self._received) > GREETING_BYTES_MAX:
                raise BadMessageError("it does not begin with a PING")
        elif not self._received:
            self.deadline = None
        elif idle or at:
            self.deadline = now + MESSAGE_SECONDS
        elif self.large:
            self.deadline = self._place_at + PLACE_SECONDS + len(self._received) / PLACE_BYTES_PER_SECOND  # fmt: skip

    def _greet(self) -> bool:
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        self._greeting = False
        if self._handshake is not None:
            self._answers += self._handshake.helo()
        else:
            self.deadline = None
        return True

    def _authorize(self, message: bytes) -> None:
        assert self._handshake is not None
        self._authorized, answer = self._handshake.pong(message)
        self._answers += answer
        if not self._authorized:
            with contextlib.suppress(OSError):
                self.send()
            raise BadMessageError("it does not know the shared key")
        self.deadline = None

    def answer(self, data: bytes) -> None:
        """Put an answer on its way.

        Raises:
            BadMessageError: If the other side does not take its answers.
            OSError: If the connection broke.
        """
        self._answers += data
        if len(self._answers) > ANSWERS_BYTES_MAX:
            raise BadMessageError("it does not read its acknowledgements")
        self.send()

    def send(self) -> None:
        """Send what can be sent now.

        Raises:
            OSError: If the connection broke.
        """
        while self._answers and not self._greeting:
            try:
                sent = self.sock.send(self._answers)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._answers[:sent]

    def postpone(self, seconds: float) -> None:
        """Give it more time: it was us who did not read."""
        self._place_at += seconds
        if self.deadline is not None:
            self.deadline += seconds

    def begin(self, now: float) -> None:
        """Let it go on with a long message, which must not dawdle: others wait for the place."""
        self.large = True
        self._place_at = now
        self.deadline = now + PLACE_SECONDS

    def close(self) -> None:
        """Close; safe twice."""
        with contextlib.suppress(OSError):
            self.sock.close()
