"""All tasks of all runtimes, as one ``model.task.TaskSource``."""

from collections.abc import Iterator, Sequence
from threading import Condition, Event
from time import sleep
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from discovery.metrics import DiscoveryMetrics
from discovery.source import RuntimeSource, SourceStatus
from model.clock import Clock
from model.task import Task, TaskSource

# Changes come in bursts; a set of all tasks is made at most once per this.
_GATHER_SECONDS: Final = 0.02
# How often a watcher looks whether it should stop.
_STOP_CHECK_SECONDS: Final = 0.5


class TaskRegistry:
    """See ``model.task.TaskSource``; a task that two sources know is the first one's.

    Args:
        sources: In order of precedence; started and stopped with the registry.
        clock: Tells the time.
        registry: Where discovery's own metrics go.
    """

    def __init__(
        self, sources: Sequence[RuntimeSource], clock: Clock, registry: CollectorRegistry
    ) -> None:
        self._sources = tuple(sources)
        self._clock = clock
        self._changed = Condition()
        self._version = 0
        self._made_of: tuple[frozenset[Task], ...] = ()
        self._tasks: frozenset[Task] = frozenset()
        self._closed = False
        DiscoveryMetrics(registry, self._sources)

    def start(self) -> None:
        """Start every source; each has had its first listing, or about a second for it, when this returns."""
        for source in self._sources:
            source.start(self._notify)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop every source and end every ``watch``; what was known stays known."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        deadline = self._clock.monotonic() + timeout_seconds
        for source in self._sources:
            source.stop(max(deadline - self._clock.monotonic(), 0.1))

    def snapshot(self) -> frozenset[Task]:
        """See ``TaskSource.snapshot``."""
        parts = tuple(source.snapshot() for source in self._sources)
        if len(parts) == len(self._made_of) and all(
            new is old for new, old in zip(parts, self._made_of, strict=True)
        ):
            return self._tasks
        tasks = parts[0] if len(parts) == 1 else _merge(parts)
        self._tasks = tasks
        self._made_of = parts
        return tasks

    def watch(self, stop: Event) -> Iterator[frozenset[Task]]:
        """See ``TaskSource.watch``."""
        seen: frozenset[Task] | None = None
        while not (stop.is_set() or self._closed):
            version = self._version
            tasks = self.snapshot()
            if tasks is not seen:
                seen = tasks
                yield tasks
                continue
            with self._changed:
                if self._version == version and not self._closed:
                    self._changed.wait(_STOP_CHECK_SECONDS)
            if self._version != version:
                sleep(_GATHER_SECONDS)

    def status(self) -> list[SourceStatus]:
        """Return how each source is doing."""
        return [source.status() for source in self._sources]

    def _notify(self) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()


def _merge(parts: Sequence[frozenset[Task]]) -> frozenset[Task]:
    tasks = {}
    for part in reversed(parts):
        for task in part:
            tasks[task.identity.task_id] = task
    return frozenset(tasks.values())


if TYPE_CHECKING:
    _: type[TaskSource] = TaskRegistry
