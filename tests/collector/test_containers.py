"""Containers as series: identity, shapes that change, containers nobody knows, processes without a cgroup."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from collector.containers import ContainerSeries
from collector.metrics import CollectorMetrics
from model.catalog import CATALOG
from model.identity import prometheus_labels
from model.samples import SeriesBlock
from model.task import ContainerID, Task, TaskID, TaskState
from tests.collector.hosts import NET_DEV, add_container, write
from tests.fakes.tasks import FakeTaskSource, make_task

ID = "a" * 64
OTHER = "b" * 64
PATH = f"/docker/{ID}"


def identified(task: Task, container_id: str) -> Task:
    """Return the task as Docker names it: task and container are the same."""
    identity = replace(
        task.identity, task_id=TaskID(container_id), container_id=ContainerID(container_id)
    )
    return replace(task, identity=identity)


def series(
    root: Path, tasks: FakeTaskSource, registry: CollectorRegistry | None = None
) -> ContainerSeries:
    """Return the source over a made-up host."""
    return ContainerSeries(
        tasks,
        CollectorMetrics(registry or CollectorRegistry()),
        cluster="test",
        host="host-1",
        cgroup_root=str(root / "cgroup"),
        proc_root=str(root / "proc"),
        sys_root=str(root / "sys"),
    )


def flat(blocks: Iterable[SeriesBlock]) -> dict[str, float]:
    """Return values by metric name, own labels in braces."""
    found = {}
    for block in blocks:
        for labels, value in zip(block.labels, block.values.tolist(), strict=True):
            own = {k: v for k, v in labels if k in ("interface", "device", "operation", "cpu")}
            found[labels.get("__name__") + (str(own) if own else "")] = value
    return found


def test_a_task_has_its_identity_on_every_series(tmp_path: Path) -> None:
    """Every series carries the task's labels, has a catalogued name and stands once."""
    add_container(tmp_path, PATH)
    task = identified(make_task(cgroup=PATH), ID)
    (block,) = series(tmp_path, FakeTaskSource(task)).collect(2000)

    wanted = prometheus_labels(task.identity).items()
    assert all(wanted <= labels.asdict().items() for labels in block.labels)
    assert {labels.get("__name__") for labels in block.labels} <= set(CATALOG)
    assert len(set(block.labels)) == len(block.labels) == len(block.values)
    assert block.key == f"container/{ID}"
    found = flat([block])
    assert found["container_last_seen"] == 2.0
    assert found["container_start_time_seconds"] == 1_767_225_600
    assert found["container_memory_working_set_bytes"] == 96


def test_labels_stay_the_same_object_until_the_shape_changes(tmp_path: Path) -> None:
    """A store may key on the identity of the labels; a first block I/O makes new ones."""
    add_container(tmp_path, PATH)
    write(tmp_path, {"sys/dev/block/8:0/uevent": "MAJOR=8\nMINOR=0\nDEVNAME=sda\n"})
    source = series(tmp_path, FakeTaskSource(identified(make_task(cgroup=PATH), ID)))

    (first,) = source.collect(1000)
    (second,) = source.collect(2000)
    write(tmp_path, {f"cgroup{PATH}/io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n"})
    (third,) = source.collect(3000)

    assert first.labels is second.labels
    assert third.labels is not second.labels
    found = flat([third])
    assert found["container_fs_writes_bytes_total{'device': '/dev/sda'}"] == 2
    usage = "container_blkio_device_usage_total{'device': '/dev/sda', 'operation': 'Read'}"
    assert found[usage] == 1


@pytest.mark.parametrize("state", list(TaskState))
def test_only_tasks_that_run_have_figures(tmp_path: Path, state: TaskState) -> None:
    """Ended and waiting tasks have no container series: what is gone disappears at once."""
    add_container(tmp_path, PATH)
    source = series(tmp_path, FakeTaskSource(identified(make_task(cgroup=PATH, state=state), ID)))

    assert bool(list(source.collect(1000))) == (state in (TaskState.RUNNING, TaskState.PAUSED))


def test_a_cgroup_that_is_gone_is_counted(tmp_path: Path) -> None:
    """A running task whose cgroup is not there has no block and counts as an error."""
    registry = CollectorRegistry()
    write(tmp_path, {"cgroup/cgroup.controllers": ""})
    source = series(tmp_path, FakeTaskSource(identified(make_task(cgroup=PATH), ID)), registry)

    assert list(source.collect(1000)) == []
    gone = {"source": "container", "reason": "cgroup_gone"}
    assert registry.get_sample_value("taskscope_collector_errors_total", gone) == 1


@pytest.mark.parametrize(
    "path",
    [
        f"/docker/{OTHER}",
        f"/system.slice/docker-{OTHER}.scope",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/cri-containerd-{OTHER}.scope",
        f"/machine.slice/libpod-{OTHER}.scope",
    ],
)
def test_a_container_nobody_knows_is_exported_and_counted(tmp_path: Path, path: str) -> None:
    """From the second look on it has its id, framework unknown; known to a runtime again, it does not."""
    registry = CollectorRegistry()
    add_container(tmp_path, PATH)
    add_container(tmp_path, path, usage=5_000_000)
    known = identified(make_task(cgroup=PATH), ID)
    tasks = FakeTaskSource(known)
    source = series(tmp_path, tasks, registry)
    gauge = "taskscope_collector_unidentified_containers"

    assert len(list(source.collect(1000))) == 1  # discovery may still be on its way
    blocks = {block.key: block for block in source.collect(2000)}
    assert registry.get_sample_value(gauge) == 1
    stranger = blocks[f"container/{OTHER}"]
    assert stranger.labels[0].asdict() == {
        "__name__": "container_cpu_usage_seconds_total",
        "cluster": "test",
        "container_id": OTHER,
        "cpu": "total",
        "framework": "unknown",
        "host": "host-1",
        "task_id": OTHER,
    }
    assert stranger.values[0] == 5.0

    tasks.set(known, identified(make_task("other", cgroup=path), OTHER))
    blocks = {block.key: block for block in source.collect(3000)}
    assert blocks[f"container/{OTHER}"].labels[0].get("framework") == "docker"
    assert registry.get_sample_value(gauge) == 0
    shutil.rmtree(tmp_path / "cgroup" / path.strip("/"))
    tasks.set(known)
    assert len(list(source.collect(4000))) == 1


def test_network_is_that_of_the_containers_namespace(tmp_path: Path) -> None:
    """A namespace of its own has its counters; on the host's network there are none."""
    add_container(tmp_path, PATH)
    write(
        tmp_path,
        {"proc/1/ns/net": "", "proc/77/ns/net": "", "proc/77/net/dev": NET_DEV},
    )
    tasks = FakeTaskSource(identified(make_task(cgroup=PATH, pid=77), ID))

    found = flat(series(tmp_path, tasks).collect(1000))
    (tmp_path / "proc/77/ns/net").unlink()
    os.link(tmp_path / "proc/1/ns/net", tmp_path / "proc/77/ns/net")
    shared = flat(series(tmp_path, tasks).collect(1000))

    assert found["container_network_receive_bytes_total{'interface': 'eth0'}"] == 7
    assert found["container_network_transmit_packets_dropped_total{'interface': 'eth0'}"] == 0
    assert not any("network" in name for name in shared)


def test_a_process_without_a_cgroup_is_read_from_proc(tmp_path: Path) -> None:
    """A real process and its children: CPU, memory, processes, threads and open files."""
    script = "import subprocess, time; x = bytearray(8 << 20); subprocess.Popen(['sleep', '60']); sum(range(4_000_000)); print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        ["python3", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        task = make_task("job", pid=process.pid)
        task = replace(task, identity=replace(task.identity, container_id=ContainerID("")))
        source = ContainerSeries(
            FakeTaskSource(task),
            CollectorMetrics(CollectorRegistry()),
            cluster="c",
            host="h",
            cgroup_root=str(tmp_path),
        )
        deadline = time.monotonic() + 5
        while True:
            found = flat(source.collect(1000))
            if found["container_processes"] == 2 or time.monotonic() > deadline:
                break
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, 9)
        process.communicate()

    assert found["container_processes"] == 2
    assert found["container_threads"] >= 2
    assert found["container_file_descriptors"] >= 6
    assert found["container_cpu_usage_seconds_total{'cpu': 'total'}"] > 0.02
    assert found["container_memory_rss"] > 8 << 20
    assert list(source.collect(2000)) == []  # it has ended
