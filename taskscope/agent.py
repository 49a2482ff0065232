"""The agent half: which tasks run here, what they use, how they are, what they say.

It needs an ``Appender`` and log sinks, and does not care whether they are the stores of this very
process (``taskscope up``) or a server's (``taskscope agent``). It imports neither pyarrow nor duckdb.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from prometheus_client import CollectorRegistry

from collector.collector import Collector
from discovery.docker.client import DockerClient
from discovery.docker.exec import DockerExec
from discovery.docker.source import DockerSource
from discovery.labels import exported_labels
from discovery.process.source import ProcessSource
from discovery.process.taskfile import tasks_directory
from discovery.registry import TaskRegistry
from discovery.source import RuntimeSource
from healthcheck.manager import HealthManager
from logship.parse.parser import Wrapping
from logship.redact import Redactor
from logship.shipper import Settings, Shipper
from logship.sink.base import Sink
from logship.source.finder import KINDS
from logship.source.globs import FileSource
from model.clock import Clock
from storage.interface import Appender
from taskscope.config import TaskscopeConfig
from taskscope.events import TaskEvents
from taskscope.sockets import buffer_of, elsewhere, log_servers

_WRAPPING: Final[Mapping[str, Wrapping]] = {"auto": "auto", "json-file": "json-file", "cri": "cri", "plain": "none"}  # fmt: skip


def build_tasks(config: TaskscopeConfig, clock: Clock, registry: CollectorRegistry) -> TaskRegistry:
    """Return which tasks run here, from every runtime that the configuration names."""
    data, retention = config.data_path(), config.discovery.retention_hours * 3600
    sources: list[RuntimeSource] = []
    if config.discovery.docker.enabled:
        sources.append(DockerSource(
            DockerClient(config.discovery.docker.socket), cluster=config.cluster, host=config.host_name(),
            clock=clock, state_file=data / "discovery" / "docker.json", retention_seconds=retention,
        ))  # fmt: skip
    if config.discovery.process.enabled:
        sources.append(
            ProcessSource(tasks_directory(data), clock=clock, retention_seconds=retention)
        )
    return TaskRegistry(sources, clock, registry)


class Agent:
    """Everything that runs on the host of the tasks.

    Args:
        config: Its sections are turned into plain arguments here.
        tasks: From ``build_tasks``; started and stopped with the agent.
        appender: Where samples go.
        sinks: Where log records go.
        clock: The time.
        registry: Where every part counts.
    """

    def __init__(
        self, config: TaskscopeConfig, tasks: TaskRegistry, appender: Appender, sinks: Sequence[Sink],
        clock: Clock, registry: CollectorRegistry,
    ) -> None:  # fmt: skip
        data, cluster, host = config.data_path(), config.cluster, config.host_name()
        self.tasks = tasks
        redactor, docker = (
            config.logship.redaction.built(),
            DockerClient(config.discovery.docker.socket),
        )
        self.events = TaskEvents(self.tasks, data / "logship" / "events", clock, redactor if config.logship.redact else None)  # fmt: skip
        self.health = HealthManager(
            self.tasks, config.healthcheck.declared(), DockerExec(docker), clock, registry,
            on_change=self.events.health_changed, redact=lambda text: _redacted(redactor, text),
        )  # fmt: skip
        ship = config.logship
        self._ships = ship.enabled
        self._buffers = buffer_of(config)
        self.shipper = Shipper(
            self.tasks, sinks if ship.enabled else (), data / "logship",
            Settings(
                ship.dataset, ship.redact, ship.buffer.memory_bytes, ship.request_timeout_seconds,
                ship.checkpoint_interval_seconds, ship.poll_interval_seconds,
                docker_socket=docker.path if config.discovery.docker.enabled else "",
                kinds=frozenset(kind for kind in KINDS if kind in {source.type for source in ship.sources}), elsewhere=elsewhere(config),
                files=tuple(FileSource(s.include, s.exclude, s.app, _WRAPPING[s.format]) for s in ship.sources if s.type == "files"),
                cluster=cluster, host=host,
            ),
            clock, registry, spools=[self.events.log.spool, *self._buffers], redactor=redactor,
            policy=ship.policy(), report=self.events.log.append,
        )  # fmt: skip
        self.log_servers = log_servers(config, self.tasks, self._buffers, redactor if ship.redact else None, clock, self.shipper.metrics)  # fmt: skip
        self.collector = Collector(
            self.tasks, appender, clock, registry,
            cluster=cluster, host=host, instance=config.listen,
            interval_seconds=config.collector.interval_seconds,
            sources={"healthcheck": self.health, "logship": self.shipper},
            info_labels=partial(exported_labels, allow_list=config.discovery.label_allow_list),
            scrape_configs=config.collector.scrapes(config.base),
            scrape_defaults=config.collector.scrape_defaults(),
            roots=config.collector.roots(),
        )  # fmt: skip

    def reload(self, config: TaskscopeConfig) -> None:
        """Take up the scrape targets of a configuration."""
        self.collector.scrapes.reload(
            config.collector.scrapes(config.base), config.collector.scrape_defaults()
        )

    def start(self) -> None:
        """Start: tasks first, then those who look at them."""
        self.tasks.start()
        for part in (self.events, self.health, self.shipper, self.collector):
            if part is not self.shipper or self._ships:
                part.start()
        for server in self.log_servers:
            server.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop: sources first, then what is buffered is delivered."""
        for server in self.log_servers:
            server.stop(timeout_seconds)
        for part in (self.collector, self.health, self.tasks, self.events, self.shipper):
            part.stop(timeout_seconds)
        for spool in (self.events.log.spool, *self._buffers):
            spool.close()

    def status(self) -> Mapping[str, Any]:
        """Say how discovery, checks and log shipping are doing."""
        shipper, health = self.shipper.status(), self.health.status()
        return {
            "sources": [
                {"name": s.name, "ok": s.ok, "message": s.message, "counts": s.counts}
                for s in self.tasks.status()
            ],
            "sinks": [{"name": s.name, "ok": s.ok, "message": s.message} for s in shipper.sinks],
            "streams": shipper.streams,
            "streams_through_api": shipper.through_api,
            "checks": health.checks,
            "problems": [
                *shipper.problems,
                *health.problems,
                *(s.problem for s in self.log_servers if s.problem),
            ],
        }


def _redacted(redactor: Redactor, text: str) -> str:
    found = redactor.redact(text.encode("utf-8", "replace"))
    return text if found is None else found.buf.decode("utf-8", "replace")
