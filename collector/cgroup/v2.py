"""Reads one container's cgroup under version 2: one directory, one file per kind of figure.

Definitions are cAdvisor's (container/libcontainer/handler.go, setMemoryStats): cache is ``file``,
rss is ``anon``, the working set is memory.current less ``inactive_file``. Version 2 counts swap
apart from memory and has no failcnt. CPU shares are made of cpu.weight with cAdvisor's formula.
"""

from collector.cgroup.reading import BlockIO, Cpu, Memory, Processes, Reading, Spec
from collector.files import keyed, number, processes_below, read_or_none


class CgroupV2:
    """The cgroup of one container.

    Args:
        root: Where the unified hierarchy is mounted (``/sys/fs/cgroup``).
        path: Path below it.
    """

    def __init__(self, root: str, path: str) -> None:
        below = path.strip("/")
        self._dir = f"{root}/{below}/" if below else f"{root}/"

    def read(self) -> Reading | None:
        """Return what the kernel says now, None if the cgroup is gone."""
        stat = read_or_none(self._dir + "cpu.stat")
        if stat is None:
            return None
        return Reading(
            _cpu(stat),
            self._read_memory(),
            self._read_spec(),
            self._read_processes(),
            _block_io(read_or_none(self._dir + "io.stat") or b""),
        )

    def _read_memory(self) -> Memory:
        usage = number(read_or_none(self._dir + "memory.current"))
        stat = keyed(read_or_none(self._dir + "memory.stat") or b"")
        if usage is None:
            return Memory()
        events = keyed(read_or_none(self._dir + "memory.events") or b"")
        inactive = number(stat.get(b"inactive_file")) or 0.0
        return Memory(
            usage,
            max(usage - inactive, 0.0),
            number(stat.get(b"anon")),
            number(stat.get(b"file")),
            number(read_or_none(self._dir + "memory.swap.current")),
            number(stat.get(b"file_mapped")),
            number(read_or_none(self._dir + "memory.peak")),  # since Linux 5.19
            None,
            number(stat.get(b"pgfault")),
            number(stat.get(b"pgmajfault")),
            number(events.get(b"oom_kill")),
        )

    def _read_spec(self) -> Spec:
        quota, _, period = (read_or_none(self._dir + "cpu.max") or b"").partition(b" ")
        return Spec(
            _limit(read_or_none(self._dir + "memory.max")),
            _limit(read_or_none(self._dir + "memory.low")),
            _limit(read_or_none(self._dir + "memory.swap.max")),
            number(quota),
            number(period),
            _shares(number(read_or_none(self._dir + "cpu.weight"))),
        )

    def _read_processes(self) -> Processes:
        return Processes(
            processes_below(self._dir),
            number(read_or_none(self._dir + "pids.current")),
            _limit(read_or_none(self._dir + "pids.max")),
        )


def _cpu(text: bytes) -> Cpu:
    stat = keyed(text)
    return Cpu(
        _micros(stat.get(b"usage_usec")),
        _micros(stat.get(b"user_usec")),
        _micros(stat.get(b"system_usec")),
        number(stat.get(b"nr_periods")),
        number(stat.get(b"nr_throttled")),
        _micros(stat.get(b"throttled_usec")),
    )


def _block_io(text: bytes) -> BlockIO:
    """Parse ``254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`` lines; empty before the first I/O."""
    found: BlockIO = {}
    for line in text.splitlines():
        device, *pairs = line.split()
        values = dict(pair.partition(b"=")[::2] for pair in pairs)
        if b"rbytes" in values:
            rbytes, wbytes, rios, wios = (
                number(values.get(key)) or 0.0 for key in (b"rbytes", b"wbytes", b"rios", b"wios")
            )
            found[device.decode("ascii", "replace")] = (rbytes, wbytes, rios, wios)
    return found


def _micros(text: bytes | None) -> float | None:
    value = number(text)
    return None if value is None else value / 1e6


def _limit(text: bytes | None) -> float | None:
    """Return a limit, 0 for ``max``, None where there is no such file."""
    return None if text is None else number(text) or 0.0


def _shares(weight: float | None) -> float | None:
    """Return CPU shares for a weight: cAdvisor's convertCPUWeightToCPULimit, in whole numbers."""
    if weight is None or not 1 <= weight <= 10000:
        return None
    return float(2 + (int(weight) - 1) * 262142 // 9999)
