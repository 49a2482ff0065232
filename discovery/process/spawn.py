"""Starting a task's command so that it cannot outlive its supervisor, and taking what it writes."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from threading import Thread
from typing import IO, Final, TextIO

from discovery.process.cgroup import Cgroup
from discovery.process.sandbox import RotatingFile, copy_stream

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def spawn(command: Sequence[str], cgroup: Cgroup | None) -> "subprocess.Popen[bytes]":
    """Start a command in a session, and if there is one in a cgroup, of its own.

    The kernel kills it when the thread that calls this ends.

    Raises:
        OSError: If it cannot be run.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None)

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it died before the kernel was told
        if cgroup is not None:
            cgroup.join(os.getpid())

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
        # only system calls before exec: a limit must hold from the first instruction
        preexec_fn=before_exec,  # noqa: PLW1509
    )


def start_copying(pipe: IO[bytes] | None, into: RotatingFile, echo: TextIO | None) -> Thread:
    """Start a thread that copies a pipe; it goes on while a stray child holds the other end."""
    assert pipe is not None
    source = os.dup(pipe.fileno())
    pipe.close()
    target = echo.fileno() if echo is not None else None
    thread = Thread(target=copy_stream, args=(source, into, target), name="sandbox", daemon=True)
    thread.start()
    return thread
