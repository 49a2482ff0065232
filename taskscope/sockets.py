"""Logs over sockets: the servers and the buffer that the configuration asks for, and the sinks beside the stores."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from logship.metrics import LogshipMetrics
from logship.redact import Redactor
from logship.sink.base import Sink
from logship.socket_config import (
    ForwardSinkConfig,
    ForwardSourceConfig,
    OtlpSourceConfig,
    ServerTlsConfig,
    StdoutSinkConfig,
)
from logship.source.inbox import Inbox
from logship.source.owners import Owners
from logship.spool.spool import Spool
from model.clock import Clock
from model.errors import OperatorError, reason_of
from model.task import TaskSource
from taskscope.config import TaskscopeConfig, split_listen

BUFFER: Final = "buffer"


class LogServer(Protocol):
    """What takes logs over sockets; ``problem`` says why it does not serve now."""

    port: int
    problem: str

    def start(self) -> None:
        """Return when it serves, or when it is known why it cannot."""
        ...

    def stop(self, timeout_seconds: float = ...) -> None:
        """Take no more, keep what was taken; safe twice and before start."""
        ...


def socket_sources(config: TaskscopeConfig) -> list[ForwardSourceConfig | OtlpSourceConfig]:
    """Return the sources that listen."""
    if not config.logship.enabled:
        return []
    return [s for s in config.logship.sources if isinstance(s, ForwardSourceConfig | OtlpSourceConfig)]  # fmt: skip


def buffer_of(config: TaskscopeConfig) -> list[Spool]:
    """Return the buffer on disk; none where nothing comes over sockets and none is left from before."""
    directory = config.data_path() / "logship" / BUFFER
    if not socket_sources(config) and not any(directory.glob("*.spool")):
        return []
    return [Spool(directory, disk_bytes=config.logship.buffer.disk_bytes)]


def log_servers(
    config: TaskscopeConfig, tasks: TaskSource, spools: Sequence[Spool], redactor: Redactor | None,
    clock: Clock, metrics: LogshipMetrics,
) -> list[LogServer]:  # fmt: skip
    """Return the servers; none listens yet.

    Raises:
        OperatorError: If a file that the configuration names cannot be used.
    """
    servers: list[LogServer] = []
    for source in socket_sources(config):
        owners = Owners(tasks, source.type, cluster=config.cluster, host=config.host_name())
        inbox = Inbox(source.type, spools[0], owners, redactor, clock, metrics, dataset=config.logship.dataset, policy=config.logship.policy())  # fmt: skip
        host, port = split_listen(source.listen)
        if isinstance(source, ForwardSourceConfig):
            from logship.source.forward.server import ForwardServer, ForwardSettings

            settings = ForwardSettings(
                host, port, _shared_key(config.base, source.shared_key_file), _context(config.base, source.tls),
                source.message_bytes, source.memory_bytes, source.connections_max, config.host_name(),
            )  # fmt: skip
            servers.append(ForwardServer(settings, inbox, metrics))
        else:
            from logship.source.otlp.server import OtlpServer, OtlpSettings

            servers.append(OtlpServer(OtlpSettings(host, port, source.request_bytes, source.threads), inbox, metrics))  # fmt: skip
    return servers


def elsewhere(config: TaskscopeConfig) -> frozenset[str]:
    """Return Docker's log drivers whose lines come over a socket, so that they are not read twice."""
    forward = any(isinstance(s, ForwardSourceConfig) for s in socket_sources(config))
    return frozenset({"fluentd"}) if forward else frozenset()


def plain_sinks(config: TaskscopeConfig) -> list[Sink]:
    """Return the sinks that are no stores."""
    sinks: list[Sink] = []
    for sink in config.logship.sinks:
        if isinstance(sink, ForwardSinkConfig):
            from logship.sink.forward import ForwardSink

            sinks.append(
                ForwardSink(
                    sink.endpoint, tag=sink.tag, compress=sink.compress, host=config.host_name(),
                    shared_key_file=_file(config.base, sink.shared_key_file), ca_file=_file(config.base, sink.ca_file),
                )
            )  # fmt: skip
        elif isinstance(sink, StdoutSinkConfig):
            from logship.sink.stdout import StdoutSink

            sinks.append(StdoutSink())
    return sinks


def _file(base: Path, name: str) -> str:
    return str(base / name) if name else ""


def _shared_key(base: Path, name: str) -> bytes:
    if not name:
        return b""
    try:
        key = (base / name).read_bytes().strip()
    except OSError as error:
        raise OperatorError(f"logship.sources: the shared key in {base / name} cannot be read: {reason_of(error)}") from error  # fmt: skip
    if not key:
        raise OperatorError(f"logship.sources: the file with the shared key {base / name} is empty")
    return key


def _context(base: Path, tls: ServerTlsConfig) -> ssl.SSLContext | None:
    if not tls.cert_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(base / tls.cert_file, base / tls.key_file if tls.key_file else None)
        if tls.client_ca_file:
            context.load_verify_locations(base / tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise OperatorError(f"logship.sources: the certificate of the forward source cannot be used: {reason_of(error)}") from error  # fmt: skip
    return context
