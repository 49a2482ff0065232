"""Memory of the host; proc_meminfo(5), proc_vmstat(5)."""

from typing import Final

from collector.files import keyed, number, read_or_none
from collector.node.row import Row
from model.catalog.node import MEMINFO, memory_name

_NAMES: Final = {key.encode(): memory_name(key) for key in MEMINFO}


def read_memory(proc: str) -> list[Row]:
    """Return the lines of meminfo that are catalogued, in bytes, and the kernel's OOM kills."""
    rows: list[Row] = []
    for line in (read_or_none(f"{proc}/meminfo") or b"").splitlines():
        key, _, rest = line.partition(b":")
        name = _NAMES.get(key)
        words = rest.split()
        value = number(words[0]) if words else None
        if name is None or value is None:
            continue
        size = value * 1024 if words[-1] == b"kB" else value
        rows.append((name, (), size))
        if key == b"MemTotal":
            rows.append(("machine_memory_bytes", (), size))
    kills = number(keyed(read_or_none(f"{proc}/vmstat") or b"").get(b"oom_kill"))
    if kills is not None:
        rows.append(("node_vmstat_oom_kill", (), kills))
    return rows
