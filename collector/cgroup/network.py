"""Traffic of a network namespace, from /proc/<pid>/net/dev of a process in it."""

from pathlib import Path
from typing import Final

from collector.cgroup.reading import Network
from collector.files import number, read_or_none

# bytes, packets, errs, drop of each direction; proc(5)
_COLUMNS: Final = (0, 1, 2, 3, 8, 9, 10, 11)
# as cAdvisor does: loopback, and the host's ends of containers
_IGNORED: Final = ("lo", "veth", "docker")


def read_network(proc: str, pid: int) -> Network:
    """Return the counters by interface; empty if the process is gone."""
    return parse_net_dev(read_or_none(f"{proc}/{pid}/net/dev") or b"")


def parse_net_dev(text: bytes) -> Network:
    """Parse /proc/net/dev; lines that do not fit are left out."""
    found: Network = {}
    for line in text.splitlines()[2:]:
        name, colon, rest = line.partition(b":")
        interface = name.strip().decode("utf-8", "replace")
        columns = rest.split()
        if colon and len(columns) >= 12 and not interface.startswith(_IGNORED):
            found[interface] = tuple(number(columns[i]) or 0.0 for i in _COLUMNS)
    return found


def network_namespace(proc: str, pid: int) -> int:
    """Return the number of a process's network namespace, 0 if it may not be asked or is gone."""
    try:
        return Path(proc, str(pid), "ns/net").stat().st_ino
    except OSError:
        return 0
