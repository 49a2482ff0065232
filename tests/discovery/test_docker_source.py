"""The Docker source against an engine made up for the purpose: what real ones do only in bad weather."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from discovery.docker.client import DockerClient, DockerError
from discovery.docker.source import DockerSource
from model.task import Task, TaskState
from tests.discovery.clock import SystemClock
from tests.discovery.conftest import Wait
from tests.discovery.fake_docker import FakeDocker, inspection

A, B = "a" * 64, "b" * 64
T0 = 1_767_225_601_250  # StartedAt of ``inspection``


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[FakeDocker]:
    """An engine without containers."""
    engine = FakeDocker(tmp_path / "docker.sock").start()
    yield engine
    engine.stop()


@pytest.fixture
def sources(docker: FakeDocker, tmp_path: Path) -> Iterator[list[DockerSource]]:
    """Sources to be stopped at the end; ``make`` puts them in."""
    made: list[DockerSource] = []
    yield made
    for source in made:
        source.stop()


def make(
    docker: FakeDocker,
    sources: list[DockerSource],
    state_file: Path | None = None,
    retention_seconds: float = 1e9,
    list_seconds: float = 30.0,
) -> DockerSource:
    """Return a source that has had its first listing."""
    source = DockerSource(
        DockerClient(docker.url, timeout_seconds=2.0),
        cluster="test",
        host="host-1",
        clock=SystemClock(),
        state_file=state_file,
        retention_seconds=retention_seconds,
        list_seconds=list_seconds,
    )
    sources.append(source)
    source.start(lambda: None)
    return source


def only(source: DockerSource) -> Task:
    """Return the only task there is."""
    (task,) = source.snapshot()
    return task


def test_running_container_is_a_task(docker: FakeDocker, sources: list[DockerSource]) -> None:
    """Everything an inspection says of a container is in its task."""
    docker.add(inspection(A))
    task = only(make(docker, sources))

    assert task.identity.app == "shop"
    assert task.identity.task_name == "shop-1"
    assert task.identity.container_id == A
    assert task.status.state is TaskState.RUNNING
    assert task.status.started_ms == T0
    assert task.status.address == "172.17.0.2"
    assert [(p.container, p.host) for p in task.status.ports] == [(80, 8080)]
    assert task.status.log_path.endswith("-json.log")


@pytest.mark.parametrize(
    ("api", "want"),
    [
        (("1.41", "1.12"), "/v1.41/"),
        (("1.45", "1.24"), "/v1.45/"),
        (("1.52", "1.44"), "/v1.45/"),
        (("2.0", "1.50"), "/v1.50/"),
    ],
)
def test_api_version_is_negotiated(
    docker: FakeDocker, sources: list[DockerSource], api: tuple[str, str], want: str
) -> None:
    """The newest version that both sides know is used, and never one the engine refuses."""
    docker.api = api
    make(docker, sources)

    assert all(path.startswith(want) for path in docker.asked if path != "/version")


def test_engine_restarted_under_us(
    docker: FakeDocker, sources: list[DockerSource], wait: Wait
) -> None:
    """While Docker is away its tasks stay; afterwards the source finds what has changed."""
    docker.add(inspection(A))
    docker.add(inspection(B, "shop-2"))
    source = make(docker, sources)
    before = source.snapshot()
    docker.stop()
    wait(lambda: not source.status().ok, "the source notices")

    assert source.snapshot() == before
    assert "stay as they were last seen" in source.status().message

    del docker.containers[B]
    docker.containers[A]["State"] |= {
        "Status": "exited",
        "ExitCode": 137,
        "FinishedAt": "2026-01-01T00:00:09Z",
    }
    docker.start()
    wait(lambda: source.status().ok, "the source is back")
    states = {t.identity.task_name: t.status.state for t in source.snapshot()}

    assert states == {"shop-1": TaskState.KILLED, "shop-2": TaskState.LOST}
    assert source.status().failures >= 1


def test_engine_that_answers_nonsense_keeps_tasks(
    docker: FakeDocker, sources: list[DockerSource], wait: Wait
) -> None:
    """Errors of the engine are counted and said; nothing ends for them."""
    docker.add(inspection(A))
    source = make(docker, sources, list_seconds=0.1)
    docker.broken = True
    wait(lambda: not source.status().ok, "the source notices")

    assert "500 broken" in source.status().message
    assert only(source).status.state is TaskState.RUNNING


def test_socket_away_at_start(tmp_path: Path, sources: list[DockerSource], wait: Wait) -> None:
    """Without Docker the source starts all the same, says one sentence and finds Docker when it comes."""
    docker = FakeDocker(tmp_path / "late.sock")
    docker.add(inspection(A))
    source = make(docker, sources)

    assert source.snapshot() == frozenset()
    assert (
        source.status().message
        == f"Docker's socket {docker.path} is not there; start Docker or set "
        "discovery.docker.socket; its tasks stay as they were last seen"
    )

    docker.start()
    wait(source.snapshot, "the container is found")
    docker.stop()


def test_container_gone_before_it_could_be_inspected(
    docker: FakeDocker, sources: list[DockerSource], wait: Wait
) -> None:
    """Events alone make a task with its run and how it ended."""
    source = make(docker, sources)
    wait(lambda: docker.listening, "the source listens")
    labels = {"name": "job", "image": "job:1", "taskscope.app": "billing"}
    docker.emit("create", A, T0 - 10, **labels)
    docker.emit("start", A, T0, **labels)
    docker.emit("die", A, T0 + 200, exitCode="3", **labels)
    docker.emit("destroy", A, T0 + 300, **labels)
    wait(
        lambda: source.snapshot() and only(source).status.state is TaskState.FAILED, "it has ended"
    )
    status = only(source).status

    assert only(source).identity.app == "billing"
    assert [(r.started_ms, r.ended_ms, r.exit and r.exit.code) for r in status.runs] == [
        (T0, T0 + 200, 3)
    ]


def test_repeated_events_change_nothing(
    docker: FakeDocker, sources: list[DockerSource], wait: Wait
) -> None:
    """What a reconnection repeats is not counted twice."""
    source = make(docker, sources)
    wait(lambda: docker.listening, "the source listens")
    for _ in range(2):
        docker.emit("start", A, T0, name="job")
        docker.emit("oom", A, T0 + 10, name="job")
        docker.emit("die", A, T0 + 20, name="job", exitCode="137")
    docker.emit("start", A, T0 + 5000, name="job")
    wait(lambda: source.snapshot() and len(only(source).status.runs) == 2, "both runs")

    assert only(source).status.oom_kills == 1
    assert only(source).status.restarts == 1


@pytest.mark.parametrize(
    "case",
    [
        "15 0 killed",
        "9 137 killed",
        "1 0 finished",  # kill -s HUP is no stop
        "10 1 failed",
        "- 137 failed",  # nobody asked Docker for it
    ],
)
def test_stopped_is_not_failed(
    docker: FakeDocker,
    sources: list[DockerSource],
    wait: Wait,
    case: str,
) -> None:
    """A task that somebody stopped was killed; one that ended by itself was not (signal, code, state)."""
    signal, code, want = case.split()
    source = make(docker, sources)
    wait(lambda: docker.listening, "the source listens")
    docker.emit("start", A, T0, name="job")
    if signal != "-":
        docker.emit("kill", A, T0 + 10, name="job", signal=signal)
    docker.emit("die", A, T0 + 20, name="job", exitCode=code)
    wait(lambda: source.snapshot() and only(source).status.state.ended, "it ended")

    assert only(source).status.state.value == want


def test_ignored_containers_are_no_tasks(docker: FakeDocker, sources: list[DockerSource]) -> None:
    """A container with ``taskscope.ignore=true`` is not seen at all."""
    container = inspection(A)
    container["Config"]["Labels"] = {"taskscope.ignore": "true"}
    docker.add(container)

    assert make(docker, sources).snapshot() == frozenset()


def test_network_of_another_container(docker: FakeDocker, sources: list[DockerSource]) -> None:
    """A container in another's network is reached under that one's address, in whatever order they are listed."""
    sidecar = inspection(A, "sidecar")
    sidecar["HostConfig"]["NetworkMode"] = f"container:{B}"
    sidecar["NetworkSettings"] = {"Networks": {}, "Ports": {}}
    docker.add(sidecar)
    docker.add(inspection(B, "shop-1"))
    tasks = make(docker, sources).snapshot()

    assert {t.status.address for t in tasks} == {"172.17.0.2"}


def test_removed_containers_outlive_taskscope(
    docker: FakeDocker, sources: list[DockerSource], tmp_path: Path, wait: Wait
) -> None:
    """After a restart of Taskscope removed containers are listed as before, with the same runs."""
    file = tmp_path / "state" / "docker.json"
    docker.add(inspection(A))
    first = make(docker, sources, file)
    wait(lambda: docker.listening, "the source listens")
    docker.emit("die", A, T0 + 500, name="shop-1", exitCode="2")
    docker.emit("destroy", A, T0 + 600, name="shop-1")
    del docker.containers[A]
    wait(lambda: only(first).status.state is TaskState.FAILED, "it ended")
    before = only(first)
    first.stop()
    second = make(docker, sources, file)

    assert only(second) == before
    assert json.loads(file.read_bytes())["version"] == 1


def test_container_that_ended_while_taskscope_was_away(
    docker: FakeDocker, sources: list[DockerSource], tmp_path: Path
) -> None:
    """It is lost if Docker no longer has it, and its run goes on in the books where it has."""
    file = tmp_path / "docker.json"
    docker.add(inspection(A))
    docker.add(inspection(B, "shop-2"))
    make(docker, sources, file).stop()
    del docker.containers[A]
    docker.containers[B]["State"]["StartedAt"] = "2026-01-01T00:10:00Z"
    second = make(docker, sources, file)
    states = {t.identity.task_name: t.status for t in second.snapshot()}

    assert states["shop-1"].state is TaskState.LOST
    assert [run.number for run in states["shop-2"].runs] == [1, 2]
    assert states["shop-2"].restarts == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"version": 99, "containers": []}', "has format version 99"),
        (b"{ torn", "is not readable"),
        (b"\xff\x00", "is not readable"),
    ],
)
def test_history_that_is_not_for_us(
    docker: FakeDocker,
    sources: list[DockerSource],
    tmp_path: Path,
    content: bytes,
    sentence: str,
) -> None:
    """A file of another version is left as it is, a broken one set aside; either is said, and all else works."""
    file = tmp_path / "docker.json"
    file.write_bytes(content)
    docker.add(inspection(A))
    source = make(docker, sources, file)
    status = source.status()
    source.stop()

    assert sentence in status.message
    assert status.ok
    assert len(source.snapshot()) == 1
    assert (file.read_bytes() == content) is ("version" in sentence)


def test_retention(docker: FakeDocker, sources: list[DockerSource]) -> None:
    """What ended longer ago than the retention time is not listed, though Docker still has it."""
    docker.add(
        inspection(A, Status="exited", Running=False, ExitCode=1, FinishedAt="2026-01-01T00:00:09Z")
    )
    docker.add(inspection(B, "shop-2"))

    assert only(make(docker, sources, retention_seconds=60.0)).identity.container_id == B


def test_no_rights_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rights on the socket the sentence names the group to join."""

    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", refuse)
    with pytest.raises(
        DockerError, match=r"no rights on .*docker.sock.* member of the group docker"
    ):
        DockerClient(f"unix://{tmp_path}/docker.sock").get("/containers/json")


def test_engine_that_hangs(tmp_path: Path) -> None:
    """An engine that accepts and never answers is given up after the time-out."""
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "d.sock"))
        server.listen()
        client = DockerClient(f"unix://{tmp_path}/d.sock", timeout_seconds=0.2)
        with pytest.raises(DockerError, match=r"did not answer on .* within 0.2 s"):
            client.negotiate()
