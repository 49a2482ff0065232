"""What runtimes say of tasks, as series: state, start, restarts, how the last run ended."""

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Final

import numpy as np

from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.samples import SeriesBlock
from model.task import Exit, Run, Task, TaskIdentity, TaskSource, TaskState

_STATES: Final = tuple(TaskState)
# What labels are made of: the identity, labels the operator wants to see, and what there is besides
# state, info, restarts and OOM kills: a start, an end, an exit code.
_Shape = tuple[TaskIdentity, Mapping[str, str], bool, bool, bool]


class TaskSeries:
    """See ``model.samples.SeriesSource``; ended tasks have series as long as the source lists them.

    Args:
        tasks: Which tasks there are.
        info_labels: Further labels of a task's ``task_info``.
    """

    def __init__(
        self, tasks: TaskSource, info_labels: Callable[[Task], Mapping[str, str]] = lambda _: {}
    ) -> None:
        self._tasks = tasks
        self._info_labels = info_labels
        self._known: dict[str, tuple[_Shape, tuple[Labels, ...]]] = {}
        self._lock = Lock()  # the loop and /metrics may ask at the same time

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        """Return one block per known task."""
        with self._lock:
            blocks = [self._block(task) for task in self._tasks.snapshot()]
            for gone in self._known.keys() - {block.key for block in blocks}:
                del self._known[gone]
            return blocks

    def _block(self, task: Task) -> SeriesBlock:
        status = task.status
        run, ended = status.run, _last_ended(status.runs)
        code = _exit_code(ended.exit if ended else None)
        further = self._info_labels(task)
        shape = (task.identity, further, run is not None, ended is not None, code is not None)
        key = f"task/{task.identity.task_id}"
        known = self._known.get(key)
        if known is None or known[0] != shape:
            known = self._known[key] = (shape, _labels(*shape))
        values = [1.0, *(float(status.state is state) for state in _STATES)]
        values += [float(status.restarts), float(status.oom_kills)]
        if run is not None:
            values.append(run.started_ms / 1000)
        if ended is not None:
            values.append((ended.ended_ms or 0) / 1000)
        if code is not None:
            values.append(code)
        return SeriesBlock(key, known[1], np.array(values, dtype=np.float64))


def _labels(
    identity: TaskIdentity, further: Mapping[str, str], started: bool, ended: bool, coded: bool
) -> tuple[Labels, ...]:
    base = prometheus_labels(identity)
    info = {**further, "image": identity.image, "container_name": identity.container_name}
    rows = [{METRIC_NAME: "task_info", **info}]
    rows += [{METRIC_NAME: "task_state", "state": state.value} for state in _STATES]
    names = ["container_restarts_total", "task_oom_kills_total"]
    names += ["task_start_time_seconds"] if started else []
    names += ["task_last_exit_time_seconds"] if ended else []
    names += ["task_last_exit_code"] if coded else []
    rows += [{METRIC_NAME: name} for name in names]
    return tuple(Labels.of({**base, **row}) for row in rows)


def _last_ended(runs: tuple[Run, ...]) -> Run | None:
    return next((run for run in reversed(runs) if run.ended_ms is not None), None)


def _exit_code(ended: Exit | None) -> float | None:
    return float(ended.code) if ended is not None and ended.code is not None else None
