"""The host as a source of series: one block per area, under node_exporter's names."""

from collections.abc import Callable, Iterable
from threading import Lock

import numpy as np

from collector.metrics import CollectorMetrics
from collector.node.cpu import read_files, read_kernel, read_load, read_pressure, read_stat
from collector.node.disk import read_disks
from collector.node.filesystem import read_filesystems
from collector.node.memory import read_memory
from collector.node.network import read_interfaces
from collector.node.row import Pairs, Row
from model.labels import METRIC_NAME, Labels
from model.samples import SeriesBlock

_Shape = tuple[tuple[str, Pairs], ...]


class NodeSeries:
    """See ``model.samples.SeriesSource``.

    Args:
        metrics: Where failures are counted.
        cluster: Label of every series.
        host: Label of every series.
        proc_root: Where the host's /proc is.
        sys_root: Where the host's /sys is.
        rootfs: Where the host's / is, for the space on its filesystems.
    """

    def __init__(
        self,
        metrics: CollectorMetrics,
        *,
        cluster: str,
        host: str,
        proc_root: str = "/proc",
        sys_root: str = "/sys",
        rootfs: str = "/",
    ) -> None:
        self._metrics = metrics
        self._base = {"cluster": cluster, "host": host}
        proc = proc_root
        self._areas: dict[str, Callable[[], list[Row]]] = {
            "cpu": lambda: read_stat(proc) + read_load(proc) + read_pressure(proc),
            "memory": lambda: read_memory(proc),
            "disk": lambda: read_disks(proc),
            "filesystem": lambda: read_filesystems(proc, rootfs),
            "network": lambda: read_interfaces(proc, sys_root),
            "kernel": lambda: read_files(proc) + read_kernel(proc),
        }
        self._known: dict[str, tuple[_Shape, tuple[Labels, ...]]] = {}
        self._lock = Lock()  # the loop and /metrics may ask at the same time

    def collect(self, now_ms: int) -> Iterable[SeriesBlock]:
        """Return one block per area that could be read."""
        with self._lock:
            blocks = [self._block("time", [("node_time_seconds", (), now_ms / 1000)])]
            for area, read in self._areas.items():
                try:
                    rows = read()
                except (OSError, ValueError):  # a file that is not as the kernel's documents say
                    self._metrics.errors.labels("node", area).inc()
                    continue
                if rows:
                    blocks.append(self._block(area, rows))
            return blocks

    def _block(self, area: str, rows: list[Row]) -> SeriesBlock:
        shape = tuple((name, pairs) for name, pairs, _ in rows)
        known = self._known.get(area)
        if known is None or known[0] != shape:
            labels = tuple(
                Labels.of({**self._base, METRIC_NAME: name, **dict(pairs)}) for name, pairs in shape
            )
            known = self._known[area] = (shape, labels)
        values = np.array([value for _, _, value in rows], dtype=np.float64)
        return SeriesBlock(f"node/{area}", known[1], values)
