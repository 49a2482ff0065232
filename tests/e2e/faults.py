"""What the tests of faults share: tasks to observe, receivers, a small disk, a node that wants a password."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.stack import ROOT, Stack, eventually, free_port


def configure(file: Path, **sections: Any) -> Path:
    """Write a configuration without Docker that collects every second, and these sections."""
    defaults: dict[str, Any] = {
        "discovery": {"docker": {"enabled": False}},
        "collector": {"interval_seconds": 1},
    }
    file.write_text(json.dumps(defaults | sections))
    return file


@contextlib.contextmanager
def running_task(
    data_dir: Path, name: str, *command: str, prefix: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with ``taskscope run``; ended at the end of the ``with``."""
    process = subprocess.Popen(
        [
            *(*prefix, sys.executable, "-m", "taskscope", "run"),
            *("--name", name, "--data-dir", str(data_dir), "--", *command),
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def every_line(stack: Stack, query: str) -> list[dict[str, Any]]:
    """Return all log documents that match, oldest first."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = stack.get(
            "/api/logs/search", query=query, limit=5000, direction="forward", cursor=cursor
        )
        found += [r["document"] for r in page["records"]]
        cursor = page["cursor"]
        if not cursor or not page["records"]:
            return found


class Pager:
    """Receives webhooks on loopback and keeps them."""

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []
        pages = self.pages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                pages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base's
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def told(self) -> list[tuple[str, str]]:
        """Return each alert of each page as name and status."""
        return [(a["labels"]["alertname"], a["status"]) for p in self.pages for a in p["alerts"]]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Memory:
    """Watches the resident memory of a process until it ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.peak_bytes = 0
        self._process = process
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        file = Path(f"/proc/{self._process.pid}/statm")
        with contextlib.suppress(OSError, IndexError):
            while True:
                now = int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                self.peak_bytes = max(self.peak_bytes, now)
                time.sleep(0.02)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small file system in memory; needs root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write a file until the disk is full."""
    file = folder / "filler"
    with file.open("ab", buffering=0) as out:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while out.write(b"x" * size) == size:
                    continue
    return file


class SecuredNode:
    """A real Elasticsearch node that wants a password, made of the programs that are here already."""

    def __init__(self, cached: Path, start: Path, folder: Path, password: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._start = start
        self._folder = folder
        self._password = password
        for part in ("classes", "shim"):
            shutil.copytree(cached / part, folder / part)
        for part in ("lib", "modules"):  # linked: they are many and large
            shutil.copytree(cached / "home" / part, folder / "home" / part, copy_function=os.symlink)  # fmt: skip
        (folder / "home" / ".ready").touch()

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = os.environ | {
            "ES_PASSWORD": self._password,
            "ES_HEAP": "256m",
            "ES_TIER": "1",
            "HTTP_PORT": str(self.port),
            "TRANSPORT_PORT": str(free_port()),
        }
        with (self._folder / "start.txt").open("wb") as out:
            subprocess.run(
                [str(self._start), str(self._folder)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=True,
            )

    def stop(self) -> None:
        """End it by its process id, and wait until it is gone."""
        file = self._folder / "pid"
        if not file.exists():
            return
        pid = int(file.read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

        def gone() -> bool:
            try:
                return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except FileNotFoundError:
                return True

        eventually("the node has ended", gone, 20)

    def count(self, index: str) -> int:
        """Return how many documents an index has; 0 as long as there is none."""
        import base64

        login = base64.b64encode(f"elastic:{self._password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/{index}/_count", headers={"Authorization": f"Basic {login}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(json.load(answer)["count"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return 0
