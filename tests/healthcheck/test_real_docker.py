"""Checks of real containers, by labels, with discovery and a real engine behind them."""

import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from discovery.docker.client import DockerClient
from discovery.docker.exec import DockerExec
from discovery.docker.source import DockerSource
from discovery.registry import TaskRegistry
from healthcheck.manager import HealthManager
from model.health import HealthResult
from model.task import Task
from tests.discovery.clock import SystemClock
from tests.discovery.real_docker import RealDocker, require_docker

pytestmark = pytest.mark.docker

OFTEN = [
    word
    for key, value in {
        "delay_seconds": "0",
        "grace_period_seconds": "0",
        "interval_seconds": "0.5",
        "timeout_seconds": "5",
        "max_consecutive_failures": "1",
    }.items()
    for word in ("--label", f"taskscope.health.{key}={value}")
]


@pytest.fixture
def docker() -> Iterator[RealDocker]:
    """A real engine."""
    require_docker()
    engine = RealDocker()
    yield engine
    engine.close()


def test_labels_of_real_containers(docker: RealDocker) -> None:
    """HTTP to the container's own address, a command inside it, and Docker's HEALTHCHECK lead to health."""
    told: dict[tuple[str, str], str] = {}

    def tell(result: HealthResult, task: Task) -> None:
        told[task.identity.container_name, result.check] = result.status.value

    clock, client = SystemClock(), DockerClient()
    tasks = TaskRegistry(
        [DockerSource(client, cluster="t", host="h", clock=clock)], clock, CollectorRegistry()
    )
    manager = HealthManager(
        tasks, (), DockerExec(client), clock, CollectorRegistry(), on_change=tell
    )
    tasks.start()
    manager.start()
    try:
        docker.run(
            "web",
            *(*OFTEN, "--label", "taskscope.health.type=http"),
            *("--label", "taskscope.health.body_regex=UP", "--expose", "80"),
            *("--", "httpd", "-f", "-h", "/www"),
        )
        docker.run(
            "sick",
            *(*OFTEN, "--label", "taskscope.health.type=command"),
            *("--label", "taskscope.health.command=test -f /tmp/alive"),
            *("--health-cmd", "test -f /tmp/alive", "--health-interval", "0.3s"),
            *("--health-retries", "1", "--", "sleep", "1000"),
        )
        wait_for(told, docker.name("web"), "http", "healthy")
        wait_for(told, docker.name("sick"), "command", "unhealthy")
        wait_for(told, docker.name("sick"), "runtime", "unhealthy")
        docker.command("exec", docker.name("sick"), "sh", "-c", "echo >/tmp/alive")
        wait_for(told, docker.name("sick"), "command", "healthy")
        wait_for(told, docker.name("sick"), "runtime", "healthy")
    finally:
        manager.stop()
        tasks.stop()


def wait_for(told: dict[tuple[str, str], str], name: str, check: str, want: str) -> None:
    """Wait until a change was told."""
    deadline = time.monotonic() + 15
    while told.get((name, check)) != want:
        assert time.monotonic() < deadline, (name, check, want, told)
        time.sleep(0.02)
