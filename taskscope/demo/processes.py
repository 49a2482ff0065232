"""The demo cluster as plain processes under ``taskscope run``, for hosts without Docker."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from discovery.process.cgroup import cgroup_refusal
from discovery.process.taskfile import tasks_directory
from taskscope.demo.cluster import MARK, NAMESPACE, TASKS, DemoTask

_STATE: Final = "demo.json"
_PATIENCE_SECONDS: Final = 10.0


class ProcessDemo:
    """Starts and stops the demo as processes whose sandboxes are in a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._state = data_dir / _STATE

    def start(self, say: Callable[[str], None]) -> None:
        """Start every task; a demo that runs already is stopped first."""
        self.stop(lambda _: None)
        self._data_dir.mkdir(parents=True, exist_ok=True)
        pids = {}
        for task in TASKS:
            if task.memory_bytes and (refusal := cgroup_refusal()):
                say(f"{task.name}: left out, it needs a memory limit to be killed at: {refusal}")
                continue
            pids[task.name] = self._start(task)
            self._state.write_text(json.dumps(pids))
            say(f"{task.name}: {task.what}")

    def stop(self, say: Callable[[str], None]) -> int:
        """End every process of the demo and remove its sandboxes; returns how many there were."""
        pids: dict[str, int] = json.loads(self._state.read_text()) if self._state.exists() else {}
        for name, pid in pids.items():
            with contextlib.suppress(ProcessLookupError):
                if _is_ours(pid):
                    os.kill(pid, signal.SIGTERM)
            say(f"{name}: stopped")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(_is_ours(pid) for pid in pids.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in filter(_is_ours, pids.values()):
            os.kill(pid, signal.SIGKILL)
        for home in self._homes():
            shutil.rmtree(home, ignore_errors=True)
        self._state.unlink(missing_ok=True)
        return len(pids)

    def _start(self, task: DemoTask) -> int:
        port = _free_port() if task.port else 0
        memory = ["--memory", str(task.memory_bytes)] if task.memory_bytes else []
        labels = [
            word
            for key, value in task.labels(port).items()
            for word in ("--label", f"{key}={value}")
        ]
        command = [
            sys.executable, "-m", "taskscope", "run", "--data-dir", str(self._data_dir),
            "--name", task.name, "--app", task.app, "--namespace", NAMESPACE, *(["--restart"] if task.restart else []),
            *(["--port", str(port)] if port else []), *memory, *labels,
            "--", sys.executable, "-S", "-E", str(Path(__file__).with_name("programs.py")), *task.command(port),
        ]  # fmt: skip
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        ).pid

    def _homes(self) -> Iterator[Path]:
        for file in tasks_directory(self._data_dir).glob("*/task.json"):
            if f'"{MARK}"' in file.read_text(errors="replace"):
                yield file.parent


def _is_ours(pid: int) -> bool:
    """Tell whether a process is one of ours that still runs; its id may belong to another one by now."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if it is a child of this very process, let it go
    with contextlib.suppress(OSError):
        return f"{MARK}=1".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
