"""Collection as a whole: containers, tasks, host, further sources and ourselves, in the store and on /metrics."""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from collector.collector import Collector
from collector.roots import HostRoots
from collector.scrape.target import ScrapeJob
from model.catalog import CATALOG
from model.labels import Labels
from model.samples import SeriesBlock
from tests.collector.hosts import add_container
from tests.collector.scrape.servers import GOOD, answer, replies, serving
from tests.collector.scrape.test_manager import RealClock, until
from tests.collector.test_containers import ID, PATH, identified
from tests.fakes.store import MemoryStore
from tests.fakes.tasks import FakeTaskSource, make_task


class Further:
    """A source that another package brings."""

    labels = (Labels.of({"__name__": "task_ready", "task_id": ID}),)

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        return [SeriesBlock("x", self.labels, np.array([1.0]))]


def test_everything_arrives_and_is_shown(tmp_path: Path) -> None:
    """One start: every kind of series is stored within a moment, all but the scraped ones are on /metrics too."""
    add_container(tmp_path, PATH)
    store = MemoryStore()
    with serving(replies(answer(GOOD))) as port:
        labels = {"taskscope.scrape.port": str(port)}
        task = identified(make_task(cgroup=PATH, address="127.0.0.1", labels=labels), ID)

        def make() -> Collector:
            return Collector(
                FakeTaskSource(task),
                store,
                RealClock(),
                CollectorRegistry(),
                cluster="c",
                host="h",
                instance="127.0.0.1:9800",
                sources={"health": Further()},
                scrape_defaults=ScrapeJob("containers", interval_seconds=0.2, timeout_seconds=0.2),
                roots=HostRoots(cgroup=str(tmp_path / "cgroup")),
            )

        idle = make()
        idle.stop()  # before the start: nothing happens
        began = time.monotonic()
        collector = make()
        collector.start()
        assert time.monotonic() - began < 0.5
        wanted = {
            "container_memory_working_set_bytes",
            "task_state",
            "node_load1",
            "task_ready",
            "process_resident_memory_bytes",
            "hits_total",
            "up",
        }
        until(lambda: wanted <= {one.get("__name__") for one in list(store.samples)})
        text = collector.exposition().decode()
        collector.stop()
        collector.stop()

    names = {one.get("__name__") for one in store.samples}
    exported = {
        name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names
    }
    assert exported - set(CATALOG) == {"hits_total"}
    for name in wanted - {"hits_total", "up", "process_resident_memory_bytes"}:
        assert f"\n{name}{{" in text
    assert "taskscope_collector_duration_seconds{" in text


def test_the_agent_half_stays_small() -> None:
    """Neither collection nor remote write brings in the heavy libraries."""
    code = (
        "import sys, collector.collector, collector.config, storage.remote.writer, storage.remote.receiver;"
        "print([m for m in ('pyarrow', 'duckdb', 'elasticsearch', 'flask', 'grafanalib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip

    assert done.stdout.strip() == "[]"
