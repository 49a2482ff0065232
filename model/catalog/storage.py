"""Metrics of the embedded stores."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "taskscope_storage_samples_appended_total",
        "counter",
        "",
        "Samples taken in, by kind (scrape: with the target's time; late: with their own).",
        ("kind",),
    ),
    Metric("taskscope_storage_series", "gauge", "", "Series that the store knows."),
    Metric(
        "taskscope_storage_head_frames", "gauge", "", "Compressed frames that are held in memory."
    ),
    Metric("taskscope_storage_blocks", "gauge", "", "Blocks of series on disk."),
    Metric("taskscope_storage_block_bytes", "gauge", "bytes", "Size of the blocks on disk."),
    Metric(
        "taskscope_storage_wal_size_bytes", "gauge", "bytes", "Size of the write-ahead log now."
    ),
    Metric(
        "taskscope_storage_wal_written_bytes_total",
        "counter",
        "bytes",
        "Bytes written to the write-ahead log.",
    ),
    Metric(
        "taskscope_storage_commit_duration_seconds",
        "histogram",
        "seconds",
        "How long writing one group to the write-ahead log took.",
    ),
    Metric(
        "taskscope_storage_failures_total",
        "counter",
        "",
        "What could not be written or read, by operation.",
        ("operation",),
    ),
    Metric(
        "taskscope_storage_series_refused_total",
        "counter",
        "",
        "Series that a limit kept out, counted each time they were offered.",
        ("limit",),
    ),
)
