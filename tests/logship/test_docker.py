"""Logs of real containers: files, rotation, containers that are gone at once, and Docker's API."""

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from logship.shipper import Settings
from logship.source.frames import Frames
from model.task import ContainerID, Run, Task, TaskID, TaskState
from tests.fakes.tasks import FakeTaskSource, make_task
from tests.logship.harness import shipper, until
from tests.logship.recording import RecordingSink

SOCKET = os.environ.get("TASKSCOPE_TEST_DOCKER_SOCKET", "/var/run/docker.sock")
IMAGE = "logship-test/busybox:1"
API = Settings(poll_interval_seconds=0.02, checkpoint_interval_seconds=0.1, docker_socket=SOCKET)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of nothing but a static busybox, made without a registry."""
    directory = tmp_path_factory.mktemp("image")
    archive = directory / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    docker("import", str(archive), IMAGE)
    yield IMAGE
    docker("rmi", "-f", IMAGE)


def docker(*words: str) -> str:
    """Run the docker command."""
    answer = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


class Containers:
    """Starts containers and knows them as tasks; removes them in the end."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def start(self, image: str, script: str, *options: str) -> str:
        """Start a container and return its id."""
        name = f"logship-test-{time.time_ns():x}"
        self.names.append(name)
        return docker("run", "-d", "--name", name, "--network", "none", *options, image, "/bin/sh", "-c", script)  # fmt: skip

    def task(self, container: str, **status: Any) -> Task:
        """Return a container as the task it is now."""
        (found,) = json.loads(docker("inspect", container))
        driver = found["HostConfig"]["LogConfig"]["Type"]
        task = make_task(
            TaskID(container),
            log_path=found["LogPath"] if driver == "json-file" else "",
            log_driver=driver,
            tty=found["Config"]["Tty"],
            state=TaskState.RUNNING if found["State"]["Running"] else TaskState.FINISHED,
            runs=(Run(1, int(time.time() * 1000) - 60_000),),
            **status,
        )
        return replace(task, identity=replace(task.identity, task_id=TaskID(container), container_id=ContainerID(container)))  # fmt: skip


@pytest.fixture
def containers() -> Iterator[Containers]:
    """Containers of one test."""
    made = Containers()
    yield made
    if made.names:
        subprocess.run(["docker", "rm", "-f", *made.names], capture_output=True, check=False)


@pytest.mark.docker
@pytest.mark.root
def test_json_file_of_a_container(tmp_path: Path, image: str, containers: Containers) -> None:
    """Lines of both streams arrive with the runtime's time; a restart goes on in the same file."""
    container = containers.start(image, "echo out; echo err >&2; busybox sleep 60")
    tasks = FakeTaskSource(containers.task(container))
    sink = RecordingSink()
    ship = shipper(tasks, tmp_path / "state", sink)

    ship.start()
    arrived = until(lambda: len(sink.records) == 2)
    docker("restart", "-t", "0", container)
    again = until(lambda: len(sink.records) == 4)
    ship.stop()

    assert arrived
    assert again
    assert sorted((b.stream, b.text(0)) for b in sink.batches) == [("stderr", "err")] * 2 + [("stdout", "out")] * 2  # fmt: skip
    assert all(abs(int(b.ts_ns[0]) - time.time_ns()) < 60e9 for b in sink.batches)


@pytest.mark.docker
@pytest.mark.root
def test_container_that_lives_200_ms(tmp_path: Path, image: str, containers: Containers) -> None:
    """Its lines are read although it is removed at once after it was seen."""
    tasks = FakeTaskSource()
    sink = RecordingSink()
    ship = shipper(tasks, tmp_path / "state", sink)
    ship.start()

    container = containers.start(image, "echo one; busybox sleep 0.2; echo two; exit 3")
    tasks.set(containers.task(container))
    docker("wait", container)
    docker("rm", container)
    tasks.set()
    arrived = until(lambda: sink.texts == ["one", "two"])
    ship.stop()

    assert arrived


@pytest.mark.docker
@pytest.mark.root
def test_rotation_by_docker(tmp_path: Path, image: str, containers: Containers) -> None:
    """With ``max-size=10k`` every line arrives, in order, although Docker keeps only a few hundred."""
    script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); [ $((i % 50)) -eq 0 ] && busybox usleep 40000; done; busybox sleep 60"  # fmt: skip
    container = containers.start(image, script, "--log-opt", "max-size=10k", "--log-opt", "max-file=3")  # fmt: skip
    tasks = FakeTaskSource(containers.task(container))
    sink = RecordingSink()
    ship = shipper(tasks, tmp_path / "state", sink)

    ship.start()
    arrived = until(lambda: len(sink.records) == 3000, 30)
    ship.stop()

    assert arrived
    assert sink.texts == [f"line {n}" for n in range(3000)]
    assert len(docker("logs", container).splitlines()) < 3000


@pytest.mark.docker
@pytest.mark.parametrize(
    ("options", "length"),
    [
        # behind a line of several parts Docker 20.10's own driver ``local`` loses the next
        (("--log-driver", "local"), 100),
        (("--log-driver", "local", "-t"), 100),
        (("--log-driver", "json-file"), 40_000),
        (("--log-driver", "json-file", "-t"), 40_000),
    ],
)
def test_through_the_api(tmp_path: Path, image: str, containers: Containers, options: tuple[str, ...], length: int) -> None:  # fmt: skip
    """Lines come whole, with their streams; after a restart of Taskscope none twice."""
    script = f"echo first; echo {'x' * length}; busybox sleep 2; echo last; busybox sleep 60"
    container = containers.start(image, script, *options)
    task = containers.task(container)
    tasks = FakeTaskSource(replace(task, status=replace(task.status, log_path="")))
    sink = RecordingSink()
    first = shipper(tasks, tmp_path / "state", sink, settings=API)
    first.start()
    before = until(lambda: len(sink.records) == 2)
    status = first.status()
    first.stop()

    second = shipper(tasks, tmp_path / "state", sink, settings=API)
    second.start()
    after = until(lambda: len(sink.records) == 3)
    second.stop()

    assert before
    assert after
    assert sink.texts == ["first", "x" * length, "last"]
    assert sink.repeats == 0
    assert status.through_api == 1


@pytest.mark.docker
def test_ended_container_through_the_api(tmp_path: Path, image: str, containers: Containers) -> None:  # fmt: skip
    """All it wrote is read, then the stream is let go when the task is forgotten."""
    container = containers.start(image, "echo a; echo b >&2; exit 1", "--log-driver", "local")
    docker("wait", container)
    tasks = FakeTaskSource(containers.task(container))
    sink = RecordingSink()
    ship = shipper(tasks, tmp_path / "state", sink, settings=API)

    ship.start()
    arrived = until(lambda: sorted(sink.texts) == ["a", "b"])
    tasks.set()
    retired = until(lambda: ship.status().streams == 0)
    ship.stop()

    assert arrived
    assert retired


def test_socket_that_is_not_there_is_said(tmp_path: Path) -> None:
    """One sentence names the container; the rest goes on."""
    settings = Settings(poll_interval_seconds=0.02, docker_socket=str(tmp_path / "none.sock"))
    tasks = FakeTaskSource(make_task(log_driver="local"))
    ship = shipper(tasks, tmp_path / "state", RecordingSink(), settings=settings)

    ship.start()
    said = until(lambda: ship.status().problems)
    ship.stop()

    assert said
    assert "Docker's API: No such file" in ship.status().problems[0]


@pytest.mark.docker
def test_removed_container_is_no_lasting_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A log that went with its container is said once; nobody is told for ever of what nobody can mend."""
    ship = shipper(
        FakeTaskSource(make_task(log_driver="local")),
        tmp_path / "state",
        RecordingSink(),
        settings=API,
    )
    ship.start()

    assert until(lambda: "went with its container" in caplog.text)
    time.sleep(0.2)
    assert ship.status().problems == ()
    ship.stop()
    assert caplog.text.count("went with its container") == 1


def frame(stream: int, payload: bytes) -> bytes:
    """Return one frame of Docker's stream."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_frames_in_any_pieces(step: int) -> None:
    """However the bytes come, the same lines are found."""
    data = frame(1, b"2026-11-22T09:00:00Z out\n") + frame(2, b"2026-11-22T09:00:01Z ha") + frame(2, b"2026-11-22T09:00:01Z lf\n")  # fmt: skip
    frames = Frames(tty=False)

    found = [line for at in range(0, len(data), step) for line in frames.feed(data[at : at + step])]

    assert found == [
        ("stdout", "2026-11-22T09:00:00Z", "out", False),
        ("stderr", "2026-11-22T09:00:01Z", "ha", True),
        ("stderr", "2026-11-22T09:00:01Z", "lf", False),
    ]


def test_bytes_that_are_no_frames_are_refused() -> None:
    """An error page is not taken for a log."""
    with pytest.raises(OSError, match="something else"):
        Frames(tty=False).feed(b"<html>hello</html>")
