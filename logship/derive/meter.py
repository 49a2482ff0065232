"""Keeps the metrics made of log lines, by task, as series for the store."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field

from logship.derive.log_metric import LogMetric, counted
from logship.metrics import LogshipMetrics
from logship.source.chunk import Chunk
from model.identity import prometheus_labels
from model.labels import METRIC_NAME, Labels
from model.samples import SeriesBlock
from model.task import TaskID, TaskIdentity

SERIES_MAX: Final = 200  # label sets of one metric of one task


class _Account(Struct):
    """A task's figures: of each label set of each metric its numbers (for histograms buckets, sum and count)."""

    identity: TaskIdentity
    metrics: tuple[LogMetric, ...]
    figures: dict[tuple[int, tuple[str, ...]], list[float]] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    labels: tuple[Labels, ...] = ()  # made anew when a label set is added


class Meter:
    """The declared metrics. The reader's thread counts, collectors read."""

    def __init__(self, metrics: Sequence[LogMetric], own: LogshipMetrics) -> None:
        self._metrics = tuple(metrics)
        self._own = own
        self._accounts: dict[TaskID, _Account] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Tell whether any metric is declared."""
        return bool(self._metrics)

    def count(self, chunk: Chunk) -> None:
        """Add a chunk whose records were not counted before."""
        identity = chunk.task.identity
        if not identity.task_id:
            return
        with self._lock:
            account = self._accounts.get(identity.task_id)
            if account is None:
                metrics = tuple(metric for metric in self._metrics if metric.match(identity))
                account = self._accounts[identity.task_id] = _Account(identity, metrics)
            for number, metric in enumerate(account.metrics):
                for batch in chunk.batches:
                    for values, value in counted(metric, batch):
                        self._add(account, number, metric, values, value)

    def _add(self, account: _Account, number: int, metric: LogMetric, values: tuple[str, ...], value: float | None) -> None:  # fmt: skip
        if value is None or (value < 0 and not metric.is_histogram):
            self._own.metric_failures.labels(metric.name, "value").inc()
            return
        figures = account.figures.get((number, values))
        if figures is None:
            if account.sizes.get(number, 0) >= SERIES_MAX:
                self._own.metric_failures.labels(metric.name, "series").inc()
                return
            account.sizes[number] = account.sizes.get(number, 0) + 1
            figures = [0.0] * (len(metric.buckets) + 2 if metric.is_histogram else 1)
            account.figures[number, values] = figures
            account.labels = ()
        if not metric.is_histogram:
            figures[0] += value
            return
        place = bisect_left(metric.buckets, value)
        if place < len(metric.buckets):
            figures[place] += 1
        figures[-2] += value
        figures[-1] += 1

    def forget(self, known: Iterable[TaskID]) -> None:
        """Drop the figures of tasks that are gone."""
        keep = set(known)
        with self._lock:
            self._accounts = {t: a for t, a in self._accounts.items() if t in keep}

    def collect(self) -> list[SeriesBlock]:
        """Return a block per task that has any."""
        with self._lock:
            return [_block(task_id, a) for task_id, a in self._accounts.items() if a.figures]


def _block(task_id: TaskID, account: _Account) -> SeriesBlock:
    if not account.labels:
        account.labels = tuple(
            labels
            for number, values in account.figures
            for labels in _labels(account.metrics[number], values, account.identity)
        )
    numbers: list[float] = []
    for (number, _), figures in account.figures.items():
        if account.metrics[number].is_histogram:
            total = figures[-1]
            numbers += [*np.cumsum(figures[:-2]).tolist(), total, figures[-2], total]
        else:
            numbers += figures
    return SeriesBlock(f"logmetrics/{task_id}", account.labels, np.array(numbers))


def _labels(metric: LogMetric, values: tuple[str, ...], identity: TaskIdentity) -> list[Labels]:
    own = {label: value for (label, _), value in zip(metric.labels, values, strict=True)}
    own |= prometheus_labels(identity)
    if not metric.is_histogram:
        return [Labels.of({METRIC_NAME: metric.name, **own})]
    bounds = [*(f"{bound:g}" if bound != int(bound) else f"{bound:.1f}" for bound in metric.buckets), "+Inf"]  # fmt: skip
    return [
        *(Labels.of({METRIC_NAME: f"{metric.name}_bucket", "le": le, **own}) for le in bounds),
        Labels.of({METRIC_NAME: f"{metric.name}_sum", **own}),
        Labels.of({METRIC_NAME: f"{metric.name}_count", **own}),
    ]
