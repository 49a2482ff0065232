"""What happens to tasks, as log records of theirs: health changes, and how each run ended."""

import logging
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

from logship.events import EventLog
from logship.redact import Redactor
from model.clock import Clock
from model.errors import StorageError
from model.health import HealthResult
from model.log import Level
from model.task import Exit, HealthStatus, Run, Task, TaskID, TaskSource, describe_exit

_log = logging.getLogger(__name__)


class TaskEvents:
    """Watches the tasks and writes an event for each run that ends while it watches."""

    def __init__(self, tasks: TaskSource, directory: Path, clock: Clock, redactor: Redactor | None = None) -> None:  # fmt: skip
        self._tasks = tasks
        self.log = EventLog(directory, clock, redactor)
        self._told: dict[TaskID, int] = {}  # number of the last run whose end was written
        self._stop = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to watch; runs that have ended before are no news."""
        self._told = {t.identity.task_id: _last_ended(t) for t in self._tasks.snapshot()}
        self._thread = Thread(target=self._watch, name="task-events", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End; safe twice and before start."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def health_changed(self, result: HealthResult, task: Task) -> None:
        """Write that a check's status has changed."""
        sick = result.status is HealthStatus.UNHEALTHY
        said = f": {result.output.strip()}" if result.output.strip() else ""
        self._append(
            task,
            Level.WARN if sick else Level.INFO,
            f"check {result.check} is {result.status.value}{said}",
            {
                "event": "health",
                "check": result.check,
                "status": result.status.value,
                "failures": result.failures,
            },
        )

    def _append(self, task: Task, level: Level, message: str, fields: Mapping[str, Any]) -> None:
        try:
            self.log.append(task.identity, level, message, fields)
        except (StorageError, TypeError) as error:  # TypeError: a text from the task is no Unicode
            _log.error(
                "an event of task %r is lost (%s): %r", task.identity.task_name, error, message
            )

    def _watch(self) -> None:
        for tasks in self._tasks.watch(self._stop):
            told = self._told
            self._told = {task.identity.task_id: _last_ended(task) for task in tasks}
            for task in tasks:
                for run in task.status.runs:
                    if run.ended_ms is not None and run.number > told.get(task.identity.task_id, 0):
                        self._run_ended(task, run)

    def _run_ended(self, task: Task, run: Run) -> None:
        ended = run.exit or Exit(None)
        fields = {
            "event": "ended",
            "run": run.number,
            "exit_code": ended.code,
            "signal": ended.signal,
            "oom": ended.oom,
        }
        level = Level.INFO if ended.code == 0 else Level.ERROR
        self._append(task, level, f"run {run.number} ended: {describe_exit(ended)}", fields)


def _last_ended(task: Task) -> int:
    ended = (run.number for run in reversed(task.status.runs) if run.ended_ms is not None)
    return next(ended, 0)
