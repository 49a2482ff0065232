"""COMMAND: exit code 0 is a pass; inside the container, or on the host for the operator's own checks."""

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import Protocol

from healthcheck.prober.outcome import Outcome, failed, not_made, passed
from model.errors import DiscoveryError
from model.health import MAX_OUTPUT_BYTES


class ExecRunner(Protocol):
    """Runs commands inside containers."""

    def run(
        self, container_id: str, argv: tuple[str, ...], timeout_seconds: float
    ) -> tuple[int, str]:
        """Run a command and wait for its end; returns its exit code and the beginning of its output.

        Raises:
            TimeoutError: If it is not done in time.
            DiscoveryError: If the runtime cannot be asked.
        """
        ...


def probe_in_container(
    runner: ExecRunner, container_id: str, argv: tuple[str, ...], timeout_seconds: float
) -> Outcome:
    """Run a command inside a container."""
    try:
        code, output = runner.run(container_id, argv, timeout_seconds)
    except TimeoutError:
        return failed(f"the command was not done within {timeout_seconds:g} s")
    except DiscoveryError as error:
        return not_made("runtime", f"the command could not be run: {error}")
    return _judge(code, output)


def probe_on_host(argv: tuple[str, ...], timeout_seconds: float) -> Outcome:
    """Run a command on the host, in a session of its own that is killed when its time is over."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return not_made("command", f"{argv[0]} cannot be run: {error.strerror}")
    with process:
        try:
            output = _output(process, time.monotonic() + timeout_seconds)
        except TimeoutError:
            return failed(f"the command was not done within {timeout_seconds:g} s")
        finally:
            # before it is reaped: its process group cannot be another's yet
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return _judge(process.returncode, output.decode(errors="replace"))


def _output(process: "subprocess.Popen[bytes]", deadline: float) -> bytes:
    """Return the first 4 KiB of output once the process has ended; the rest is read and dropped.

    Raises:
        TimeoutError: If it has not by then.
    """
    assert process.stdout is not None
    pipe, ended = process.stdout.fileno(), os.pidfd_open(process.pid)
    kept, waiting = b"", [pipe, ended]
    try:
        while True:
            left = deadline - time.monotonic()
            ready, _, _ = select.select(waiting, [], [], max(left, 0))
            if not ready:
                raise TimeoutError
            if pipe in ready:
                data = os.read(pipe, 65536)
                kept += data[: MAX_OUTPUT_BYTES - len(kept)]
                if not data:
                    waiting.remove(pipe)
            elif ended in ready:
                return kept
            if left <= 0:
                raise TimeoutError
    finally:
        os.close(ended)


def _judge(code: int, output: str) -> Outcome:
    if code == 0:
        return passed(output.strip())
    return failed(f"exit code {code}: {output.strip()}" if output.strip() else f"exit code {code}")
