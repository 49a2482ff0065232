"""Container metrics of every running task, one block each, under cAdvisor's names.

A container is read through its cgroup, a process task without one through /proc. A container cgroup
that no runtime knows is read too, with its id and framework ``unknown``, and counted.
"""

from collections.abc import Iterable
from threading import Lock
from typing import Final

import numpy as np
from msgspec import Struct, field

from collector.cgroup.locate import Reader, containers_below, is_unified, reader_for
from collector.cgroup.network import network_namespace, read_network
from collector.cgroup.process import ProcessTree
from collector.cgroup.reading import FIGURES, Figure, Reading
from collector.cgroup.v1 import CgroupV1
from collector.cgroup.v2 import CgroupV2
from collector.metrics import CollectorMetrics
from collector.node.devices import DeviceNames
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.samples import SeriesBlock
from model.task import ContainerID, Task, TaskID, TaskIdentity, TaskSource, TaskState

_ALIVE: Final = frozenset({TaskState.RUNNING, TaskState.PAUSED})
_NETWORK: Final = tuple(
    f"container_network_{direction}_{what}_total"
    for direction in ("receive", "transmit")
    for what in ("bytes", "packets", "errors", "packets_dropped")
)
_BLOCK_IO: Final = (
    "container_fs_reads_bytes_total",
    "container_fs_writes_bytes_total",
    "container_fs_reads_total",
    "container_fs_writes_total",
)
_UNKNOWN: Final = "unknown"

# Which figures are there, which devices, which interfaces: equal shapes have equal labels.
_Shape = tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...]]


class _Container(Struct):
    """What is remembered of one container from one reading to the next."""

    identity: TaskIdentity
    pid: int
    reader: Reader
    own_network: bool
    shape: _Shape | None = None
    labels: tuple[Labels, ...] = ()


class _Unidentified(Struct):
    """Container cgroups without a task: those of the last look, and those seen twice in a row."""

    last: frozenset[str] = frozenset()
    known: dict[str, _Container] = field(default_factory=dict)


class ContainerSeries:
    """See ``model.samples.SeriesSource``.

    Args:
        tasks: Which containers there are.
        metrics: Where failures and unidentified containers are counted.
        cluster: Put on series of unidentified containers.
        host: Likewise.
        cgroup_root: Where cgroups are mounted.
        proc_root: Where the host's /proc is.
        sys_root: Where the host's /sys is, for the names of devices.
    """

    def __init__(
        self,
        tasks: TaskSource,
        metrics: CollectorMetrics,
        *,
        cluster: str,
        host: str,
        cgroup_root: str = "/sys/fs/cgroup",
        proc_root: str = "/proc",
        sys_root: str = "/sys",
    ) -> None:
        self._tasks = tasks
        self._metrics = metrics
        self._cluster = cluster
        self._host = host
        self._cgroup_root = cgroup_root
        self._proc = proc_root
        self._devices = DeviceNames(sys_root)
        self._host_network = network_namespace(proc_root, 1)
        self._containers: dict[TaskID, _Container] = {}
        self._unidentified = _Unidentified()
        self._lock = Lock()  # the loop and /metrics may ask at the same time

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        """Return one block per container that runs now."""
        with self._lock:
            return self._collect(now_ms)

    def _collect(self, now_ms: int) -> list[SeriesBlock]:
        blocks = []
        everything = self._tasks.snapshot()
        alive = {t.identity.task_id: t for t in everything if t.status.state in _ALIVE}
        for gone in self._containers.keys() - alive.keys():
            del self._containers[gone]
        for task_id, task in alive.items():
            container = self._container(task)
            if container is None:
                continue
            block = self._read(container, f"container/{task_id}", task.status.started_ms, now_ms)
            if block is not None:
                blocks.append(block)
        self._look_for_unidentified({t.identity.container_id for t in everything})
        for container_id, container in self._unidentified.known.items():
            block = self._read(container, f"container/{container_id}", 0, now_ms)
            if block is not None:
                blocks.append(block)
        return blocks

    def _container(self, task: Task) -> _Container | None:
        known = self._containers.get(task.identity.task_id)
        if known and known.pid == task.status.pid and known.identity == task.identity:
            return known
        reader = reader_for(task, self._cgroup_root, self._proc)
        if reader is None:
            self._metrics.errors.labels("container", "no_cgroup").inc()
            return None
        namespace = network_namespace(self._proc, task.status.pid) if task.status.pid else 0
        container = _Container(
            task.identity,
            task.status.pid,
            reader,
            # on the host's network the figures are the host's, and summing over tasks would be wrong
            own_network=namespace not in (0, self._host_network),
        )
        self._containers[task.identity.task_id] = container
        return container

    def _read(
        self, container: _Container, key: str, started_ms: int, now_ms: int
    ) -> SeriesBlock | None:
        try:
            reading = container.reader.read()
        except (OSError, ValueError):  # a file that is not as the kernel's documents say
            self._metrics.errors.labels("container", "unreadable").inc()
            return None
        if reading is None:
            reason = "process_gone" if isinstance(container.reader, ProcessTree) else "cgroup_gone"
            self._metrics.errors.labels("container", reason).inc()
            return None
        if container.own_network:
            reading.network = read_network(self._proc, container.pid)
        row = reading.row(started_ms / 1000 if started_ms else None, now_ms / 1000)
        return self._block(container, key, reading, row)

    def _block(
        self, container: _Container, key: str, reading: Reading, row: list[Figure]
    ) -> SeriesBlock:
        here = tuple(i for i, value in enumerate(row) if value is not None)
        shape = (here, tuple(reading.block_io), tuple(reading.network))
        if shape != container.shape:
            container.labels = self._labels(container.identity, shape)
            container.shape = shape
        values: list[Figure] = [value for value in row if value is not None]
        for moved in reading.block_io.values():
            values.extend((*moved, moved[0], moved[1]))
        for traffic in reading.network.values():
            values.extend(traffic)
        return SeriesBlock(key, container.labels, np.array(values, dtype=np.float64))

    def _labels(self, identity: TaskIdentity, shape: _Shape) -> tuple[Labels, ...]:
        base = prometheus_labels(identity)
        here, devices, interfaces = shape
        found = [
            Labels.of({**base, METRIC_NAME: FIGURES[i][0], **dict(FIGURES[i][1])}) for i in here
        ]
        for number in devices:
            major, _, minor = number.partition(":")
            on = {**base, "device": self._devices.path(number)}
            found += [Labels.of({**on, METRIC_NAME: name}) for name in _BLOCK_IO]
            on |= {METRIC_NAME: "container_blkio_device_usage_total", "major": major}
            on["minor"] = minor
            found += [Labels.of({**on, "operation": word}) for word in ("Read", "Write")]
        for interface in interfaces:
            found += [
                Labels.of({**base, METRIC_NAME: name, "interface": interface}) for name in _NETWORK
            ]
        return tuple(found)

    def _look_for_unidentified(self, identified: set[ContainerID]) -> None:
        """Find container cgroups without a task; one counts when it is seen twice, discovery may be on its way."""
        state = self._unidentified
        cgroups = {
            container_id: path
            for container_id, path in containers_below(self._cgroup_root)
            if container_id not in identified
        }
        twice = state.last & cgroups.keys()
        state.last = frozenset(cgroups)
        version = CgroupV2 if is_unified(self._cgroup_root) else CgroupV1
        for gone in state.known.keys() - twice:
            del state.known[gone]
        for container_id in twice - state.known.keys():
            identity = TaskIdentity(
                cluster=self._cluster,
                host=self._host,
                framework=_UNKNOWN,
                namespace="",
                app="",
                task_name="",
                task_id=TaskID(container_id),
                container_id=ContainerID(container_id),
            )
            reader = version(self._cgroup_root, cgroups[container_id])
            state.known[container_id] = _Container(identity, 0, reader, own_network=False)
        self._metrics.unidentified_containers.set(len(state.known))
