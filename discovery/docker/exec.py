"""Commands inside containers, by Docker's exec API."""

import contextlib
import os
import signal
import struct
import time
from typing import Final, Protocol

from discovery.docker.client import DockerClient, DockerError
from discovery.proc import cgroup_path
from model.health import MAX_OUTPUT_BYTES

_HEADER: Final = struct.Struct(">BxxxL")  # stream, length: API docs, "Stream format"

_NOT_FOUND: Final = 127
_BEGIN_SECONDS: Final = 2.0  # for a process that was asked for to be there


class Bytes(Protocol):
    """The part of ``DockerStream`` that reading needs."""

    def read(self, size: int = 65536) -> bytes:
        """See ``DockerStream.read``."""
        ...

    def set_timeout(self, seconds: float | None) -> None:
        """See ``DockerStream.set_timeout``."""
        ...


class DockerExec:
    """Runs commands in containers of one engine; fits ``healthcheck``'s ``ExecRunner``."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client

    def run(
        self, container_id: str, argv: tuple[str, ...], timeout_seconds: float
    ) -> tuple[int, str]:
        """Run a command and wait for its end.

        Docker has no way to end an exec: after a time-out its process is killed from the host where
        that is permitted; else it may go on in the container.

        Returns:
            Exit code (126 or 127 where the command cannot be started) and the first 4 KiB of output.

        Raises:
            TimeoutError: If it is not done in time.
            DiscoveryError: If Docker cannot be asked or refuses.
        """
        deadline = time.monotonic() + timeout_seconds
        made = self._client.post(
            f"/containers/{container_id}/exec",
            {"Cmd": list(argv), "AttachStdout": True, "AttachStderr": True},
        )
        exec_id = str(made["Id"])
        try:
            return self._finish(exec_id, deadline)
        except TimeoutError:
            self._kill(exec_id, container_id)
            raise
        except DockerError as error:
            if error.status == 400:  # it cannot be started: no such program, no rights
                return _NOT_FOUND, str(error)
            self._kill(exec_id, container_id)  # it may begin although Docker did not say so in time
            raise

    def _finish(self, exec_id: str, deadline: float) -> tuple[int, str]:
        """Start what was made, and wait for its end."""
        stream = self._client.stream(
            f"/exec/{exec_id}/start",
            method="POST",
            body={"Detach": False, "Tty": False},
            timeout_seconds=_left(deadline),
        )
        try:
            output = read_output(stream, deadline)
            while True:
                found = self._client.get(f"/exec/{exec_id}/json")
                if not found.get("Running"):
                    return int(found.get("ExitCode") or 0), output
                _left(deadline)
                time.sleep(0.02)
        finally:
            stream.close()

    def _kill(self, exec_id: str, container_id: str) -> None:
        """Kill what was started; on a busy host it may only be about to begin."""
        until = time.monotonic() + _BEGIN_SECONDS
        with contextlib.suppress(DockerError, OSError):
            while time.monotonic() < until:
                found = self._client.get(f"/exec/{exec_id}/json")
                pid = int(found.get("Pid") or 0)
                if pid and not found.get("Running"):
                    return
                # only what is in the container: not another engine's pid, nor one used again
                if pid and container_id in cgroup_path(pid):
                    os.kill(pid, signal.SIGKILL)
                    return
                time.sleep(0.02)


def read_output(stream: Bytes, deadline: float) -> str:
    """Return the first 4 KiB of a multiplexed stream, both channels as they came; reads on to its end.

    Raises:
        TimeoutError: If the end does not come before ``deadline`` on the monotonic clock.
    """
    kept, rest = bytearray(), bytearray()
    body = 0  # bytes of the current frame still to come
    while True:
        stream.set_timeout(_left(deadline))
        data = stream.read()
        if not data:
            return kept.decode(errors="replace")
        rest += data
        while rest:
            if not body:
                if len(rest) < _HEADER.size:
                    break
                _, body = _HEADER.unpack_from(rest)
                del rest[: _HEADER.size]
            part = rest[:body]
            kept += part[: MAX_OUTPUT_BYTES - len(kept)]
            body -= len(part)
            del rest[: len(part)]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
