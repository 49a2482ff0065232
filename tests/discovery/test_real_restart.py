"""A real engine of the test's own, restarted under the source."""

import io
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from discovery.docker.client import DockerClient
from discovery.docker.source import DockerSource
from model.errors import DiscoveryError
from model.task import TaskState
from tests.discovery.clock import SystemClock
from tests.discovery.conftest import Wait
from tests.discovery.real_docker import require_docker
from tests.needs import leave_out

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.slow]


class Engine:
    """A dockerd with a socket and data of its own, without any network."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = f"unix://{home}/d.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.home / "log").open("ab")
        options = [
            f"--host={self.url}",
            f"--data-root={self.home}/data",
            f"--exec-root={self.home}/exec",
            f"--pidfile={self.home}/pid",
            "--bridge=none",
            "--iptables=false",
            "--ip-masq=false",
        ]
        # in a network namespace of its own: a dockerd without a bridge removes docker0 where it is
        self._process = subprocess.Popen(
            ["unshare", "--net", "dockerd", *options],
            stdout=log,
            stderr=log,
        )
        log.close()
        deadline = time.monotonic() + 30
        while True:
            try:
                DockerClient(self.url).negotiate()
            except DiscoveryError:
                assert time.monotonic() < deadline, (self.home / "log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def command(self, *args: str, data: bytes = b"") -> str:
        done = subprocess.run(
            ["docker", "-H", self.url, *args], input=data, check=False, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with an image."""
    require_docker()
    if shutil.which("dockerd") is None:
        leave_out("no dockerd")
    made = Engine(tmp_path)
    made.start()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
        entry = tarfile.TarInfo("bin/sleep")
        entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(entry)
    made.command("import", "-", "bb:1", data=file.getvalue())
    yield made
    if made._process is None:
        made.start()
    for container in made.command("ps", "-aq").split():
        made.command("rm", "-f", container)
    made.stop()


def test_docker_restarted_under_us(engine: Engine, wait: Wait, tmp_path: Path) -> None:
    """Tasks stay while Docker is away; then one has been stopped, one runs again in its second run."""
    run = ("run", "-d", "--network", "none")
    engine.command(*run, "--name", "plain", "bb:1", "sleep", "1000")
    engine.command(*run, "--name", "always", "--restart", "always", "bb:1", "sleep", "1000")
    source = DockerSource(
        DockerClient(engine.url),
        cluster="t",
        host="h",
        clock=SystemClock(),
        state_file=tmp_path / "state.json",
    )
    source.start(lambda: None)

    def states() -> dict[str, TaskState]:
        return {t.identity.task_name: t.status.state for t in source.snapshot()}

    def runs() -> dict[str, int]:
        return {t.identity.task_name: len(t.status.runs) for t in source.snapshot()}

    try:
        assert states() == {"plain": TaskState.RUNNING, "always": TaskState.RUNNING}

        engine.stop()
        wait(lambda: not source.status().ok, "Docker is away")
        assert set(states()) == {"plain", "always"}

        engine.start()
        wait(lambda: source.status().ok, "Docker is back")
        wait(lambda: states().get("always") is TaskState.RUNNING, "it runs again")
        assert states()["plain"] is TaskState.KILLED
        assert runs() == {"plain": 1, "always": 2}

        engine.command("rm", "-f", "always")
        wait(lambda: states()["always"].ended, "removed, and still listed")
    finally:
        source.stop()
