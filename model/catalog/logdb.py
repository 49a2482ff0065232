"""Metrics of the embedded log store."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "taskscope_logdb_records_total",
        "counter",
        "",
        "Records handed to the log store, by result (stored, duplicate).",
        ("result",),
    ),
    Metric(
        "taskscope_logdb_rejected_batches_total",
        "counter",
        "",
        "Batches the log store could not take; they are tried again.",
        ("reason",),
    ),
    Metric(
        "taskscope_logdb_disk_bytes",
        "gauge",
        "bytes",
        "Bytes the log store has on disk, by kind (segments, wal).",
        ("kind",),
    ),
    Metric("taskscope_logdb_segments", "gauge", "", "Segments of the log store."),
    Metric(
        "taskscope_logdb_recent_bytes",
        "gauge",
        "bytes",
        "Size of the records that are not in a segment yet.",
    ),
    Metric(
        "taskscope_logdb_lost_bytes_total",
        "counter",
        "bytes",
        "Bytes found damaged and left out, by kind (segments, wal, manifest, sources).",
        ("kind",),
    ),
    Metric(
        "taskscope_logdb_failures_total",
        "counter",
        "",
        "Background work that failed and is tried again, by stage.",
        ("stage",),
    ),
    Metric(
        "taskscope_logdb_dropped_records_total",
        "counter",
        "",
        "Records deleted, by reason (age, size).",
        ("reason",),
    ),
    Metric(
        "taskscope_logdb_search_duration_seconds",
        "histogram",
        "seconds",
        "How long searches took.",
    ),
)
