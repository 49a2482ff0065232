"""What tests of the applications' distribution share: loggers, and programs that have it."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import taskscope_logging
from taskscope_logging import Handler

CLIENTS = Path(__file__).parents[2] / "clients"


@contextmanager
def logger(name: str, to: str, **how: Any) -> Iterator[tuple[logging.Logger, Handler]]:
    """Set up a logger of a test."""
    made = logging.getLogger(f"test-{name}")
    made.propagate = False
    handler = taskscope_logging.setup("orders", to=to, logger=made, exit_seconds=0.5, **how)
    try:
        yield made, handler
    finally:
        logging.captureWarnings(False)
        made.removeHandler(handler)
        handler.close()
        handler.close()


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has the distribution."""
    return subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, env=environment(), timeout=30, check=False)  # fmt: skip


@contextmanager
def running(script: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that has the distribution beside the test, and kill it at the end."""
    process = subprocess.Popen([sys.executable, "-c", script, *args], stdout=subprocess.PIPE, text=True, env=environment())  # fmt: skip
    assert process.stdout is not None
    with process:
        try:
            yield process
        finally:
            process.kill()


def environment() -> dict[str, str]:
    """Return the variables of a program that has the distribution."""
    return {**os.environ, "PYTHONPATH": str(CLIENTS)}


def lines(answer: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the JSON lines of a program that went well."""
    assert (answer.returncode, answer.stderr) == (0, "")
    return [json.loads(line) for line in answer.stdout.splitlines()]


def dead_port() -> int:
    """Return a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def files(directory: Path) -> list[Path]:
    """Return the files of a spool."""
    return sorted(directory.glob("*.tslog"))


def logged(text: str) -> bool:
    """Return whether the test has logged it, not the client itself."""
    return "dropped" not in text and "spool" not in text
