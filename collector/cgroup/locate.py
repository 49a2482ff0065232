"""Which cgroup version a host has, where a task's cgroup is, and which container cgroups there are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from collector.cgroup.process import ProcessTree
from collector.cgroup.v1 import CgroupV1
from collector.cgroup.v2 import CgroupV2
from collector.files import directories, read_or_none
from model.task import Task

Reader = CgroupV1 | CgroupV2 | ProcessTree

# docker/<id>, docker-<id>.scope, cri-containerd-<id>.scope, libpod-<id>.scope, crio-<id>.scope
_CONTAINER: Final = re.compile(r"(?:[a-z][a-z-]*-)?([0-9a-f]{64})(?:\.scope)?")
_DEPTH: Final = 6  # /kubepods.slice/kubepods-burstable.slice/kubepods-...-pod.slice/<container>


def is_unified(cgroup_root: str) -> bool:
    """Tell whether the host has only cgroup version 2 (on hybrid hosts version 1 has the figures)."""
    return Path(cgroup_root, "cgroup.controllers").exists()


def reader_for(task: Task, cgroup_root: str, proc: str) -> Reader | None:
    """Return how the task can be read; None if neither a cgroup nor a process is known."""
    status, container_id = task.status, task.identity.container_id
    path = status.cgroup
    if not path and container_id and status.pid:
        path = cgroup_of(read_or_none(f"{proc}/{status.pid}/cgroup") or b"", container_id)
    if path and path.strip("/"):
        version = CgroupV2 if is_unified(cgroup_root) else CgroupV1
        return version(cgroup_root, path)
    return ProcessTree(proc, status.pid) if status.pid else None


def cgroup_of(text: bytes, container_id: str) -> str:
    """Return the container's own cgroup from /proc/<pid>/cgroup; "" if none of its lines names the container.

    The process may sit in a child cgroup that the container made itself (``/docker/<id>/init``).
    """
    for line in text.decode("utf-8", "replace").splitlines():
        _, _, path = line.split(":", 2) if line.count(":") >= 2 else ("", "", "")
        parts = path.split("/")
        for depth, part in enumerate(parts):
            if container_id in part:
                return "/".join(parts[: depth + 1])
    return ""


def containers_below(cgroup_root: str) -> Iterator[tuple[str, str]]:
    """Yield (container id, cgroup path) of every cgroup that is named as a container's is.

    Containers within containers are their outer container's business and not looked for.
    """
    top = cgroup_root if is_unified(cgroup_root) else f"{cgroup_root}/memory"
    yield from _containers(top, "", _DEPTH)


def _containers(top: str, path: str, depth: int) -> Iterator[tuple[str, str]]:
    for name in directories(top + path):
        found = _CONTAINER.fullmatch(name)
        if found:
            yield found[1], f"{path}/{name}"
        elif depth > 1:
            yield from _containers(top, f"{path}/{name}", depth - 1)
