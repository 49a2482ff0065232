"""Taskscope's own metrics as a source of series: its registry and its process."""

import os
from collections.abc import Iterable
from threading import Lock
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry

from collector.files import names, read_or_none
from model.labels import METRIC_NAME, Labels
from model.samples import SeriesBlock

_TICKS_PER_SECOND: Final = float(os.sysconf("SC_CLK_TCK"))
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

Row = tuple[str, tuple[tuple[str, str], ...], float]


class SelfSeries:
    """See ``model.samples.SeriesSource``; every series carries ``job="taskscope"`` and the instance.

    Args:
        registry: The registry that all parts of Taskscope count in.
        instance: Where Taskscope listens.
        proc_root: Where /proc is.
    """

    def __init__(
        self, registry: CollectorRegistry, *, instance: str, proc_root: str = "/proc"
    ) -> None:
        self._registry = registry
        self._base = {"job": "taskscope", "instance": instance}
        self._process = f"{proc_root}/{os.getpid()}"
        self._boot = _boot_seconds(proc_root)
        self._shape: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
        self._labels: tuple[Labels, ...] = ()
        self._lock = Lock()

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        """Return one block."""
        with self._lock:
            rows = [*read_process(self._process, self._boot), *self._own()]
            shape = tuple((name, labels) for name, labels, _ in rows)
            if shape != self._shape:
                self._shape = shape
                self._labels = tuple(
                    Labels.of({**self._base, **dict(labels), METRIC_NAME: name})
                    for name, labels in shape
                )
            values = np.array([value for _, _, value in rows], dtype=np.float64)
            return [SeriesBlock("self", self._labels, values)]

    def _own(self) -> list[Row]:
        return [
            (sample.name, tuple(sample.labels.items()), float(sample.value))
            for family in self._registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]


def read_process(process: str, boot_seconds: float) -> list[Row]:
    """Return the figures of one process under Prometheus's names; proc_pid_stat(5)."""
    rows: list[Row] = []
    _, _, rest = (read_or_none(f"{process}/stat") or b"").rpartition(b")")
    words = rest.split()
    if len(words) > 21:
        ticks = float(words[11]) + float(words[12])
        rows = [
            ("process_cpu_seconds_total", (), ticks / _TICKS_PER_SECOND),
            ("process_resident_memory_bytes", (), float(words[21]) * _PAGE_BYTES),
            ("process_virtual_memory_bytes", (), float(words[20])),
            ("process_threads", (), float(words[17])),
            (
                "process_start_time_seconds",
                (),
                boot_seconds + float(words[19]) / _TICKS_PER_SECOND,
            ),
        ]
    rows.append(("process_open_fds", (), float(len(names(f"{process}/fd")))))
    for line in (read_or_none(f"{process}/limits") or b"").splitlines():
        if line.startswith(b"Max open files"):
            soft = line.split()[3]
            rows.append(("process_max_fds", (), float("inf" if soft == b"unlimited" else soft)))
    return rows


def _boot_seconds(proc_root: str) -> float:
    _, _, rest = (read_or_none(f"{proc_root}/stat") or b"").partition(b"btime ")
    return float(rest.split(maxsplit=1)[0]) if rest else 0.0
