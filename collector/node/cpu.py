"""CPU time, load, processes and pressure of the host; proc_stat(5), proc_loadavg(5), kernel psi.rst."""

import os
from typing import Final

from collector.files import number, read_or_none
from collector.node.row import Row

_TICKS_PER_SECOND: Final = float(os.sysconf("SC_CLK_TCK"))
_MODES: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_TOTALS: Final = {
    b"ctxt": "node_context_switches_total",
    b"intr": "node_intr_total",
    b"processes": "node_forks_total",
    b"procs_running": "node_procs_running",
    b"procs_blocked": "node_procs_blocked",
    b"btime": "node_boot_time_seconds",
}
_PRESSURE: Final = {
    ("cpu", b"some"): "node_pressure_cpu_waiting_seconds_total",
    ("memory", b"some"): "node_pressure_memory_waiting_seconds_total",
    ("memory", b"full"): "node_pressure_memory_stalled_seconds_total",
    ("io", b"some"): "node_pressure_io_waiting_seconds_total",
    ("io", b"full"): "node_pressure_io_stalled_seconds_total",
}


def read_stat(proc: str) -> list[Row]:
    """Return CPU time by CPU and mode, and the kernel's own counts."""
    rows: list[Row] = []
    cpus = 0
    for line in (read_or_none(f"{proc}/stat") or b"").splitlines():
        key, _, rest = line.partition(b" ")
        if key.startswith(b"cpu") and key != b"cpu":
            cpus += 1
            cpu = ("cpu", key[3:].decode("ascii", "replace"))
            for mode, ticks in zip(_MODES, rest.split(), strict=False):
                seconds = (number(ticks) or 0.0) / _TICKS_PER_SECOND
                rows.append(("node_cpu_seconds_total", (cpu, ("mode", mode)), seconds))
        elif key in _TOTALS:
            value = number(rest.split(maxsplit=1)[0] if rest else None)
            if value is not None:
                rows.append((_TOTALS[key], (), value))
    if cpus:
        rows.append(("machine_cpu_cores", (), float(cpus)))
    return rows


def read_load(proc: str) -> list[Row]:
    """Return the three load averages."""
    words = (read_or_none(f"{proc}/loadavg") or b"").split()
    names = ("node_load1", "node_load5", "node_load15")
    return [(name, (), number(word) or 0.0) for name, word in zip(names, words, strict=False)]


def read_pressure(proc: str) -> list[Row]:
    """Return the seconds in which processes waited; empty where the kernel has no PSI."""
    rows: list[Row] = []
    for what in ("cpu", "memory", "io"):
        for line in (read_or_none(f"{proc}/pressure/{what}") or b"").splitlines():
            name = _PRESSURE.get((what, line.split(maxsplit=1)[0] if line else b""))
            micros = number(line.partition(b"total=")[2])
            if name is not None and micros is not None:
                rows.append((name, (), micros / 1e6))
    return rows


def read_files(proc: str) -> list[Row]:
    """Return open files and their limit; proc_sys_fs(5)."""
    words = (read_or_none(f"{proc}/sys/fs/file-nr") or b"").split()
    if len(words) < 3:
        return []
    return [
        ("node_filefd_allocated", (), float(words[0])),
        ("node_filefd_maximum", (), float(words[2])),
    ]


def read_kernel(proc: str) -> list[Row]:
    """Return the kernel's name and version as labels."""
    said = {
        label: (read_or_none(f"{proc}/sys/kernel/{file}") or b"").decode("utf-8", "replace").strip()
        for label, file in (
            ("sysname", "ostype"),
            ("release", "osrelease"),
            ("version", "version"),
            ("machine", "arch"),
            ("nodename", "hostname"),
        )
    }
    return [("node_uname_info", tuple(said.items()), 1.0)] if said["release"] else []
