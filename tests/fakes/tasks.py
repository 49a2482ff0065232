"""Tasks made up for tests, and a source that a test fills by hand."""

import time
from collections.abc import Iterator
from threading import Event
from typing import Any

from msgspec.structs import replace

from model.task import ContainerID, Run, Task, TaskID, TaskIdentity, TaskState, TaskStatus

SHOP = TaskIdentity(
    cluster="test",
    host="host-1",
    framework="docker",
    namespace="default",
    app="shop",
    task_name="shop-1",
    task_id=TaskID("5" * 64),
    container_id=ContainerID("5" * 64),
    container_name="shop-1",
    image="shop:1",
)


def make_task(name: str = "shop-1", *, app: str = "shop", **status: Any) -> Task:
    """Return a running task; keyword arguments are fields of its status."""
    task_id = f"{name}-id"
    identity = replace(
        SHOP,
        app=app,
        task_name=name,
        task_id=TaskID(task_id),
        container_id=ContainerID(task_id),
        container_name=name,
    )
    status.setdefault("state", TaskState.RUNNING)
    status.setdefault("created_ms", 1_767_225_600_000)
    status.setdefault("runs", (Run(1, 1_767_225_600_000),))
    return Task(identity, TaskStatus(**status))


class FakeTaskSource:
    """See ``model.task.TaskSource``; ``set`` replaces what it knows."""

    def __init__(self, *tasks: Task) -> None:
        self._tasks = frozenset(tasks)

    def set(self, *tasks: Task) -> None:
        """Replace the known tasks."""
        self._tasks = frozenset(tasks)

    def snapshot(self) -> frozenset[Task]:
        return self._tasks

    def watch(self, stop: Event) -> Iterator[frozenset[Task]]:
        last = None
        while not stop.is_set():
            if self._tasks is not last:
                last = self._tasks
                yield last
            time.sleep(0.01)
