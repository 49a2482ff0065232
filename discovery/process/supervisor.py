"""Runs a command as a task: ``taskscope run``.

The supervisor is the parent of the command. It keeps the task's directory: ``task.json`` (replaced
as a whole at each change) and ``sandbox/`` with rotated ``stdout`` and ``stderr``. Should the
supervisor itself be killed, the kernel kills the command too, so that nothing runs unwatched.
"""

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Final

from msgspec.structs import replace

from discovery.proc import cgroup_path, start_ticks
from discovery.process.cgroup import Cgroup, make_cgroup, refusal_sentence
from discovery.process.sandbox import RotatingFile
from discovery.process.spawn import spawn, start_copying
from discovery.process.spec import RunSpec, new_task_id
from discovery.process.taskfile import TaskFile, write_task_file
from discovery.source import KEPT_RUNS
from model.clock import Clock, now_ms
from model.errors import OperatorError
from model.task import (
    ContainerID,
    Exit,
    Port,
    Run,
    Task,
    TaskID,
    TaskIdentity,
    TaskState,
    TaskStatus,
)

FIRST_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 30.0
# A run this long was no crash loop: the next backoff is the first again (Docker's rule).
STEADY_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0  # between looks at the kernel's OOM count
_OOM_WINDOW_SECONDS: Final = 3.0  # an OOM kill this long before the end is its cause
_DRAIN_SECONDS: Final = 1.0  # for output after the end, if a stray child holds the pipe
_FORWARDED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # what a shell would say


def supervise(
    spec: RunSpec, directory: Path, clock: Clock, *, started: Callable[[Task], None] | None = None
) -> int:
    """Run a command until it (or its last restart) has ended; blocks.

    Signals are forwarded to the command while this runs in the main thread; the first of TERM, INT,
    QUIT, HUP also ends the restarts.

    Args:
        spec: What to run.
        directory: Where task directories are made, see ``taskfile.tasks_directory``.
        clock: Tells the time.
        started: Called once, when the task's directory is there.

    Returns:
        The command's exit code, 128 + signal where a signal ended it.

    Raises:
        OperatorError: If the directory cannot be made, or a memory limit is asked for where no
            cgroup may be made.
    """
    task_id = new_task_id(spec.name)
    home = directory / task_id
    sandbox = home / "sandbox"
    try:
        sandbox.mkdir(parents=True, mode=0o755)
    except OSError as error:
        raise OperatorError(f"{home} cannot be made: {error.strerror}") from error
    cgroup, note = _own_cgroup(spec, task_id)
    supervisor = _Supervisor(spec, home, clock, cgroup, note)
    try:
        supervisor.write()
        if started is not None:
            started(supervisor.task)
        return supervisor.run()
    finally:
        if cgroup is not None:
            cgroup.remove()


def _own_cgroup(spec: RunSpec, task_id: str) -> tuple[Cgroup | None, str]:
    try:
        cgroup = make_cgroup(task_id)
    except OSError as error:
        sentence = refusal_sentence(error)
        if spec.memory_limit_bytes:
            raise OperatorError(
                f"memory cannot be limited: {sentence}; run as root, or leave out --memory"
            ) from error
        return None, f"{sentence}: its figures come from /proc"
    if spec.memory_limit_bytes:
        try:
            cgroup.limit_memory(spec.memory_limit_bytes)
        except OSError as error:
            cgroup.remove()
            raise OperatorError(f"memory cannot be limited: {error.strerror}") from error
    return cgroup, ""


class _Supervisor:
    """One task's life; ``task`` is what the world may know of it."""

    def __init__(
        self, spec: RunSpec, home: Path, clock: Clock, cgroup: Cgroup | None, note: str
    ) -> None:
        self._spec = spec
        self._home = home
        self._clock = clock
        self._cgroup = cgroup
        self._note = note
        self._ticks = start_ticks(os.getpid())
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_asked = False
        self._oom_seen = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        status = TaskStatus(
            TaskState.STAGING,
            now_ms(clock),
            address="127.0.0.1",
            ports=tuple(Port(port, port) for port in spec.ports),
            sandbox=str(home / "sandbox"),
            cgroup=cgroup.path if cgroup else "",
            memory_limit_bytes=spec.memory_limit_bytes,
            labels=MappingProxyType(dict(spec.labels)),
        )
        self.task = Task(_identity(spec, home.name), status)

    def write(self) -> None:
        """Tell the world; a full disk does not stop the task."""
        content = TaskFile(self.task, os.getpid(), self._ticks, self._note)
        with contextlib.suppress(OSError):
            write_task_file(self._home, content)

    def run(self) -> int:
        """Run the command, again and again if asked; returns the last exit code."""
        sandbox = self._home / "sandbox"
        out, err = RotatingFile(sandbox / "stdout"), RotatingFile(sandbox / "stderr")
        backoff = FIRST_BACKOFF_SECONDS
        try:
            with self._signals():
                while True:
                    began = self._clock.monotonic()
                    end = self._run_once(out, err)
                    code = end.code if end.code is not None else 1
                    if not self._again():
                        self._end(end, self._end_state(end))
                        return code
                    self._end(end, TaskState.RESTARTING)
                    if self._clock.monotonic() - began >= STEADY_SECONDS:
                        backoff = FIRST_BACKOFF_SECONDS
                    self._pause(backoff)
                    backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
                    if self._stop_asked:
                        self._set(state=TaskState.KILLED)
                        return code
        finally:
            out.close()
            err.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _again(self) -> bool:
        most = self._spec.max_restarts
        return (
            self._spec.restart
            and not self._stop_asked
            and (most is None or self.task.status.restarts < most)
        )

    def _run_once(self, out: RotatingFile, err: RotatingFile) -> Exit:
        last = self.task.status.run
        run = Run(last.number + 1 if last else 1, now_ms(self._clock))
        self._oom_seen = self._cgroup.oom_kills() if self._cgroup else 0
        try:
            process = spawn(self._spec.command, self._cgroup)
        except OSError as error:
            self._set(state=TaskState.RUNNING, runs=self._runs(run), restarts=run.number - 1)
            sentence = f"{self._spec.command[0]} cannot be run: {error.strerror}"
            err.write(f"taskscope: {sentence}\n".encode())
            missing = isinstance(error, FileNotFoundError)
            return Exit(_NOT_FOUND if missing else _NOT_EXECUTABLE, reason=sentence)
        self._process = process
        self._set(
            state=TaskState.RUNNING,
            runs=self._runs(run),
            restarts=run.number - 1,
            pid=process.pid,
            cgroup=self.task.status.cgroup or cgroup_path(process.pid),
        )
        # after the file: whoever reads a line can know the run it is from
        copiers = [
            start_copying(process.stdout, out, sys.stdout if self._spec.echo else None),
            start_copying(process.stderr, err, sys.stderr if self._spec.echo else None),
        ]
        killed = self._wait(process)
        self._process = None
        for copier in copiers:
            copier.join(_DRAIN_SECONDS)
        # a shell whose child was killed passes 128 + signal on, as Docker would report it
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        number = code - 128 if 128 < code <= 192 else 0
        return Exit(code, number, oom=killed and number == signal.SIGKILL)

    def _wait(self, process: "subprocess.Popen[bytes]") -> bool:
        """Wait for the end; returns whether the kernel killed something just before it for want of memory."""
        descriptor = os.pidfd_open(process.pid)
        last_oom = -math.inf
        try:
            while True:
                ready, _, _ = select.select([descriptor], [], [], _LOOK_SECONDS)
                if ready:
                    process.wait()
                if self._count_ooms():
                    last_oom = self._clock.monotonic()
                if ready:
                    return self._clock.monotonic() - last_oom < _OOM_WINDOW_SECONDS
        finally:
            os.close(descriptor)

    def _count_ooms(self) -> int:
        if self._cgroup is None:
            return 0
        total = self._cgroup.oom_kills()
        new, self._oom_seen = total - self._oom_seen, total
        if new:
            self._set(oom_kills=self.task.status.oom_kills + new)
        return new

    def _end_state(self, end: Exit) -> TaskState:
        if self._stop_asked:
            return TaskState.KILLED
        return TaskState.FINISHED if end.code == 0 else TaskState.FAILED

    def _end(self, end: Exit, state: TaskState) -> None:
        run = self.task.status.run
        assert run is not None
        ended = replace(run, ended_ms=now_ms(self._clock), exit=end)
        self._set(state=state, runs=(*self.task.status.runs[:-1], ended), pid=0)

    def _runs(self, run: Run) -> tuple[Run, ...]:
        return (*self.task.status.runs, run)[-KEPT_RUNS:]

    def _set(self, **changes: object) -> None:
        status = replace(self.task.status, **changes)
        self.task = replace(self.task, status=status)
        self.write()

    def _pause(self, seconds: float) -> None:
        """Wait, or until a signal asks to stop."""
        select.select([self._wake_read], [], [], seconds)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._forward) for number in _FORWARDED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if number in _STOPPING:
            self._stop_asked = True
            with contextlib.suppress(OSError):
                os.write(self._wake_write, b"x")
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)


def _identity(spec: RunSpec, task_id: str) -> TaskIdentity:
    return TaskIdentity(
        cluster=spec.cluster,
        host=spec.host,
        framework="process",
        namespace=spec.namespace or "default",
        app=spec.app or spec.name,
        task_name=spec.name,
        task_id=TaskID(task_id),
        container_id=ContainerID(""),
    )
