"""/metrics: the outside view of the same series."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from collector.exposition import exposition
from collector.metrics import CollectorMetrics
from collector.node.source import NodeSeries
from collector.self_ import SelfSeries
from collector.tasks import TaskSeries
from model.catalog import CATALOG
from model.labels import Labels
from model.samples import NO_SAMPLE, Floats, SeriesBlock, SeriesSource
from tests.collector.hosts import add_container
from tests.collector.test_containers import ID, PATH, identified, series
from tests.fakes.clock import FakeClock
from tests.fakes.tasks import FakeTaskSource, make_task


class Rows:
    """A source of one block."""

    def __init__(self, labels: tuple[Labels, ...], values: Floats) -> None:
        self._block = SeriesBlock("k", labels, values)

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        return [self._block]


def named(name: str, **labels: str) -> Labels:
    """Return the labels of a series."""
    return Labels.of({"__name__": name, **labels})


def whole(tmp_path: Path) -> bytes:
    """Return what an agent with one container shows."""
    add_container(tmp_path, PATH, io__stat="8:0 rbytes=1 wbytes=2 rios=3 wios=4\n")
    task = identified(make_task(cgroup=PATH), ID)
    registry = CollectorRegistry()
    sources: dict[str, SeriesSource] = {
        "container": series(tmp_path, FakeTaskSource(task), registry),
        "task": TaskSeries(FakeTaskSource(task)),
        "node": NodeSeries(CollectorMetrics(CollectorRegistry()), cluster="c", host="h"),
    }
    Counter("taskscope_test", "Made up.", registry=registry).inc()
    return exposition(sources, registry, FakeClock())


def test_types_and_help_are_the_catalogs(tmp_path: Path) -> None:
    """Each family says what the catalog says; samples have the catalog's names."""
    families = {f.name: f for f in text_string_to_metric_families(whole(tmp_path).decode())}

    throttled = families["container_cpu_cfs_throttled_periods"]
    assert throttled.type == "counter"
    name = "container_cpu_cfs_throttled_periods_total"
    assert throttled.documentation == CATALOG[name].help
    assert [sample.name for sample in throttled.samples] == [name]
    assert families["container_memory_working_set_bytes"].type == "gauge"
    assert families["task_info"].samples[0].labels["image"] == "shop:1"
    assert families["container_memory_usage_bytes"].samples[0].labels["task_id"] == ID
    assert families["taskscope_test"].samples[0].value == 1


def test_no_series_stands_twice_and_none_is_empty() -> None:
    """Equal series of two sources stand once; what has no sample now is not shown."""
    same, other = named("node_load1", host="h"), named("node_load5", host="h")
    rows = {
        "a": Rows((same, other), np.append(1.0, NO_SAMPLE)),
        "b": Rows((same,), np.array([2.0])),
    }

    text = exposition(rows, CollectorRegistry(), FakeClock()).decode()

    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        'node_load1{host="h"} 1.0'
    ]


def test_label_values_are_escaped() -> None:
    """Quotes, backslashes and line breaks in a label come back as they were."""
    odd = 'a"b\\c\nd'
    text = exposition(
        {"a": Rows((named("node_load1", host=odd),), np.array([1.0]))},
        CollectorRegistry(),
        FakeClock(),
    )

    (family,) = text_string_to_metric_families(text.decode())
    assert family.samples[0].labels == {"host": odd}


@pytest.mark.peer
def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    """`promtool check metrics` reads it; it may only dislike names that others gave."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=whole(tmp_path), capture_output=True, check=False
    )
    said = done.stderr.decode() + done.stdout.decode()

    assert "error while linting" not in said
    borrowed = ("container_", "node_", "machine_")
    assert [line for line in said.splitlines() if line and not line.startswith(borrowed)] == []


def test_taskscope_observes_itself() -> None:
    """Own counters and process figures as series of job taskscope; labels stay the same object."""
    registry = CollectorRegistry()
    counter = Counter("taskscope_test", "Made up.", ["x"], registry=registry)
    counter.labels("1").inc(5)
    source = SelfSeries(registry, instance="127.0.0.1:9800")

    (first,) = source.collect(1000)
    (second,) = source.collect(2000)
    counter.labels("2").inc()
    (third,) = source.collect(3000)
    found = dict(zip(third.labels, third.values.tolist(), strict=True))

    assert first.labels is second.labels
    base = {"job": "taskscope", "instance": "127.0.0.1:9800"}
    assert found[named("taskscope_test_total", x="1", **base)] == 5
    assert found[named("process_resident_memory_bytes", **base)] > 10 << 20
    assert found[named("process_open_fds", **base)] >= 3
    assert found[named("process_cpu_seconds_total", **base)] > 0
    assert found[named("process_start_time_seconds", **base)] > 1_500_000_000
    assert not [labels for labels in found if labels.get("__name__").endswith("_created")]
