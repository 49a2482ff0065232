"""The composition root: the three processes Taskscope can be, put together from the packages.

``up`` is agent and server in one process; ``agent`` and ``server`` are its two halves, with HTTP
between them. Everything long-running has ``start()`` and ``stop(timeout_seconds)``.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from prometheus_client import CollectorRegistry

from logship.sink.base import Sink
from model.clock import Clock
from promql.text import format_duration
from storage.interface import Queryable
from taskscope.config import TaskscopeConfig, split_listen
from taskscope.reload import Reloader
from taskscope.sockets import plain_sinks
from taskscope.space import shortage
from taskscope.version import version_text
from web.app import create_app
from web.parts import Parts
from web.server import WebServer


class Part(Protocol):
    """What is started and stopped."""

    def start(self) -> None:
        """Return when ready."""
        ...

    def stop(self, timeout_seconds: float = ...) -> None:
        """Stop taking, deliver what is buffered, end all threads; safe twice and before start."""
        ...


class Stack(Struct, frozen=True):
    """A whole process.

    Attributes:
        parts: In the order they are started; they are stopped in the other order.
        web: The HTTP side, one of the parts.
        status: Says how everything is doing.
        reload: Reads the configuration anew; raises ConfigError.
    """

    parts: tuple[Part, ...]
    web: WebServer
    status: "Status"
    reload: Callable[[], None]


class Status:
    """What ``/api/status`` shows and start-up prints."""

    def __init__(self, config: TaskscopeConfig, kind: str, *tellers: Any) -> None:
        self._base = {
            "kind": kind,
            "listen": config.listen,
            "data_dir": str(config.data_path()),
            "cluster": config.cluster,
            "host": config.host_name(),
        }
        self._data = config.data_path()
        self._tellers = tellers

    def __call__(self) -> Mapping[str, Any]:
        """Return everything that the parts say."""
        told: dict[str, Any] = dict(self._base)
        for teller in self._tellers:
            told |= teller()
        if short := shortage(self._data):
            told["problems"] = [short, *told.get("problems", ())]
        return told


def build_up(config: TaskscopeConfig, file: Path | None, clock: Clock) -> Stack:
    """Put agent and server together in one process."""
    from logship.sink.embedded import EmbeddedSink
    from storage.otlp.receiver import OtlpReceiver
    from storage.remote.receiver import RemoteWriteReceiver
    from taskscope.agent import Agent, build_tasks
    from taskscope.server import Server

    registry = CollectorRegistry()
    tasks = build_tasks(config, clock, registry)
    server = Server(config, tasks, clock, registry)
    sinks: list[Sink] = [EmbeddedSink(server.logdb)] if server.logdb is not None else []
    agent = Agent(
        config,
        tasks,
        server.tsdb,
        [*sinks, *elasticsearch_sinks(config), *plain_sinks(config)],
        clock,
        registry,
    )
    reload = Reloader(file, (server, agent), clock, registry)  # the server first: it may refuse
    status = Status(config, "up", agent.status, server.status)
    parts = Parts(
        clock=clock, version=version_text(), exposition=agent.collector.exposition, status=status,
        reload=reload, tasks=agent.tasks, health=agent.health,
        queryable=server.queryable, oldest_ms=lambda: server.tsdb.stats().min_time_ms, engine=server.engine, logs=server.logs, rules=server.rules,
        series_at_most=server.series_at_most,
        targets=agent.collector.scrapes.targets, remote_write=RemoteWriteReceiver(server.tsdb, registry).ingest,
        otlp_metrics=OtlpReceiver(server.tsdb, registry).ingest,
        exemplars=server.tsdb.exemplars, delete_series=server.tsdb.delete_series, clean_tombstones=server.tsdb.clean_tombstones,
        cardinality=server.tsdb.cardinality, config_yaml=partial(_yaml, server),
        flags=lambda: flags_of(config), runtime=lambda: {**runtime_of(config), **reload.runtime()}, allowed_hosts=config.web.allowed_hosts,
    )  # fmt: skip
    web = _web(config, parts, registry)
    queues = remote_write_queues(config, server.tsdb, registry)
    return Stack((server, *queues, web, agent), web, status, reload)


def build_server(config: TaskscopeConfig, file: Path | None, clock: Clock) -> Stack:
    """Put the server half together: what agents send is stored, alerted on and shown."""
    from collector.loop import CollectionLoop
    from collector.metrics import CollectorMetrics
    from collector.self_ import SelfSeries
    from discovery.registry import TaskRegistry
    from discovery.remote import PushedTasks
    from logship.wire import ingest
    from storage.otlp.receiver import OtlpReceiver
    from storage.remote.receiver import RemoteWriteReceiver
    from taskscope.server import Server

    registry = CollectorRegistry()
    pushed = PushedTasks(clock)
    tasks = TaskRegistry([pushed], clock, registry)
    server = Server(config, tasks, clock, registry)
    own = CollectionLoop(
        {"self": SelfSeries(registry, instance=config.listen)}, server.tsdb, clock,
        CollectorMetrics(registry), config.collector.interval_seconds,
    )  # fmt: skip
    reload = Reloader(file, (server,), clock, registry)
    status = Status(config, "server", server.status)
    parts = Parts(
        clock=clock, version=version_text(), exposition=lambda: _latest(registry), status=status,
        reload=reload, tasks=tasks, health=pushed,
        queryable=server.queryable, oldest_ms=lambda: server.tsdb.stats().min_time_ms, engine=server.engine, logs=server.logs, rules=server.rules,
        series_at_most=server.series_at_most,
        remote_write=RemoteWriteReceiver(server.tsdb, registry).ingest,
        otlp_metrics=OtlpReceiver(server.tsdb, registry).ingest,
        exemplars=server.tsdb.exemplars, delete_series=server.tsdb.delete_series, clean_tombstones=server.tsdb.clean_tombstones,
        cardinality=server.tsdb.cardinality, config_yaml=partial(_yaml, server),
        flags=lambda: flags_of(config), runtime=lambda: {**runtime_of(config), **reload.runtime()},
        ingest_logs=partial(ingest, store=server.logdb) if server.logdb is not None else None,
        ingest_state=pushed.ingest, allowed_hosts=config.web.allowed_hosts,
    )  # fmt: skip
    web = _web(config, parts, registry)
    queues = remote_write_queues(config, server.tsdb, registry)
    return Stack((tasks, server, *queues, web, own), web, status, reload)


def build_agent(config: TaskscopeConfig, file: Path | None, server_url: str, clock: Clock) -> Stack:
    """Put the agent half together: what is collected goes to a server."""
    from discovery.remote import StatePusher
    from logship.sink.server import ServerSink
    from storage.remote.client import RemoteWriteClient
    from storage.remote.writer import RemoteAppender
    from taskscope.agent import Agent, build_tasks

    registry = CollectorRegistry()
    appender = RemoteAppender(RemoteWriteClient(f"{server_url}/api/v1/write"), registry)
    agent = Agent(
        config,
        build_tasks(config, clock, registry),
        appender,
        [ServerSink(server_url), *elasticsearch_sinks(config), *plain_sinks(config)],
        clock,
        registry,
    )
    pusher = StatePusher(server_url, agent.tasks, agent.health, config.host_name())
    reload = Reloader(file, (agent,), clock, registry)
    status = Status(config, "agent", agent.status)
    parts = Parts(
        clock=clock, version=version_text(), exposition=agent.collector.exposition, status=status,
        reload=reload, tasks=agent.tasks, health=agent.health, targets=agent.collector.scrapes.targets,
        runtime=lambda: {**runtime_of(config), **reload.runtime()}, allowed_hosts=config.web.allowed_hosts,
    )  # fmt: skip
    web = _web(config, parts, registry)
    return Stack((appender, web, agent, pusher), web, status, reload)


def remote_write_queues(
    config: TaskscopeConfig, store: Queryable, registry: CollectorRegistry
) -> list[Part]:
    """Return what sends the stored samples on to other stores."""
    if not config.remote_write:
        return []
    from taskscope.remote import make_queues

    return [
        *make_queues(
            config.remote_write, config.external_labels,
            data=config.data_path(), base=config.base, metadata=store, registry=registry,
        )
    ]  # fmt: skip


def elasticsearch_sinks(config: TaskscopeConfig) -> list[Sink]:
    """Return the sinks into Elasticsearch; nothing is asked yet."""
    from taskscope.elasticsearch import sinks_of

    return [*sinks_of(config)]


def _web(config: TaskscopeConfig, parts: Parts, registry: CollectorRegistry) -> WebServer:
    host, port = split_listen(config.listen)
    app = create_app(
        parts,
        registry,
        max_log_tails=config.web.max_log_tails,
        query_limits=config.query.limits(),
    )
    return WebServer(app, host, port)


def flags_of(config: TaskscopeConfig) -> dict[str, str]:
    """Return what is set, by the names of Prometheus's flags: tools look these up."""
    storage = config.storage
    return {
        **config.query.flags(),
        "storage.tsdb.path": str(config.data_path() / "tsdb"),
        "storage.tsdb.retention.size": f"{storage.retention_bytes}B",
        "storage.tsdb.retention.time": _retention(config),
        "web.enable-admin-api": "true",
        "web.enable-otlp-receiver": "true",
        "web.enable-remote-write-receiver": "true",
        "web.listen-address": config.listen,
    }


def runtime_of(config: TaskscopeConfig) -> dict[str, str]:
    """Return the part of ``/api/v1/status/runtimeinfo`` that is configured."""
    return {"hostname": config.host_name(), "storageRetention": _retention(config)}


def _retention(config: TaskscopeConfig) -> str:
    return format_duration(round(config.storage.retention_days * 86_400_000))


def _yaml(server: Any) -> str:
    config: TaskscopeConfig = server.config  # the one read last
    return config.yaml()


def _latest(registry: CollectorRegistry) -> bytes:
    from prometheus_client import generate_latest

    return generate_latest(registry)
