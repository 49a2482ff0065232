"""Metrics of the host, under node_exporter's names; every series carries ``host`` and ``cluster``."""

from typing import Final

from model.catalog.metric import Metric, MetricType

HOST_LABELS: Final = ("cluster", "host")


def _metric(kind: MetricType, name: str, unit: str, text: str, *labels: str) -> Metric:
    return Metric(name, kind, unit, text, (*HOST_LABELS, *labels))


def _counters(*labels: str, names: dict[str, tuple[str, str]]) -> tuple[Metric, ...]:
    return tuple(_metric("counter", n, unit, text, *labels) for n, (unit, text) in names.items())


def _gauges(*labels: str, names: dict[str, tuple[str, str]]) -> tuple[Metric, ...]:
    return tuple(_metric("gauge", n, unit, text, *labels) for n, (unit, text) in names.items())


# Key in /proc/meminfo -> what it says. node_exporter turns "(" into "_" and drops ")".
MEMINFO: Final[dict[str, str]] = {
    "MemTotal": "Memory the kernel has to give.",
    "MemFree": "Memory nobody uses.",
    "MemAvailable": "Memory that can be had without swapping.",
    "Buffers": "Buffers of block devices.",
    "Cached": "Page cache.",
    "SwapCached": "Swapped memory that is in memory too.",
    "Active": "Memory used of late.",
    "Inactive": "Memory not used of late.",
    "Active(anon)": "Anonymous memory used of late.",
    "Inactive(anon)": "Anonymous memory not used of late.",
    "Active(file)": "Page cache used of late.",
    "Inactive(file)": "Page cache not used of late.",
    "Unevictable": "Memory that cannot be taken back.",
    "Mlocked": "Memory locked by its owners.",
    "SwapTotal": "Swap space.",
    "SwapFree": "Swap space that nobody uses.",
    "Dirty": "Memory waiting to be written to disk.",
    "Writeback": "Memory being written to disk.",
    "AnonPages": "Anonymous memory mapped into processes.",
    "Mapped": "Files mapped into processes.",
    "Shmem": "Shared memory and tmpfs.",
    "Slab": "Kernel data structures.",
    "SReclaimable": "Kernel data structures that can be taken back.",
    "SUnreclaim": "Kernel data structures that cannot be taken back.",
    "KernelStack": "Kernel stacks.",
    "PageTables": "Page tables.",
    "CommitLimit": "Memory that may be promised under strict overcommit.",
    "Committed_AS": "Memory promised to processes.",
    "Percpu": "Memory of per-CPU allocations.",
    "Hugetlb": "Memory in huge pages.",
}


def memory_name(key: str) -> str:
    """Return the metric's name for a key of /proc/meminfo."""
    return f"node_memory_{key.replace('(', '_').replace(')', '')}_bytes"


_CPU: Final = (
    *_counters(
        "cpu",
        "mode",
        names={"node_cpu_seconds_total": ("seconds", "Time each CPU spent in each mode.")},
    ),
    *_counters(
        names={
            "node_context_switches_total": ("", "Context switches."),
            "node_intr_total": ("", "Interrupts."),
            "node_forks_total": ("", "Processes started."),
        }
    ),
    *_gauges(
        names={
            "node_procs_running": ("", "Processes that could run now."),
            "node_procs_blocked": ("", "Processes waiting for I/O."),
            "node_boot_time_seconds": ("seconds", "When the host started, since the epoch."),
            "node_time_seconds": ("seconds", "The host's time, since the epoch."),
            "node_load1": ("", "Load average over 1 minute."),
            "node_load5": ("", "Load average over 5 minutes."),
            "node_load15": ("", "Load average over 15 minutes."),
            "node_filefd_allocated": ("", "Open files on the host."),
            "node_filefd_maximum": ("", "Most open files on the host."),
        }
    ),
)

_MEMORY: Final = (
    *_gauges(names={memory_name(key): ("bytes", text) for key, text in MEMINFO.items()}),
    *_counters(names={"node_vmstat_oom_kill": ("", "Processes killed for want of memory.")}),
)

_PRESSURE: Final = _counters(
    names={
        f"node_pressure_{what}_seconds_total": ("seconds", text)
        for what, text in {
            "cpu_waiting": "Time in which some process waited for a CPU.",
            "memory_waiting": "Time in which some process waited for memory.",
            "memory_stalled": "Time in which every process waited for memory.",
            "io_waiting": "Time in which some process waited for I/O.",
            "io_stalled": "Time in which every process waited for I/O.",
        }.items()
    }
)

_DISK: Final = (
    *_counters(
        "device",
        names={
            "node_disk_reads_completed_total": ("", "Reads completed."),
            "node_disk_reads_merged_total": ("", "Reads merged."),
            "node_disk_read_bytes_total": ("bytes", "Bytes read."),
            "node_disk_read_time_seconds_total": ("seconds", "Time spent reading."),
            "node_disk_writes_completed_total": ("", "Writes completed."),
            "node_disk_writes_merged_total": ("", "Writes merged."),
            "node_disk_written_bytes_total": ("bytes", "Bytes written."),
            "node_disk_write_time_seconds_total": ("seconds", "Time spent writing."),
            "node_disk_io_time_seconds_total": ("seconds", "Time in which the disk was busy."),
            "node_disk_io_time_weighted_seconds_total": (
                "seconds",
                "Time spent on I/O, weighted by what was in flight.",
            ),
        },
    ),
    *_gauges("device", names={"node_disk_io_now": ("", "I/O operations in flight.")}),
)

_FILESYSTEM: Final = _gauges(
    "device",
    "fstype",
    "mountpoint",
    names={
        "node_filesystem_size_bytes": ("bytes", "Size of the filesystem."),
        "node_filesystem_free_bytes": ("bytes", "Free space."),
        "node_filesystem_avail_bytes": ("bytes", "Free space for users who are not root."),
        "node_filesystem_files": ("", "File nodes the filesystem has."),
        "node_filesystem_files_free": ("", "Free file nodes."),
        "node_filesystem_readonly": ("", "1 if it is mounted read-only."),
    },
)

_NETWORK: Final = (
    *_counters(
        "device",
        names={
            f"node_network_{direction}_{what}_total": (unit, f"{text} {done}.")
            for direction, done in (("receive", "received"), ("transmit", "sent"))
            for what, unit, text in (
                ("bytes", "bytes", "Bytes"),
                ("packets", "", "Packets"),
                ("errs", "", "Errors while packets were"),
                ("drop", "", "Packets dropped instead of"),
            )
        },
    ),
    *_gauges(
        "device",
        names={
            "node_network_up": ("", "1 if the interface is up."),
            "node_network_mtu_bytes": ("bytes", "Largest packet of the interface."),
        },
    ),
)

_MACHINE: Final = (
    *_gauges(
        names={
            "machine_cpu_cores": ("", "CPUs of the host."),
            "machine_memory_bytes": ("bytes", "Memory of the host."),
        }
    ),
    _metric(
        "info",
        "node_uname_info",
        "",
        "Always 1; kernel and architecture.",
        "sysname",
        "release",
        "version",
        "machine",
        "nodename",
    ),
)

METRICS: Final[tuple[Metric, ...]] = (
    *_CPU,
    *_MEMORY,
    *_PRESSURE,
    *_DISK,
    *_FILESYSTEM,
    *_NETWORK,
    *_MACHINE,
)
