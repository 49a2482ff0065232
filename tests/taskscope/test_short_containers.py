"""The reason people install this: a container that died at once has its lines, and how it ended."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from discovery.docker.client import DockerClient
from discovery.docker.source import DockerSource
from discovery.registry import TaskRegistry
from logship.shipper import Settings, Shipper
from taskscope.events import TaskEvents
from tests.discovery.real_docker import RealDocker, require_docker
from tests.logship.harness import RealClock, until
from tests.logship.recording import RecordingSink

pytestmark = [pytest.mark.docker, pytest.mark.root]


@pytest.fixture
def docker() -> Iterator[RealDocker]:
    """A real engine."""
    require_docker()
    engine = RealDocker()
    yield engine
    engine.close()


@pytest.mark.parametrize("options", [(), ("--rm",)], ids=["kept", "removed at its end"])
def test_container_of_200_ms(tmp_path: Path, docker: RealDocker, options: tuple[str, ...]) -> None:
    """All its lines and its exit code are delivered within 10 s, also if it is removed as soon as it ends."""
    clock, registry, sink = RealClock(), CollectorRegistry(), RecordingSink()
    source = DockerSource(DockerClient(), cluster="test", host="here", clock=clock)
    tasks = TaskRegistry([source], clock, registry)
    events = TaskEvents(tasks, tmp_path / "events", clock)
    shipper = Shipper(tasks, [sink], tmp_path / "logship", Settings(), clock, registry, spools=[events.log.spool])  # fmt: skip
    tasks.start()
    events.start()
    shipper.start()

    def mine() -> dict[str, str]:
        name = docker.name("short")
        batches = [b for b in sink.batches if b.identity.container_name == name]
        return {b.text(row): b.dataset for b in batches for row in range(len(b))}

    docker.run("short", *options, "--", "sh", "-c", "echo one; sleep 0.2; echo two; exit 3")
    began = time.monotonic()
    arrived = until(lambda: len(mine()) >= 3, 10)
    took = time.monotonic() - began
    for part in (tasks, events, shipper):
        part.stop()
    events.log.spool.close()

    assert arrived, mine()
    assert took < 10
    assert {"one", "two"} <= mine().keys()
    assert any("exit code 3" in text and dataset == "task.event" for text, dataset in mine().items())  # fmt: skip
