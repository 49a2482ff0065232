"""Runs Taskscope as its users do: a process, its command line, its HTTP side."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Stack:
    """One ``taskscope up`` (or ``agent``, ``server``) on a data folder, stopped at the end of a ``with``."""

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        command: str = "up",
        port: int = 0,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self._command = [
            *prefix,
            sys.executable,
            "-m",
            "taskscope",
            command,
            "--listen",
            f"127.0.0.1:{self.port}",
            "--data-dir",
            str(data_dir),
            *options,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_seconds: float = 20) -> float:
        """Start and wait until it is ready; returns the seconds that took."""
        begun = time.monotonic()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "out.txt").open("ab") as out:
            self.process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        while time.monotonic() - begun < timeout_seconds:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                    return time.monotonic() - begun
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise AssertionError(f"it did not get ready:\n{self.output()}")

    def stop(self, sign: int = signal.SIGTERM, timeout_seconds: float = 20) -> int:
        """End it and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(timeout_seconds)

    def output(self) -> str:
        """Return what it printed so far."""
        return (self.data_dir / "out.txt").read_text(errors="replace")

    def get(self, path: str, **params: object) -> Any:
        """Ask for JSON."""
        query = f"?{urllib.parse.urlencode(params, doseq=True)}" if params else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=30) as answer:
            return json.load(answer)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return an instant query's vector."""
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["data"]["result"]
        return found

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Return the demo's tasks by name."""
        return {
            t["identity"]["task_name"]: t
            for t in self.get("/api/tasks")
            if t["identity"]["namespace"] == "demo"
        }

    def logs(self, query: str, limit: int = 100) -> list[str]:
        """Return the newest messages that match."""
        return [
            r["document"]["message"]
            for r in self.get("/api/logs/search", query=query, limit=limit)["records"]
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def cli(
    *words: str, data_dir: Path | None = None, timeout_seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a ``taskscope`` command."""
    environment = os.environ | ({"TASKSCOPE_DATA_DIR": str(data_dir)} if data_dir else {})
    return subprocess.run(
        [sys.executable, "-m", "taskscope", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def eventually(what: str, probe: Callable[[], Any], timeout_seconds: float) -> Any:
    """Ask until the answer is true; fail with what it was about and the last answer."""
    deadline = time.monotonic() + timeout_seconds
    answer = None
    while time.monotonic() < deadline:
        try:
            if answer := probe():
                return answer
        except (urllib.error.URLError, OSError) as error:
            answer = error
        time.sleep(0.5)
    raise AssertionError(f"not within {timeout_seconds:g} s: {what}; last: {answer!r}")
