"""Figures of a task that has no cgroup of its own: sums over its processes, from /proc.

The task's processes are its first one and everything below it. CPU time of children that ended and
were waited for is included (``cutime``, ``cstime``), so that the sum does not fall when they end.
"""

import os
from typing import Final

from collector.cgroup.reading import Cpu, Memory, Processes, Reading
from collector.files import names, read_or_none

_TICKS_PER_SECOND: Final = float(os.sysconf("SC_CLK_TCK"))
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class ProcessTree:
    """The processes of one task.

    Args:
        proc: Where /proc is.
        pid: The task's first process.
    """

    def __init__(self, proc: str, pid: int) -> None:
        self._proc = proc
        self._pid = pid

    def read(self) -> Reading | None:
        """Return sums over all processes, None if the first one is gone."""
        user = system = resident = shared = swap = faults = major = 0.0
        processes = threads = descriptors = 0
        for pid in self._pids():
            stat = _stat(read_or_none(f"{self._proc}/{pid}/stat"))
            if stat is None:
                if pid == self._pid:
                    return None
                continue
            user += stat[11] + stat[13]
            system += stat[12] + stat[14]
            faults += stat[7]
            major += stat[9]
            processes += 1
            threads += int(stat[17])
            sizes = (read_or_none(f"{self._proc}/{pid}/statm") or b"").split()
            if len(sizes) >= 3:
                resident += float(sizes[1]) * _PAGE_BYTES
                shared += float(sizes[2]) * _PAGE_BYTES
            swap += _swap(read_or_none(f"{self._proc}/{pid}/status") or b"")
            descriptors += len(names(f"{self._proc}/{pid}/fd"))
        user, system = user / _TICKS_PER_SECOND, system / _TICKS_PER_SECOND
        return Reading(
            Cpu(user + system, user, system),
            Memory(
                usage=resident,
                working_set=resident,
                rss=resident - shared,
                swap=swap,
                mapped_file=shared,
                pgfault=faults + major,
                pgmajfault=major,
            ),
            processes=Processes(float(processes), float(threads), None, float(descriptors)),
        )

    def _pids(self) -> list[int]:
        """Return the first process and all below it, parents first."""
        found = [self._pid]
        for pid in found:
            for task in names(f"{self._proc}/{pid}/task"):
                children = read_or_none(f"{self._proc}/{pid}/task/{task}/children") or b""
                found.extend(int(child) for child in children.split())
        return found


def _stat(text: bytes | None) -> list[float] | None:
    """Return the fields of /proc/<pid>/stat from the third on as numbers (the state as 0); proc(5)."""
    if text is None:
        return None
    _, _, rest = text.rpartition(b")")  # the name may hold spaces and parentheses
    words = rest.split()
    if len(words) < 20:
        return None
    return [0.0, *map(float, words[1:])]


def _swap(status: bytes) -> float:
    _, found, rest = status.partition(b"\nVmSwap:")
    words = rest.split(maxsplit=1) if found else []
    return float(words[0]) * 1024 if words else 0.0
