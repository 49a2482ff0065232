"""Process tasks: found by their ``task.json``, alive as long as their supervisor is."""

import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from discovery.labels import ignored
from discovery.proc import start_ticks
from discovery.process.cgroup import remove_if_empty
from discovery.process.taskfile import FILE_NAME, TaskFile, read_task_file
from discovery.source import SourceStatus, count_states
from model.clock import Clock, now_ms
from model.errors import DiscoveryError
from model.task import Exit, Task, TaskID, TaskState

_log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0


class _Known(Struct):
    """A task directory as last read; ``stamp`` tells whether its file was replaced since."""

    stamp: tuple[int, int, int]
    file: TaskFile
    task: Task
    seen_alive: bool = False


class ProcessSource:
    """See ``discovery.source.RuntimeSource``.

    Args:
        directory: Where task directories lie, see ``taskfile.tasks_directory``.
        clock: Tells the time.
        retention_seconds: How long ended tasks stay listed; then their directory is removed.
        poll_seconds: Between looks.
        proc: Where the host's /proc is.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        retention_seconds: float = 86_400.0,
        poll_seconds: float = _POLL_SECONDS,
        proc: Path = Path("/proc"),
    ) -> None:
        self.name = "process"
        self._directory = directory
        self._clock = clock
        self._retention_ms = retention_seconds * 1000
        self._poll_seconds = poll_seconds
        self._proc = proc
        self._known: dict[str, _Known] = {}
        self._bad: dict[str, str] = {}
        self._tasks: frozenset[Task] = frozenset()
        self._changed: Callable[[], None] = lambda: None
        self._stop = Event()
        self._thread: Thread | None = None
        self._failures = 0
        self._problem = ""

    def start(self, changed: Callable[[], None]) -> None:
        """See ``RuntimeSource.start``."""
        self._changed = changed
        self._look()
        self._thread = Thread(target=self._run, name="process-tasks", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """See ``RuntimeSource.stop``."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout_seconds)

    def snapshot(self) -> frozenset[Task]:
        """See ``RuntimeSource.snapshot``."""
        return self._tasks

    def status(self) -> SourceStatus:
        """See ``RuntimeSource.status``."""
        tasks = self._tasks
        ended = sum(t.status.state.ended for t in tasks)
        message = f"{len(tasks) - ended} tasks of `taskscope run`, {ended} ended"
        if self._bad:
            message += f"; {len(self._bad)} not readable: {next(iter(self._bad.values()))}"
        if self._problem:
            message = self._problem
        return SourceStatus(
            self.name, not self._problem, message, count_states(tasks), self._failures
        )

    def _run(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            self._look()

    def _look(self) -> None:
        try:
            self._poll()
            self._problem = ""
        except OSError as error:
            self._failures += 1
            self._problem = f"{self._directory} cannot be read: {error.strerror}; its tasks stay as they were last seen"
        except Exception as error:
            _log.exception("the source of process tasks goes on after an error of its own")
            self._failures += 1
            self._problem = f"process tasks could not be understood: {error!r}"

    def _poll(self) -> None:
        names = self._names()
        for name in set(self._known) - names:
            del self._known[name]
        for name in set(self._bad) - names:
            del self._bad[name]
        for name in names:
            self._read(name)
        now = now_ms(self._clock)
        tasks = []
        for name, known in list(self._known.items()):
            self._judge(name, known, now)
            status = known.task.status
            if status.state.ended and _ended_ms(known.task) < now - self._retention_ms:
                shutil.rmtree(self._directory / name, ignore_errors=True)
                del self._known[name]
            elif not ignored(status.labels):
                tasks.append(known.task)
        new = frozenset(tasks)
        if new != self._tasks:
            self._tasks = new
            self._changed()

    def _names(self) -> set[str]:
        try:
            return {path.name for path in self._directory.iterdir() if path.is_dir()}
        except FileNotFoundError:
            return set()  # nobody has run a task yet

    def _read(self, name: str) -> None:
        home = self._directory / name
        try:
            found = (home / FILE_NAME).stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._known.get(name)
            if known is not None and known.stamp == stamp:
                return
            file = read_task_file(home)
        except FileNotFoundError:
            return  # its supervisor is about to write it
        except (OSError, DiscoveryError) as error:
            if name not in self._bad:
                self._failures += 1
            self._bad[name] = f"{home / FILE_NAME} {error}"
            return
        self._bad.pop(name, None)
        seen = known is not None and known.seen_alive
        # the directory's name is the id, whatever the file says: it cannot pose as another task
        identity = replace(file.task.identity, task_id=TaskID(name))
        self._known[name] = _Known(stamp, file, Task(identity, file.task.status), seen)

    def _judge(self, name: str, known: _Known, now: int) -> None:
        """Call a task lost whose supervisor has gone without saying how it ended."""
        status = known.task.status
        if status.state.ended:
            return
        file = known.file
        if start_ticks(file.supervisor_pid, self._proc) == file.supervisor_start_ticks:
            known.seen_alive = True
            return
        ended = now if known.seen_alive else max(_last_sign_ms(self._directory / name), 1)
        runs = status.runs
        if runs and runs[-1].ended_ms is None:
            end = Exit(None, reason="its supervisor is gone")
            runs = (*runs[:-1], replace(runs[-1], ended_ms=ended, exit=end))
        if status.cgroup:
            remove_if_empty(known.task.identity.task_id)
        lost = replace(status, state=TaskState.LOST, runs=runs, pid=0)
        known.task = Task(known.task.identity, lost)


def _ended_ms(task: Task) -> int:
    run = task.status.run
    return (run.ended_ms or 0) if run else task.status.created_ms


def _last_sign_ms(home: Path) -> int:
    """Return when a task directory was last written to."""
    times = []
    for path in (home / FILE_NAME, home / "sandbox/stdout", home / "sandbox/stderr"):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime_ns // 1_000_000)
    return max(times, default=0)
