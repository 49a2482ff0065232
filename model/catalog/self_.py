"""Metrics of Taskscope's own process, under Prometheus's names; its parts have theirs in the other areas."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric("process_cpu_seconds_total", "counter", "seconds", "CPU time that Taskscope has used."),
    Metric(
        "process_resident_memory_bytes", "gauge", "bytes", "Memory that Taskscope has resident."
    ),
    Metric("process_virtual_memory_bytes", "gauge", "bytes", "Address space of Taskscope."),
    Metric(
        "process_start_time_seconds", "gauge", "seconds", "When Taskscope started, since the epoch."
    ),
    Metric("process_open_fds", "gauge", "", "File descriptors that Taskscope has open."),
    Metric("process_max_fds", "gauge", "", "Most file descriptors Taskscope may have open."),
    Metric("process_threads", "gauge", "", "Threads of Taskscope."),
    Metric(
        "taskscope_config_last_reload_successful",
        "gauge",
        "",
        "1 if the configuration was taken up when it was last read, 0 if it stayed as it was.",
    ),
    Metric(
        "taskscope_config_last_reload_success_timestamp_seconds",
        "gauge",
        "seconds",
        "When the configuration was last taken up, since the epoch.",
    ),
)
