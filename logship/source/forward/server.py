"""The forward server: one thread, a selector, and nothing that one sender does that costs another.

Messages of all connections that are ready go to the disk together, then those who want it get
their acknowledgement. While the disk takes nothing, nothing is read: senders keep what they have.
"""

import logging
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from logship.metrics import LogshipMetrics
from logship.source.forward import message as messages
from logship.source.forward.connection import SMALL_BYTES, ClosedError, Connection
from logship.source.forward.handshake import ServerHandshake
from logship.source.forward.records import groups_of
from logship.source.forward.scanner import BadMessageError
from logship.source.inbox import Inbox
from model.errors import reason_of

READ_BYTES: Final = 64 << 10
READ_BYTES_MIN: Final = 4 << 10
TURN_SECONDS: Final = 0.25
GATHER_SECONDS: Final = 0.05  # what nobody waits for is gathered this long
GATHER_BYTES: Final = 1 << 20
RETRY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 60.0  # a connection that was idle for as long makes room for another
LISTEN_RETRY_SECONDS: Final = 5.0
# Docker's client reads each acknowledgement with a buffer of its own and forgets what came behind
# it, which its other stream then waits for (fluent-logger-golang 1.4, two streams on a connection)
ANSWER_GAP_SECONDS: Final = 0.005
OWNERS_MAX: Final = 16  # of a connection; an aggregator's closing says nothing of its containers
_log = logging.getLogger(__name__)


class ForwardSettings(Struct, frozen=True):
    """How to serve.

    Attributes:
        host: Address to listen on.
        port: 0 lets the kernel choose.
        shared_key: Empty where none is asked for.
        tls: None for plain TCP.
        message_bytes: Longest message that is taken.
        memory_bytes: How much unfinished long messages may take together.
        connections_max: More are closed as they come.
        name: What it calls itself in the handshake.
    """

    host: str = "127.0.0.1"
    port: int = 24224
    shared_key: bytes = b""
    tls: ssl.SSLContext | None = None
    message_bytes: int = 8 << 20
    memory_bytes: int = 32 << 20
    connections_max: int = 4096
    name: str = "taskscope"


class ForwardServer:
    """Serves the forward protocol into an inbox.

    Args:
        settings: How.
        inbox: Where records go; used by this server's thread only.
        metrics: Where it counts.

    Attributes:
        port: The one it listens on, once it is started.
        problem: Why it does not serve now, in words for people; "" if it does.
    """

    name: Final = "forward"

    def __init__(self, settings: ForwardSettings, inbox: Inbox, metrics: LogshipMetrics) -> None:
        self.port = settings.port
        self.problem = ""
        self._settings = settings
        self._inbox = inbox
        self._metrics = metrics
        self._listener: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._connections: dict[socket.socket, Connection] = {}
        self._large_left = max(1, settings.memory_bytes // settings.message_bytes)
        self._waiting: deque[Connection] = deque()
        self._answers: list[tuple[Connection, bytes]] = []
        self._one_by_one: dict[Connection, deque[bytes]] = {}
        self._put_at: float | None = None
        self._listen_at = self._late_at = 0.0
        self._stop = threading.Event()
        self._wake: socket.socket | None = None
        self._woken: socket.socket | None = None
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start; returns when it listens, or when it is known why it cannot (it tries again then)."""
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._listen()
        self._thread = threading.Thread(target=self._run, name="logship-forward", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop taking, bring what was taken to the disk, close; safe twice and before start."""
        self._stop.set()
        if self._thread is None or self._wake is None or self._woken is None:
            return
        with suppress(OSError):
            self._wake.send(b"x")
        self._thread.join(timeout_seconds)
        self._thread = None
        for connection in list(self._connections.values()):
            self._close(connection)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._wake.close()
        self._woken.close()
        self._selector.close()

    def _listen(self) -> None:
        self._listen_at = time.monotonic() + LISTEN_RETRY_SECONDS
        host, port = self._settings.host, self._settings.port
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=256)
        except OSError as error:
            problem = f"cannot listen for forward messages on {host}:{port}: {reason_of(error)}"
            if problem != self.problem:
                _log.warning("%s; it is tried again", problem)
            self.problem = problem
            return
        listener.setblocking(False)
        self._listener = listener
        self.port = listener.getsockname()[1]
        self.problem = ""
        self._selector.register(listener, selectors.EVENT_READ)

    # ------------------------------------------------------------ the loop

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception as error:
                self._metrics.errors.labels("forward", type(error).__name__).inc()
                _log.exception("the forward server met an error and goes on")
                self._stop.wait(RETRY_SECONDS)
        with suppress(Exception):
            self._flush(final=True)

    def _turn(self) -> None:
        """Look at what is ready, bring it to the disk, answer."""
        if self._listener is None and time.monotonic() >= self._listen_at:
            self._listen()
        ready = self._selector.select(self._timeout())
        now = time.monotonic()
        again = self._unread()
        for key, events in ready:
            if key.fileobj is self._listener:
                self._accept(now)
            elif key.fileobj is self._woken:
                return  # it is to stop
            elif (connection := self._connections.get(key.fileobj)) is not None:  # type: ignore[call-overload]  # a selector's fileobj may be a number, ours never is
                if events & selectors.EVENT_WRITE:
                    self._guarded(connection, connection.send)
                if events & selectors.EVENT_READ:
                    self._read(connection, now)
                    if connection in again:
                        again.remove(connection)
        for connection in again:
            self._read(connection, now)
        self._close_late(now)
        self._answer_lines(now)
        due = self._answers or (self._put_at is not None and (now - self._put_at >= GATHER_SECONDS or self._inbox.waiting_bytes >= GATHER_BYTES))  # fmt: skip
        if due or (not ready and self._inbox.has_open):
            self._flush()

    def _timeout(self) -> float:
        if self._unread():
            return 0.0
        if self._one_by_one:
            return ANSWER_GAP_SECONDS
        return GATHER_SECONDS if self._put_at is not None else TURN_SECONDS

    def _unread(self) -> list[Connection]:
        """Return the connections of which TLS has bytes that no selector knows of."""
        if self._settings.tls is None:
            return []
        return [c for c in self._connections.values() if c.has_more and not c.needs_place]

    def _flush(self, *, final: bool = False) -> None:
        """Bring what was put to the disk, and answer; as long as that cannot be, wait and read nothing."""
        began = time.monotonic()
        while not self._inbox.flush(final=final):
            if self._stop.wait(RETRY_SECONDS):
                return
        waited = time.monotonic() - began
        if waited >= RETRY_SECONDS:
            for connection in self._connections.values():
                connection.postpone(waited)
        self._put_at = None
        answers, self._answers = self._answers, []
        for connection, answer in answers:
            if connection.sock in self._connections:
                if connection.owners:
                    self._one_by_one.setdefault(connection, deque()).append(answer)
                else:
                    self._guarded(connection, lambda c=connection, a=answer: c.answer(a))  # type: ignore[misc]  # mypy cannot infer defaults of a lambda
        self._answer_lines(time.monotonic())

    def _answer_lines(self, now: float) -> None:
        """Answer those who send lines of containers, one message at a time."""
        for connection, answers in list(self._one_by_one.items()):
            if connection.sock not in self._connections:
                del self._one_by_one[connection]
            elif now >= connection.answered_at + ANSWER_GAP_SECONDS:
                connection.answered_at = now
                answer = answers.popleft()
                if not answers:
                    del self._one_by_one[connection]
                self._guarded(connection, lambda c=connection, a=answer: c.answer(a))  # type: ignore[misc]  # mypy cannot infer defaults of a lambda

    # ------------------------------------------------------------ connections

    def _accept(self, now: float) -> None:
        assert self._listener is not None
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # too many open files
                self._metrics.errors.labels("forward", type(error).__name__).inc()
                self._stop.wait(GATHER_SECONDS)
                return
            if len(self._connections) >= self._settings.connections_max:
                self._make_room(now)
            if len(self._connections) >= self._settings.connections_max:
                self._metrics.errors.labels("forward", "too_many_connections").inc()
                sock.close()
                continue
            try:
                self._connect(sock, now)
            except (OSError, ValueError) as error:
                self._metrics.errors.labels("forward", type(error).__name__).inc()
                sock.close()

    def _connect(self, sock: socket.socket, now: float) -> None:
        settings = self._settings
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if settings.tls is not None:
            sock = settings.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        key = settings.shared_key
        handshake = ServerHandshake(key, settings.name) if key else None
        connection = Connection(sock, handshake, settings.message_bytes, now)
        self._connections[sock] = connection
        self._selector.register(sock, selectors.EVENT_READ)
        self._guarded(connection, connection.send)

    def _make_room(self, now: float) -> None:
        idle = [c for c in self._connections.values() if not c.held_bytes and now - c.active_at >= IDLE_SECONDS]  # fmt: skip
        if idle:
            self._close(min(idle, key=lambda c: c.active_at))

    def _read(self, connection: Connection, now: float) -> None:
        """Read from a connection, take its messages; whatever is wrong with it costs only itself."""
        self._guarded(connection, lambda: self._take(connection, now))
        if connection.sock not in self._connections:
            return
        if connection.large and connection.held_bytes < SMALL_BYTES:
            self._give_place_back(connection)
        if connection.needs_place:
            self._waiting.append(connection)
            self._watch(connection)
            self._hand_out_places(now)

    def _take(self, connection: Connection, now: float) -> None:
        size = max(READ_BYTES_MIN, min(READ_BYTES, self._settings.memory_bytes // (2 * len(self._connections))))  # fmt: skip
        for data in connection.receive(now, size):
            message = messages.decode(data)
            if message is None:
                continue
            if message.bad:
                self._metrics.dropped.labels("unreadable").inc(message.bad)
            ticket = blake2b(data, digest_size=16).digest() if message.chunk else b""
            groups = groups_of(message)
            self._inbox.put(groups, ticket)
            if len(connection.owners) <= OWNERS_MAX:
                connection.owners.update(group.owner.key for group in groups if group.owner.is_lines)  # fmt: skip
            self._put_at = now if self._put_at is None else self._put_at
            if message.chunk:
                self._answers.append((connection, msgspec.msgpack.encode({"ack": message.chunk})))
            if self._inbox.waiting_bytes >= GATHER_BYTES:
                self._flush()

    def _guarded(self, connection: Connection, act: Callable[[], None]) -> None:
        """Do something with a connection; if that fails, it is closed and counted."""
        try:
            act()
        except ClosedError:
            self._close(connection)
            return
        except BadMessageError as error:
            self._refuse(connection, "BadMessageError", str(error))
            return
        except OSError as error:
            self._refuse(connection, type(error).__name__, reason_of(error))
            return
        self._watch(connection)

    def _refuse(self, connection: Connection, kind: str, why: str) -> None:
        self._metrics.errors.labels("forward", kind).inc()
        _log.debug("a forward connection is closed: %s", why)
        self._close(connection)

    def _watch(self, connection: Connection) -> None:
        """Tell the selector what a connection waits for."""
        wanted = 0 if connection.needs_place else selectors.EVENT_READ
        if connection.wants_to_write:
            wanted |= selectors.EVENT_WRITE
        registered = self._selector.get_map().get(connection.sock)
        if registered is not None and registered.events == wanted:
            return
        if registered is not None:
            self._selector.unregister(connection.sock)
        if wanted:
            self._selector.register(connection.sock, wanted)

    def _close_late(self, now: float) -> None:
        if now < self._late_at:
            return
        self._late_at = now + TURN_SECONDS
        for connection in [c for c in self._connections.values() if c.deadline is not None and now > c.deadline]:  # fmt: skip
            if connection.needs_place:
                continue  # it is us who keep it waiting
            self._refuse(connection, "TimeoutError", "a message took too long")

    def _close(self, connection: Connection) -> None:
        if self._connections.pop(connection.sock, None) is None:
            return
        if len(connection.owners) <= OWNERS_MAX:
            self._inbox.ended(connection.owners)
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection.sock)
        if connection in self._waiting:
            self._waiting.remove(connection)
        if connection.large:
            self._give_place_back(connection)
        connection.close()

    # ------------------------------------------------------------ places for long messages

    def _give_place_back(self, connection: Connection) -> None:
        connection.large = False
        self._large_left += 1
        self._hand_out_places(time.monotonic())

    def _hand_out_places(self, now: float) -> None:
        while self._large_left and self._waiting:
            connection = self._waiting.popleft()
            self._large_left -= 1
            connection.begin(now)
            self._watch(connection)
