"""The registry over several sources."""

import threading
import time
from collections.abc import Callable
from threading import Event

import pytest
from prometheus_client import CollectorRegistry

from discovery.registry import TaskRegistry
from discovery.source import SourceStatus, count_states
from model.task import Task, TaskState
from tests.discovery.clock import SystemClock
from tests.discovery.conftest import Wait
from tests.fakes.tasks import make_task


class Source:
    """A source filled by hand."""

    def __init__(self, name: str, *tasks: Task, ok: bool = True) -> None:
        self.name = name
        self.running = False
        self._tasks = frozenset(tasks)
        self._ok = ok
        self._changed: Callable[[], None] = lambda: None

    def set(self, *tasks: Task) -> None:
        self._tasks = frozenset(tasks)
        self._changed()

    def start(self, changed: Callable[[], None]) -> None:
        self.running = True
        self._changed = changed

    def stop(self, timeout_seconds: float = 5.0) -> None:
        self.running = False

    def snapshot(self) -> frozenset[Task]:
        return self._tasks

    def status(self) -> SourceStatus:
        return SourceStatus(self.name, self._ok, "fine", count_states(self._tasks), 3)


def registry(*sources: Source, metrics: CollectorRegistry | None = None) -> TaskRegistry:
    """Return a started registry."""
    made = TaskRegistry(sources, SystemClock(), metrics or CollectorRegistry())
    made.start()
    return made


def names(tasks: frozenset[Task]) -> list[str]:
    """Return the tasks' names in order."""
    return sorted(task.identity.task_name for task in tasks)


def test_snapshot_is_the_union() -> None:
    """A task that two sources know is the first one's; the set is made only when something changed."""
    one = make_task("shop-1")
    other = make_task("shop-1", state=TaskState.LOST)
    first, second = Source("a", one), Source("b", other, make_task("shop-2"))
    tasks = registry(first, second)

    assert names(tasks.snapshot()) == ["shop-1", "shop-2"]
    assert one in tasks.snapshot()
    assert tasks.snapshot() is tasks.snapshot()


def test_watch_tells_at_once_and_after_each_change(wait: Wait) -> None:
    """A change is told within a tenth of a second, a burst of them as one set, the last one for sure."""
    source = Source("a", make_task("shop-1"))
    tasks = registry(source)
    stop, seen, times = Event(), [], []

    def follow() -> None:
        for found in tasks.watch(stop):
            seen.append(names(found))
            times.append(time.monotonic())

    thread = threading.Thread(target=follow)
    thread.start()
    wait(lambda: seen == [["shop-1"]], "the first set")
    changed = time.monotonic()
    for n in range(200):
        source.set(make_task(f"shop-{n}"))
    wait(lambda: seen[-1] == ["shop-199"], "the last set")
    stop.set()
    thread.join(2)

    assert not thread.is_alive()
    assert times[1] - changed < 0.1
    assert len(seen) < 100


def test_stop_ends_watchers_and_sources() -> None:
    """What was known stays known; stopping twice is as good as once."""
    source = Source("a", make_task("shop-1"))
    tasks = registry(source)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.extend(map(len, tasks.watch(Event()))))
    thread.start()
    time.sleep(0.05)
    tasks.stop()
    tasks.stop()
    thread.join(2)

    assert not thread.is_alive()
    assert seen == [1]
    assert not source.running
    assert names(tasks.snapshot()) == ["shop-1"]


@pytest.mark.parametrize(
    ("name", "labels", "want"),
    [
        ("taskscope_discovery_tasks", {"source": "a", "state": "running"}, 2),
        ("taskscope_discovery_tasks", {"source": "a", "state": "failed"}, 1),
        ("taskscope_discovery_tasks", {"source": "b", "state": "running"}, 0),
        ("taskscope_discovery_up", {"source": "a"}, 1),
        ("taskscope_discovery_up", {"source": "b"}, 0),
        ("taskscope_discovery_failures_total", {"source": "a"}, 3),
    ],
)
def test_own_metrics(name: str, labels: dict[str, str], want: float) -> None:
    """Tasks by state, whether the runtime answers, and failures, by source."""
    metrics = CollectorRegistry()
    ended = make_task("shop-3", state=TaskState.FAILED)
    registry(
        Source("a", make_task("shop-1"), make_task("shop-2"), ended),
        Source("b", ok=False),
        metrics=metrics,
    )

    assert metrics.get_sample_value(name, labels) == want


def test_status_is_that_of_each_source() -> None:
    """For start-up text and doctor."""
    tasks = registry(Source("a"), Source("b", ok=False))

    assert [(s.name, s.ok) for s in tasks.status()] == [("a", True), ("b", False)]
