"""What each task uses now, from the series; asked by every open task list, computed once in a while."""

import logging
import threading
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from model.clock import Clock, now_ms
from model.errors import TaskscopeError
from promql.engine import Engine
from promql.result import Vector
from storage.interface import Queryable

CPU: Final = "sum by (task_id) (rate(container_cpu_usage_seconds_total[1m]))"
MEMORY: Final = "sum by (task_id) (container_memory_working_set_bytes)"
_FRESH_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class Usage(Struct, frozen=True):
    """What one task uses: cores, and bytes of working set; None where there is no sample."""

    cpu_cores: float | None = None
    memory_bytes: float | None = None


class TaskUsage:
    """Asks the engine at most once in two seconds, whatever the number of pages."""

    def __init__(self, queryable: Queryable, engine: Engine, clock: Clock) -> None:
        self._queryable = queryable
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._usage: Mapping[str, Usage] = {}

    def current(self) -> Mapping[str, Usage]:
        """Return the usage by task id; empty while the store cannot be asked."""
        with self._lock:
            if self._clock.monotonic() - self._at >= _FRESH_SECONDS:
                self._usage = self._ask()
                self._at = self._clock.monotonic()
            return self._usage

    def _ask(self) -> Mapping[str, Usage]:
        try:
            cpu, memory = self._by_task(CPU), self._by_task(MEMORY)
        except TaskscopeError as error:
            _log.warning("the task list goes without CPU and memory: %s", error)
            return {}
        return {task: Usage(cpu.get(task), memory.get(task)) for task in cpu.keys() | memory.keys()}

    def _by_task(self, expr: str) -> dict[str, float]:
        found = self._engine.instant(self._queryable, expr, now_ms(self._clock)).value
        assert isinstance(found, Vector)
        column = found.labels.columns.get("task_id")
        if column is None:
            return {}
        tasks = map(column.values.__getitem__, column.codes.tolist())
        return dict(zip(tasks, found.values.tolist(), strict=True))
