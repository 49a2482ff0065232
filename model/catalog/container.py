"""Metrics of containers, under cAdvisor's names.

Process tasks without a cgroup have the ones that /proc can answer. A series that a kernel does not
offer (no limit set, no block I/O yet, host network) is absent, never zero.
"""

from typing import Final

from model.catalog.metric import Metric


def _counter(name: str, unit: str, text: str, *labels: str) -> Metric:
    return Metric(name, "counter", unit, text, labels, per_task=True)


def _gauge(name: str, unit: str, text: str) -> Metric:
    return Metric(name, "gauge", unit, text, per_task=True)


_CPU: Final = (
    _counter(
        "container_cpu_usage_seconds_total", "seconds", "CPU time used; cpu is always total.", "cpu"
    ),
    _counter("container_cpu_user_seconds_total", "seconds", "CPU time used in user mode."),
    _counter("container_cpu_system_seconds_total", "seconds", "CPU time used in the kernel."),
    _counter(
        "container_cpu_cfs_periods_total", "", "CPU quota periods in which the task wanted to run."
    ),
    _counter(
        "container_cpu_cfs_throttled_periods_total",
        "",
        "CPU quota periods in which the task was throttled.",
    ),
    _counter(
        "container_cpu_cfs_throttled_seconds_total",
        "seconds",
        "Time for which the task was throttled, summed over its CPUs.",
    ),
)

_MEMORY: Final = (
    _gauge("container_memory_usage_bytes", "bytes", "Memory in use, page cache included."),
    _gauge(
        "container_memory_working_set_bytes",
        "bytes",
        "Memory in use without the page cache that can go at once (usage less inactive files).",
    ),
    _gauge("container_memory_rss", "bytes", "Anonymous memory and swap cache."),
    _gauge("container_memory_cache", "bytes", "Page cache."),
    _gauge("container_memory_swap", "bytes", "Swap in use."),
    _gauge("container_memory_mapped_file", "bytes", "Files mapped into memory."),
    _gauge("container_memory_max_usage_bytes", "bytes", "Highest memory in use so far."),
    _counter("container_memory_failcnt", "", "How often the memory limit was hit (cgroup v1)."),
    _counter(
        "container_memory_failures_total",
        "",
        "Page faults; failure_type is pgfault or pgmajfault, scope is always hierarchy.",
        "failure_type",
        "scope",
    ),
    _counter(
        "container_oom_events_total", "", "Processes that the kernel killed for want of memory."
    ),
)

_SPEC: Final = (
    _gauge("container_spec_memory_limit_bytes", "bytes", "Memory limit; 0 for none."),
    _gauge(
        "container_spec_memory_reservation_limit_bytes",
        "bytes",
        "Soft memory limit; 0 for none.",
    ),
    _gauge("container_spec_memory_swap_limit_bytes", "bytes", "Limit of swap; 0 for none."),
    _gauge("container_spec_cpu_quota", "", "CPU quota in each period, µs; absent if unlimited."),
    _gauge("container_spec_cpu_period", "", "Length of a CPU quota period, µs."),
    _gauge("container_spec_cpu_shares", "", "Relative share of the CPU (1024 is the default)."),
)

_PROCESSES: Final = (
    _gauge("container_processes", "", "Processes in the container."),
    _gauge("container_threads", "", "Threads in the container."),
    _gauge("container_threads_max", "", "Limit of threads; 0 for none."),
    _gauge("container_file_descriptors", "", "Open file descriptors (process tasks)."),
)

_BLOCK_IO: Final = (
    _counter("container_fs_reads_bytes_total", "bytes", "Bytes read from a device.", "device"),
    _counter("container_fs_writes_bytes_total", "bytes", "Bytes written to a device.", "device"),
    _counter("container_fs_reads_total", "", "Reads completed on a device.", "device"),
    _counter("container_fs_writes_total", "", "Writes completed on a device.", "device"),
    _counter(
        "container_blkio_device_usage_total",
        "bytes",
        "Bytes moved to and from a device; operation is Read or Write.",
        "device",
        "major",
        "minor",
        "operation",
    ),
)

_NETWORK: Final = tuple(
    _counter(f"container_network_{direction}_{what}_total", unit, text + tail, "interface")
    for direction, tail in (("receive", " received."), ("transmit", " sent."))
    for what, unit, text in (
        ("bytes", "bytes", "Bytes"),
        ("packets", "", "Packets"),
        ("errors", "", "Errors while packets were"),
        ("packets_dropped", "", "Packets dropped instead of"),
    )
)

_LIFE: Final = (
    _gauge("container_start_time_seconds", "seconds", "Start of the current run, since the epoch."),
    _gauge("container_last_seen", "seconds", "When the container was last read, since the epoch."),
)

METRICS: Final[tuple[Metric, ...]] = (
    *_CPU,
    *_MEMORY,
    *_SPEC,
    *_PROCESSES,
    *_BLOCK_IO,
    *_NETWORK,
    *_LIFE,
)
