"""Whose a log file is, as far as its path tells: the layouts of the kubelet, of Mesos and of Docker."""

import re
from pathlib import Path
from typing import Final

from model.task import ContainerID, Run, Task, TaskID, TaskIdentity, TaskState, TaskStatus

_POD: Final = re.compile(r".*/(?P<namespace>[^/_]+)_(?P<pod>[^/_]+)_(?P<uid>[^/_]+)/(?P<container>[^/]+)/\d+\.log", re.ASCII)  # fmt: skip
_MESOS: Final = re.compile(r".*/slaves/[^/]+/frameworks/(?P<framework>[^/]+)/executors/(?P<executor>[^/]+)/runs/(?P<run>[^/]+)/[^/]+")  # fmt: skip
_DOCKER: Final = re.compile(r".*/containers/(?P<id>[0-9a-f]{64})/(?P=id)-json\.log")
_UUID: Final = re.compile(r"[._-][0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$")


def owner(path: Path, *, app: str, cluster: str, host: str) -> Task:
    """Return the task that a file belongs to; ``app`` is the operator's word, "" for none."""
    text = str(path)

    def task(framework: str, namespace: str, name: str, task_id: str, container_id: str = "", container_name: str = "") -> Task:  # fmt: skip
        identity = TaskIdentity(
            cluster, host, framework, namespace, app or _UUID.sub("", container_name or name), name,
            TaskID(task_id), ContainerID(container_id), container_name,
        )  # fmt: skip
        return Task(identity, TaskStatus(TaskState.RUNNING, 0, (Run(0, 0),)))

    if (pod := _POD.fullmatch(text)) is not None:
        return task("kubernetes", pod["namespace"], pod["pod"], f"{pod['uid']}/{pod['container']}", container_name=pod["container"])  # fmt: skip
    if (run := _MESOS.fullmatch(text)) is not None:
        return task(run["framework"], "default", run["executor"], run["executor"], run["run"])
    if (docker := _DOCKER.fullmatch(text)) is not None:
        return task("docker", "default", docker["id"][:12], docker["id"], docker["id"])
    name = app or path.name.removesuffix(".log") or path.name
    return task("host", "default", name, f"{host}/{name}")
