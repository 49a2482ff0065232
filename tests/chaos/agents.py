"""Agents that are started one after the other, and die."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.chaos.outcome import Span
from tests.chaos.writer import Writer

ROOT: Final = Path(__file__).parents[2]


class Agents:
    """Starts agents, one at a time, and sees them die; ``how`` is what ``logs_agent`` is told."""

    def __init__(self, scratch: Path, writers: list[Writer], **how: Any) -> None:
        self._file = scratch / "agent.json"
        links = [w for w in writers if w.kind.rotation == "symlink"]
        self._how = how | {
            kind: [{"name": w.name, "form": w.kind.form, "path": str(w.path)} for w in own]
            for kind, own in (("tasks", [w for w in writers if w not in links]), ("files", links))
        }
        self._said = scratch / "agent.log"

    @contextmanager
    def running(self, die: str = "", **more: Any) -> Iterator["subprocess.Popen[bytes]"]:
        """Run one until the block ends; it is ready, or died at its failpoint before."""
        self._file.write_text(json.dumps(self._how | {"die": die} | more), encoding="utf-8")
        command = [sys.executable, "-m", "tests.chaos.logs_agent", str(self._file)]
        with (
            self._said.open("ab") as said,
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said) as agent,
        ):  # fmt: skip
            assert agent.stdout is not None
            ready = agent.stdout.readline()
            try:
                if ready != b"ready\n" and not die:
                    raise RuntimeError(f"the agent did not start: see {self._said}")
                yield agent
            finally:
                agent.kill()

    def one(self, die: str, seconds: float) -> Span:
        """Let one live so long after it is ready, or until its failpoint."""
        life = Span("random", time.monotonic())
        with self.running(die) as agent:
            life.ready = time.monotonic()
            try:
                agent.wait(seconds)
            except subprocess.TimeoutExpired:
                agent.kill()
            else:
                if agent.returncode != -9:
                    raise RuntimeError(f"the agent ended by itself: see {self._said}")
                life.name = die.partition(":")[0]
        life.end = time.monotonic()
        return life
