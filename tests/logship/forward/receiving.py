"""What tests of the forward protocol share: a whole agent with a forward source, and a client."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
from prometheus_client import CollectorRegistry

from logship.shipper import Shipper
from logship.source.forward.server import ForwardServer, ForwardSettings
from logship.source.inbox import Inbox
from logship.source.owners import Owners
from logship.spool.spool import Spool
from model.task import TaskSource
from tests.fakes.tasks import FakeTaskSource
from tests.logship.harness import REDACTOR, RealClock, shipper
from tests.logship.recording import RecordingSink

NANOS = 1_795_341_600_000_000_001


def pack(value: Any) -> bytes:
    """Return MessagePack."""
    return msgspec.msgpack.encode(value)


def event_time(nanos: int = NANOS) -> msgspec.msgpack.Ext:
    """Return fluentd's EventTime."""
    seconds, rest = divmod(nanos, 10**9)
    return msgspec.msgpack.Ext(0, seconds.to_bytes(4, "big") + rest.to_bytes(4, "big"))


def packed(*records: Any) -> bytes:
    """Return entries of a PackedForward message."""
    return b"".join(pack([event_time(NANOS + n), record]) for n, record in enumerate(records))


class Receiving:
    """A forward server, its spool, and a shipper into a sink that records."""

    def __init__(self, directory: Path, tasks: TaskSource, sink: RecordingSink, *, disk_bytes: int = 64 << 20, redact: bool = True, **settings: Any) -> None:  # fmt: skip
        clock = RealClock()
        self.sink = sink
        self.registry = CollectorRegistry()
        self.spool = Spool(directory / "spool", disk_bytes=disk_bytes)
        self.shipper: Shipper = shipper(tasks, directory / "state", sink, registry=self.registry, spools=[self.spool])  # fmt: skip
        owners = Owners(tasks, "forward", cluster="test", host="host-1")
        redactor = REDACTOR if redact else None
        self.inbox = Inbox("forward", self.spool, owners, redactor, clock, self.shipper.metrics, dataset="task")  # fmt: skip
        self.server = ForwardServer(ForwardSettings(**{"port": 0, **settings}), self.inbox, self.shipper.metrics)  # fmt: skip

    def start(self) -> None:
        self.shipper.start()
        self.server.start()

    def stop(self) -> None:
        self.server.stop()
        self.shipper.stop()
        self.spool.close()

    def errors(self, kind: str) -> float:
        """Return how many connections were closed for one kind of error."""
        labels = {"stage": "forward", "error_type": kind}
        return self.registry.get_sample_value("taskscope_logship_errors_total", labels) or 0.0


@contextmanager
def receiving(directory: Path, tasks: TaskSource | None = None, sink: RecordingSink | None = None, **settings: Any) -> Iterator[Receiving]:  # fmt: skip
    """Run one."""
    parts = Receiving(directory, tasks or FakeTaskSource(), sink or RecordingSink(), **settings)
    parts.start()
    try:
        yield parts
    finally:
        parts.stop()


class Client:
    """Sends messages and reads what comes back."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.sock = context.wrap_socket(sock, server_hostname="localhost") if context else sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, message: Any) -> None:
        """Send one message."""
        self.sock.sendall(pack(message))

    def receive(self) -> Any:
        """Return the next value; None if the server has closed the connection."""
        data = b""
        while True:
            try:
                part = self.sock.recv(4096)
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
            try:
                return msgspec.msgpack.decode(data)
            except msgspec.DecodeError:
                continue

    def ask(self, message: Any) -> Any:
        """Send a message and return the answer."""
        self.send(message)
        return self.receive()
