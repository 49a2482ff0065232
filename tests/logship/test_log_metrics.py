"""Metrics made of log lines, and own fields that are numbers."""

import re
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from logship import ecs
from logship.derive.log_metric import LogMetric, compile_for_records
from logship.derive.meter import SERIES_MAX, Meter
from logship.match import TaskMatch
from logship.metrics import LogshipMetrics
from logship.parse.batch import Tally
from logship.source.chunk import Chunk
from model.log import Level
from model.samples import Floats
from model.task import Task, TaskState, TaskStatus
from tests.fakes.tasks import SHOP
from tests.logship.harness import parse
from tests.logship.test_limits import Place

EVERY = TaskMatch()


def metered(lines: str, *metrics: LogMetric) -> dict[str, float]:
    """Return the series that lines make, by name and own labels."""
    meter = Meter(metrics, LogshipMetrics(CollectorRegistry()))
    meter.count(
        Chunk(
            Place(),
            Task(SHOP, TaskStatus(TaskState.RUNNING, 0)),
            0,
            1,
            parse(lines).batches,
            1,
            Tally(),
        )
    )
    return {
        name: value
        for block in meter.collect()
        for name, value in _named(block.labels, block.values)
    }


def _named(labels: object, values: Floats) -> list[tuple[str, float]]:
    assert isinstance(labels, tuple)
    named = []
    for one, value in zip(labels, values.tolist(), strict=True):
        own = ",".join(f"{k}={v}" for k, v in one if k in ("le", "status", "level", "path"))
        named.append((f"{one.get('__name__')}{{{own}}}", value))
    return named


def counter(pattern: str = "", **more: Any) -> LogMetric:
    """Return a counter."""
    compiled = compile_for_records(pattern) if pattern else None
    return LogMetric("x_total", is_histogram=False, match=EVERY, pattern=compiled, **more)


ACCESS = "".join(f'1.1.1.1 - - [22/Nov/2026:09:00:00 +0000] "GET /p HTTP/1.1" {status} {size}\n' for status, size in ((200, 10), (500, 20), (200, 30)))  # fmt: skip
JSON = '{"level":"info","msg":"done","ms":12.5,"http":{"path":"/a"}}\n{"level":"error","msg":"done","ms":"800","http":{"path":"/b"}}\n{"level":"info","msg":"done","ms":"soon"}\n'


@pytest.mark.parametrize(("lines", "metric", "want"), [
    ("a\nb\na b\n", counter("a"), {"x_total{}": 2}),
    ("a\nb\n", counter(), {"x_total{}": 2}),
    ("ab\nb\n", counter("^b$"), {"x_total{}": 1}),
    ("a\nb\n", counter("a.*b"), {}),
    ("a\nb\na x b\n", counter(r"a[^z]*b"), {"x_total{}": 1}),
    ("q=1 a\nq=2 a\nq=1 b\n", counter(r"q=(?P<q>\d)", labels=(("status", "q"),)), {"x_total{status=1}": 2, "x_total{status=2}": 1}),
    ("took 5 ms\ntook 7 ms\ntook x\n", counter(r"took (?P<ms>\S+)", value="ms"), {"x_total{}": 12}),
    (ACCESS, counter(labels=(("status", "status"),)), {"x_total{status=200}": 2, "x_total{status=500}": 1}),
    (ACCESS, counter(value="bytes"), {"x_total{}": 60}),
    (JSON, counter(labels=(("path", "http.path"), ("level", "level"))), {"x_total{level=info,path=/a}": 1, "x_total{level=error,path=/b}": 1, "x_total{level=info}": 1}),
    (JSON, counter(levels=frozenset({int(Level.ERROR)})), {"x_total{}": 1}),
    (JSON, LogMetric("d", True, EVERY, value="ms", buckets=(10.0, 100.0)),
     {"d_bucket{le=10.0}": 0, "d_bucket{le=100.0}": 1, "d_bucket{le=+Inf}": 2, "d_sum{}": 812.5, "d_count{}": 2}),
    ("a\n", LogMetric("x_total", False, TaskMatch.of({"app": "other"})), {}),
])  # fmt: skip
def test_lines_make_series(lines: str, metric: LogMetric, want: dict[str, float]) -> None:
    """Patterns see one record at a time; values and labels are groups or own fields."""
    assert metered(lines, metric) == want


def test_pattern_finds_what_a_search_in_each_record_finds() -> None:
    """The one search over all records' messages misses none, whatever they hold."""
    lines = [
        "x1y",
        "",
        "yyxx2y",
        "x",
        "1y",
        "x\\n3y",
        "ERROR x",
        "java.lang.Oops: x4y",
        "x 5 y x6y",
    ]
    (batch,) = parse("".join(f"{line}\n" for line in lines)).batches
    for pattern in (r"x\d", r"x[^a]*y", r"^x", r"y$", r"\d", r"x\s*\d"):
        want = sum(
            bool(re.search(pattern, batch.text(row), re.MULTILINE)) for row in range(len(batch))
        )

        assert (
            metered("".join(f"{line}\n" for line in lines), counter(pattern)).get("x_total{}", 0)
            == want
        ), pattern


def test_label_sets_are_bounded() -> None:
    """More of them than a metric may have are counted as failures, not kept."""
    registry = CollectorRegistry()
    meter = Meter([counter(r"(?P<n>\d+)", labels=(("status", "n"),))], LogshipMetrics(registry))
    batches = parse("".join(f"n {n}\n" for n in range(SERIES_MAX + 7))).batches

    meter.count(
        Chunk(Place(), Task(SHOP, TaskStatus(TaskState.RUNNING, 0)), 0, 1, batches, 1, Tally())
    )

    (block,) = meter.collect()
    assert len(block.labels) == SERIES_MAX
    assert (
        registry.get_sample_value(
            "taskscope_logship_metric_failures_total", {"metric": "x_total", "reason": "series"}
        )
        == 7
    )


def test_series_keep_their_labels_object() -> None:
    """As long as no label set is added, consumers may key on it."""
    meter = Meter([counter("a")], LogshipMetrics(CollectorRegistry()))
    task = Task(SHOP, TaskStatus(TaskState.RUNNING, 0))
    for start in (0, 1):
        meter.count(Chunk(Place(), task, start, start + 1, parse("a\n").batches, 1, Tally()))
    first, second = meter.collect()[0], meter.collect()[0]

    assert first.labels is second.labels
    assert second.values.tolist() == [2]


def test_declared_numbers_have_a_place_of_their_own() -> None:
    """Where Elasticsearch has a type for them; nonsense stays among the fields."""
    lines = '{"msg":"a","ms":12.5,"http":{"status":200}}\n{"msg":"b","ms":"7"}\n{"msg":"c","ms":"soon"}\n{"msg":"d","ms":true}\n'

    (batch,) = parse(lines, typed=("ms", "http.status", "absent")).batches
    documents = [orjson.loads(raw) for raw in ecs.documents(batch)]

    assert [d.get("numeric.ms") for d in documents] == [12.5, 7, None, None]
    assert [d.get("numeric.http.status") for d in documents][:2] == [200, None]
    assert documents[2]["fields"] == {"ms": "soon"}
    assert "absent" not in batch.numbers
