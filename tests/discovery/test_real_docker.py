"""The Docker source against a real engine."""

from collections.abc import Callable, Iterator

import pytest

from discovery.docker.client import DockerClient
from discovery.docker.exec import DockerExec
from discovery.docker.source import DockerSource
from model.errors import DiscoveryError
from model.task import HealthStatus, TaskState, TaskStatus
from tests.discovery.clock import SystemClock
from tests.discovery.conftest import Wait
from tests.discovery.real_docker import RealDocker, require_docker

pytestmark = pytest.mark.docker


@pytest.fixture
def docker() -> Iterator[RealDocker]:
    """A real engine."""
    require_docker()
    engine = RealDocker()
    yield engine
    engine.close()


@pytest.fixture
def source(docker: RealDocker) -> Iterator[DockerSource]:
    """A source that has had its first listing."""
    watching = DockerSource(DockerClient(), cluster="test", host="here", clock=SystemClock())
    watching.start(lambda: None)
    yield watching
    watching.stop()


@pytest.fixture
def status(docker: RealDocker, source: DockerSource) -> Callable[[str], TaskStatus]:
    """Return what is known of a container, by the name it was given here."""

    def find(name: str) -> TaskStatus:
        for task in source.snapshot():
            if task.identity.container_name == docker.name(name):
                return task.status
        return TaskStatus(TaskState.STAGING, 0)

    return find


Status = Callable[[str], TaskStatus]


def test_container_of_200_ms(docker: RealDocker, status: Status, wait: Wait) -> None:
    """It is caught with its log path, its one run and its exit code."""
    docker.run("short", "--", "sh", "-c", "echo hello; sleep 0.2; exit 3")
    wait(lambda: status("short").state is TaskState.FAILED, "it failed")
    found = status("short")
    (run,) = found.runs

    assert found.log_path.endswith("-json.log")
    assert run.exit is not None
    assert run.exit.code == 3
    assert run.ended_ms is not None
    assert 150 <= run.ended_ms - run.started_ms < 2000


def test_removed_container_stays_listed(docker: RealDocker, status: Status, wait: Wait) -> None:
    """``docker rm`` takes nothing away from what is known; ``--rm`` neither."""
    docker.run("gone", "--", "sh", "-c", "exit 4")
    wait(lambda: status("gone").state is TaskState.FAILED, "it failed")
    docker.remove("gone")
    docker.run("auto", "--rm", "--", "sh", "-c", "exit 5")
    wait(lambda: status("auto").state is TaskState.FAILED, "it failed")

    assert status("gone").last_exit is not None
    assert [status(n).runs[-1].exit for n in ("gone", "auto")] == [
        status("gone").last_exit,
        status("auto").last_exit,
    ]
    assert [e.code for n in ("gone", "auto") if (e := status(n).last_exit)] == [4, 5]


def test_oom_kill(docker: RealDocker, status: Status, wait: Wait) -> None:
    """A task that outgrows its memory limit ends with 137 and the mark of it."""
    docker.run("oom", "--memory", "16m", "--", "tail", "/dev/zero")
    wait(lambda: status("oom").state is TaskState.FAILED, "it was killed")
    wait(lambda: status("oom").oom_kills, "the kill is counted")
    end = status("oom").last_exit

    assert end is not None
    assert (end.code, end.signal, end.oom) == (137, 9, True)
    assert status("oom").memory_limit_bytes == 16 * 1024 * 1024


def test_oom_kill_of_a_child_is_counted(docker: RealDocker, status: Status, wait: Wait) -> None:
    """A child's death that the task survives is counted; when the task is stopped later, that was no OOM."""
    docker.run("parent", "--memory", "16m", "--", "sh", "-c", "tail /dev/zero; sleep 1000")
    wait(lambda: status("parent").oom_kills, "the child's kill is counted")

    assert status("parent").state is TaskState.RUNNING

    docker.command("kill", docker.name("parent"))
    wait(lambda: status("parent").state is TaskState.KILLED, "it was stopped")
    end = status("parent").last_exit

    assert end is not None
    assert not end.oom
    assert status("parent").oom_kills == 1


def test_restart_policy_gives_runs(docker: RealDocker, status: Status, wait: Wait) -> None:
    """Each start is a run of the same task, and while it waits to be started again it is restarting."""
    docker.run("loop", "--restart", "on-failure:2", "--", "sh", "-c", "sleep 0.1; exit 7")
    seen = set()

    def ended() -> bool:
        seen.add(status("loop").state)
        return status("loop").state.ended and len(status("loop").runs) == 3

    wait(ended, "three runs")

    assert [(r.number, r.exit and r.exit.code) for r in status("loop").runs] == [
        (1, 7),
        (2, 7),
        (3, 7),
    ]
    assert status("loop").restarts == 2
    assert TaskState.RESTARTING in seen


def test_stopped_by_the_user(docker: RealDocker, status: Status, wait: Wait) -> None:
    """``docker stop`` makes it killed, ``docker start`` running again in its second run; pausing shows."""
    docker.run("stop", "--", "sleep", "1000")
    wait(lambda: status("stop").state is TaskState.RUNNING, "it runs")
    docker.command("stop", "-t", "0", docker.name("stop"))
    wait(lambda: status("stop").state is TaskState.KILLED, "it was stopped")
    docker.command("start", docker.name("stop"))
    wait(lambda: status("stop").state is TaskState.RUNNING, "it runs again")
    docker.command("pause", docker.name("stop"))
    wait(lambda: status("stop").state is TaskState.PAUSED, "it is paused")
    docker.command("unpause", docker.name("stop"))
    wait(lambda: status("stop").state is TaskState.RUNNING, "it goes on")

    assert [run.number for run in status("stop").runs] == [1, 2]


def test_health_is_mirrored(docker: RealDocker, status: Status, wait: Wait) -> None:
    """What Docker's HEALTHCHECK says is known as soon as it says so."""
    often = ("--health-interval", "0.2s", "--health-retries", "1")
    docker.run("well", "--health-cmd", "true", *often, "--", "sleep", "1000")
    docker.run("sick", "--health-cmd", "false", *often, "--", "sleep", "1000")
    wait(lambda: status("well").runtime_health is HealthStatus.HEALTHY, "one is healthy")
    wait(lambda: status("sick").runtime_health is HealthStatus.UNHEALTHY, "one is not")

    docker.run("none", "--", "sleep", "1000")
    wait(lambda: status("none").state is TaskState.RUNNING, "it runs")
    assert status("none").runtime_health is HealthStatus.UNKNOWN


def test_facts_of_a_running_container(docker: RealDocker, status: Status, wait: Wait) -> None:
    """Address, ports, cgroup, limits and labels are those that Docker and the kernel have."""
    container_id = docker.run(
        "facts",
        *("--cpus", "0.5", "--label", "team=blue", "-p", "127.0.0.1::80", "-t"),
        *("--", "httpd", "-f", "-h", "/www"),
    )
    wait(lambda: status("facts").state is TaskState.RUNNING and status("facts").cgroup, "it runs")
    found = status("facts")
    published = docker.command("port", docker.name("facts"), "80").rpartition(":")[2]

    assert container_id in found.cgroup
    assert found.cpu_limit == 0.5
    assert found.tty
    assert found.labels["team"] == "blue"
    assert [(port.container, port.host) for port in found.ports] == [(80, int(published))]
    assert found.pid > 0
    assert found.address


def test_host_network_is_loopback(docker: RealDocker, status: Status, wait: Wait) -> None:
    """A task on the host's network is reached on loopback."""
    docker.run("host", "--network", "host", "--", "sleep", "1000")
    wait(lambda: status("host").state is TaskState.RUNNING, "it runs")

    assert status("host").address == "127.0.0.1"


def test_container_that_cannot_start(docker: RealDocker, status: Status, wait: Wait) -> None:
    """It has failed, though it never ran."""
    with pytest.raises(AssertionError, match="nosuch"):
        docker.run("never", "--", "nosuch")
    wait(lambda: status("never").state is TaskState.FAILED, "it failed")

    assert status("never").runs == ()


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("sh", "-c", "echo out; sleep 0.1; echo err >&2; exit 3"), 3, "out\nerr\n"),
        (("true",), 0, ""),
        (("sh", "-c", "yes | head -c 100000"), 0, "y\n" * 2048),
    ],
)
def test_command_inside(docker: RealDocker, argv: tuple[str, ...], code: int, said: str) -> None:
    """Exit code and the first 4 KiB of both streams come back."""
    container = docker.run("exec", "--", "sleep", "1000")

    assert DockerExec(DockerClient()).run(container, argv, 10.0) == (code, said)


def test_command_inside_that_cannot_be_run(docker: RealDocker) -> None:
    """A missing program is its own failure, a missing container is the runtime's."""
    container = docker.run("exec", "--", "sleep", "1000")
    code, said = DockerExec(DockerClient()).run(container, ("nosuch",), 10.0)

    assert code in {126, 127}
    assert "nosuch" in said
    with pytest.raises(DiscoveryError, match="No such container"):
        DockerExec(DockerClient()).run("nosuch", ("true",), 10.0)


@pytest.mark.root
def test_command_inside_that_hangs(docker: RealDocker, wait: Wait) -> None:
    """After its time it is given up, and does not stay behind in the container."""
    container = docker.run("exec", "--", "sleep", "1000")
    with pytest.raises(TimeoutError):
        DockerExec(DockerClient()).run(container, ("sleep", "999"), 0.3)
    wait(lambda: "sleep 999" not in docker.command("top", docker.name("exec")), "it is killed")

    assert "sleep 1000" in docker.command("top", docker.name("exec"))
