"""From what a sender says of itself to the identity of a task that Taskscope knows."""

from typing import Final

from logship.spool.entry import Owner
from model.task import ContainerID, Task, TaskID, TaskIdentity, TaskSource, TaskState, TaskStatus

SHORT_ID_CHARS: Final = 12  # as Docker shows them


class Owners:
    """Finds tasks; for one thread at a time.

    Args:
        tasks: Those known now.
        source: Name of the source, for tasks that nobody knows.
        cluster: Of this host.
        host: Its name.
    """

    def __init__(self, tasks: TaskSource, source: str, *, cluster: str, host: str) -> None:
        self._tasks = tasks
        self._source = source
        self._cluster = cluster
        self._host = host
        self._seen: frozenset[Task] | None = None
        self._by_id: dict[str, Task] = {}

    def find(self, owner: Owner) -> Task | None:
        """Return the task of an owner, or None where the runtime knows no such."""
        if not owner.container_id and not owner.task_id:
            return None
        tasks = self._tasks.snapshot()
        if tasks is not self._seen:
            self._seen = tasks
            self._by_id = {}
            for task in tasks:
                container = task.identity.container_id
                self._by_id[task.identity.task_id] = task
                if container:
                    self._by_id[container] = self._by_id[container[:SHORT_ID_CHARS]] = task
        return self._by_id.get(owner.container_id) or self._by_id.get(owner.task_id)

    def unknown(self, owner: Owner) -> Task:
        """Return what can be said of an owner that the runtime does not know."""
        container = owner.container_id
        identity = TaskIdentity(
            cluster=self._cluster,
            host=self._host,
            framework="docker" if container else "",
            namespace=owner.namespace,
            app=owner.app,
            task_name=owner.task_name or owner.app,
            task_id=TaskID(owner.task_id or container or f"{self._source}/{owner.app}"),
            container_id=ContainerID(container),
            container_name=owner.task_name if container else "",
        )
        return Task(identity, TaskStatus(TaskState.RUNNING, 0))
