"""Reads one container's cgroup under version 1: one directory per controller.

Definitions are cAdvisor's (container/libcontainer/handler.go) and runc's (libcontainer/cgroups/fs):
sums include child cgroups (``total_*`` of memory.stat), the working set is usage less
``total_inactive_file``, limits above 2^62 are none.
"""

import os
from typing import Final

from collector.cgroup.reading import BlockIO, Cpu, Memory, Processes, Reading, Spec
from collector.files import keyed, number, processes_below, read_or_none

_TICKS_PER_SECOND: Final = float(os.sysconf("SC_CLK_TCK"))
_NO_LIMIT: Final = float(1 << 62)
# runc's order: BFQ where it is the scheduler, else the throttling layer
_BYTES: Final = (
    "blkio.bfq.io_service_bytes_recursive",
    "blkio.throttle.io_service_bytes_recursive",
)
_OPERATIONS: Final = ("blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive")


class CgroupV1:
    """The cgroup of one container.

    Args:
        root: Where the controllers are mounted (``/sys/fs/cgroup``).
        path: Path below each controller's mount (``/docker/<id>``).
    """

    def __init__(self, root: str, path: str) -> None:
        below = path.strip("/")
        self._cpuacct = f"{root}/cpuacct/{below}/cpuacct."
        self._cpu = f"{root}/cpu/{below}/cpu."
        self._memory = f"{root}/memory/{below}/memory."
        self._pids = f"{root}/pids/{below}/"
        self._blkio = f"{root}/blkio/{below}/"

    def read(self) -> Reading | None:
        """Return what the kernel says now, None if the cgroup is gone."""
        cpu = self._read_cpu()
        memory = self._read_memory()
        if cpu is None and memory is None:
            return None
        return Reading(
            cpu or Cpu(),
            memory or Memory(),
            self._read_spec(),
            self._read_processes(),
            self._read_block_io(),
        )

    def _read_cpu(self) -> Cpu | None:
        usage = number(read_or_none(self._cpuacct + "usage"))
        if usage is None:
            return None
        times = keyed(read_or_none(self._cpuacct + "stat") or b"")
        bandwidth = keyed(read_or_none(self._cpu + "stat") or b"")
        throttled = number(bandwidth.get(b"throttled_time"))
        return Cpu(
            usage / 1e9,
            _seconds(times.get(b"user")),
            _seconds(times.get(b"system")),
            number(bandwidth.get(b"nr_periods")),
            number(bandwidth.get(b"nr_throttled")),
            None if throttled is None else throttled / 1e9,
        )

    def _read_memory(self) -> Memory | None:
        usage = number(read_or_none(self._memory + "usage_in_bytes"))
        if usage is None:
            return None
        stat = keyed(read_or_none(self._memory + "stat") or b"")
        oom = keyed(read_or_none(self._memory + "oom_control") or b"")
        inactive = number(stat.get(b"total_inactive_file")) or 0.0
        return Memory(
            usage,
            max(usage - inactive, 0.0),
            number(stat.get(b"total_rss")),
            number(stat.get(b"total_cache")),
            number(stat.get(b"total_swap")),
            number(stat.get(b"total_mapped_file")),
            number(read_or_none(self._memory + "max_usage_in_bytes")),
            number(read_or_none(self._memory + "failcnt")),
            number(stat.get(b"total_pgfault")),
            number(stat.get(b"total_pgmajfault")),
            number(oom.get(b"oom_kill")),  # since Linux 4.13
        )

    def _read_spec(self) -> Spec:
        quota = number(read_or_none(self._cpu + "cfs_quota_us"))
        return Spec(
            _limit(read_or_none(self._memory + "limit_in_bytes")),
            _limit(read_or_none(self._memory + "soft_limit_in_bytes")),
            _limit(read_or_none(self._memory + "memsw.limit_in_bytes")),
            quota if quota is not None and quota > 0 else None,
            number(read_or_none(self._cpu + "cfs_period_us")),
            number(read_or_none(self._cpu + "shares")),
        )

    def _read_processes(self) -> Processes:
        most = read_or_none(self._pids + "pids.max")
        return Processes(
            processes_below(self._pids),
            number(read_or_none(self._pids + "pids.current")),
            None if most is None else number(most) or 0.0,
        )

    def _read_block_io(self) -> BlockIO:
        moved = self._first(_BYTES)
        done = self._first(_OPERATIONS)
        return {
            device: (*moved.get(device, (0.0, 0.0)), *done.get(device, (0.0, 0.0)))
            for device in moved.keys() | done.keys()
        }

    def _first(self, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
        for name in names:
            text = read_or_none(self._blkio + name)
            if text and (found := _operations(text)):
                return found
        return {}


def _operations(text: bytes) -> dict[str, tuple[float, float]]:
    """Parse ``8:0 Read 4096`` lines: device -> (read, written)."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in {b"Read", b"Write"}:
            both = found.setdefault(words[0].decode("ascii", "replace"), [0.0, 0.0])
            both[words[1] == b"Write"] = number(words[2]) or 0.0
    return {device: (read, written) for device, (read, written) in found.items()}


def _seconds(ticks: bytes | None) -> float | None:
    value = number(ticks)
    return None if value is None else value / _TICKS_PER_SECOND


def _limit(text: bytes | None) -> float | None:
    value = number(text)
    return value if value is None or value <= _NO_LIMIT else 0.0
