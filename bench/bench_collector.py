"""CPU time of collecting containers on a made-up host, as a share of one core at 15 s.

    python bench/bench_collector.py [--containers 200 2000] [--rounds 5] [--version 1]

Makes a cgroup tree of that many containers (files as a kernel writes them, in memory where /dev/shm
is), and measures everything between the list of tasks and the store: looking for containers nobody
knows, reading, labels, task series, append with write-ahead log.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from collector.containers import ContainerSeries
from collector.loop import CollectionLoop
from collector.metrics import CollectorMetrics
from collector.tasks import TaskSeries
from model.task import ContainerID, Task, TaskID
from storage.tsdb.db import Tsdb
from storage.tsdb.settings import TsdbSettings
from tests.collector.cgroup.test_v1 import FILES as V1_FILES
from tests.collector.hosts import NET_DEV, add_container, write
from tests.fakes.tasks import FakeTaskSource, make_task

INTERVAL = 15.0
IO_STAT = "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"


class StepClock:
    """A clock that goes on by an interval when told."""

    ns = 1_767_225_600_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return time.monotonic()


def host(root: Path, containers: int, version: int) -> list[Task]:
    """Make the tree and return its tasks."""
    tasks = []
    write(root, {"proc/1/ns/net": "", "sys/dev/block/254:0/uevent": "DEVNAME=vda\n"})
    for number in range(containers):
        container_id = f"{number:064x}"
        path, pid = f"/docker/{container_id}", 1000 + number
        if version == 2:
            add_container(root, path, io__stat=IO_STAT)
        else:
            files = {}
            for name, text in V1_FILES.items():
                controller, _, file = name.partition("/")
                files[f"cgroup/{controller}{path}/{file}"] = text
            write(root, files)
        write(root, {f"proc/{pid}/ns/net": "", f"proc/{pid}/net/dev": NET_DEV})
        task = make_task(f"task-{number}", cgroup=path, pid=pid)
        identity = replace(
            task.identity, task_id=TaskID(container_id), container_id=ContainerID(container_id)
        )
        tasks.append(replace(task, identity=identity))
    return tasks


def measure(containers: int, rounds: int, version: int) -> tuple[float, float, int]:
    """Return CPU-seconds of the first round and of the later ones on average, and the number of series."""
    memory = Path("/dev/shm")
    root = Path(
        tempfile.mkdtemp(prefix="bench-", dir=memory if os.access(memory, os.W_OK) else None)
    )
    try:
        tasks = FakeTaskSource(*host(root, containers, version))
        clock, registry = StepClock(), CollectorRegistry()
        metrics = CollectorMetrics(registry)
        store = Tsdb(root / "tsdb", TsdbSettings(), clock, registry)
        store.start()
        source = ContainerSeries(
            tasks,
            metrics,
            cluster="bench",
            host="bench",
            cgroup_root=str(root / "cgroup"),
            proc_root=str(root / "proc"),
            sys_root=str(root / "sys"),
        )
        loop = CollectionLoop(
            {"container": source, "task": TaskSeries(tasks)}, store, clock, metrics, INTERVAL
        )
        spent = []
        for _ in range(rounds + 1):
            cpu = time.process_time()
            loop.collect()
            store.flush()  # the write-ahead log's share too
            spent.append(time.process_time() - cpu)
            clock.ns += int(INTERVAL * 1e9)
        series = sum(
            int(registry.get_sample_value("taskscope_collector_series", {"source": name}) or 0)
            for name in ("container", "task")
        )
        store.stop()
        return spent[0], sum(spent[1:]) / rounds, series
    finally:
        shutil.rmtree(root, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--version", type=int, default=1, choices=(1, 2))
    args = parser.parse_args()
    print(f"cgroup v{args.version}, every {INTERVAL:g} s")
    print(
        f"{'containers':>10} {'series':>8} {'first s':>8} {'each s':>8} {'µs/container':>13} {'of a core':>10}"
    )
    for containers in args.containers:
        first, each, series = measure(containers, args.rounds, args.version)
        print(
            f"{containers:10} {series:8} {first:8.3f} {each:8.3f} "
            f"{each / containers * 1e6:13.0f} {each / INTERVAL:10.2%}"
        )


if __name__ == "__main__":
    main()
