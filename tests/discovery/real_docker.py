"""A real Docker Engine for tests: an image made on the spot, containers removed afterwards."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from discovery.docker.client import DockerClient
from model.errors import DiscoveryError
from tests.needs import leave_out

IMAGE = "taskscope-tasks-test/busybox:1"
_APPLETS = (
    "sh",
    "sleep",
    "echo",
    "cat",
    "true",
    "false",
    "tail",
    "head",
    "yes",
    "httpd",
    "kill",
    "rm",
    "mkdir",
    "nc",
    "dd",
    "ls",
)


class RealDocker:
    """Runs containers with the command line client; their names begin with a prefix of their own."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._prefix = f"tasks-test-{os.getpid()}"

    def command(self, *args: str) -> str:
        """Run ``docker ARGS`` and return what it prints."""
        done = subprocess.run(
            ["docker", *args], check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, name: str, *options_and_command: str) -> str:
        """Start a container in the background: options, then ``--``, then the command; returns its id."""
        at = options_and_command.index("--")
        options, command = options_and_command[:at], options_and_command[at + 1 :]
        full = self.name(name)
        self._names.append(full)
        return self.command("run", "-d", "--name", full, *options, IMAGE, *command)

    def name(self, name: str) -> str:
        """Return the name under which a container runs."""
        return f"{self._prefix}-{name}"

    def remove(self, name: str) -> None:
        """Remove a container by force."""
        self.command("rm", "-f", self.name(name))

    def close(self) -> None:
        """Remove what is left."""
        if self._names:
            subprocess.run(
                ["docker", "rm", "-f", *self._names], check=False, capture_output=True, timeout=60
            )


def require_docker() -> None:
    """Leave the test out where no Docker Engine answers; fail it in CI."""
    try:
        DockerClient().negotiate()
        missing = "" if shutil.which("docker") and shutil.which("busybox") else "docker or busybox"
    except DiscoveryError as error:
        missing = str(error)
    if missing:
        leave_out(f"no Docker: {missing}")
    with contextlib.suppress(DiscoveryError):
        DockerClient().get(f"/images/{IMAGE}/json")
        return
    _import_image()


def _import_image() -> None:
    busybox = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for directory in ("bin", "tmp", "www"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(busybox), 0o755
        tar.addfile(entry, io.BytesIO(busybox))
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        entry = tarfile.TarInfo("www/index.html")
        text = json.dumps({"status": "UP"}).encode()
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    subprocess.run(
        ["docker", "import", "-", IMAGE],
        input=file.getvalue(),
        check=True,
        capture_output=True,
        timeout=60,
    )
