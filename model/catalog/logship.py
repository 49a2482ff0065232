"""Metrics of log shipping."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "log_lines_total",
        "counter",
        "",
        "Log records of the task by level (none: the line named no level).",
        ("level",),
        per_task=True,
    ),
    Metric(
        "log_bytes_total",
        "counter",
        "bytes",
        "Bytes of the task's logs that were read.",
        per_task=True,
    ),
    Metric(
        "log_lines_dropped_total",
        "counter",
        "",
        "Log records of the task that its limit left out, by reason: rate, sample.",
        ("reason",),
        per_task=True,
    ),
    Metric(
        "taskscope_logship_lag_bytes",
        "gauge",
        "bytes",
        "Bytes that are in the task's log files and not delivered yet.",
        per_task=True,
    ),
    Metric(
        "taskscope_logship_lag_seconds",
        "gauge",
        "seconds",
        "Age of the oldest record of the task that is not delivered yet.",
        per_task=True,
    ),
    Metric(
        "taskscope_logship_received_records_total",
        "counter",
        "",
        "Records read from sources.",
        ("source",),
    ),
    Metric(
        "taskscope_logship_sent_records_total",
        "counter",
        "",
        "Records delivered, by sink.",
        ("sink",),
    ),
    Metric(
        "taskscope_logship_dropped_records_total",
        "counter",
        "",
        "Records that will not be delivered, by reason.",
        ("reason",),
    ),
    Metric(
        "taskscope_logship_errors_total",
        "counter",
        "",
        "Failures by stage; what will be retried is not dropped.",
        ("stage", "error_type"),
    ),
    Metric(
        "taskscope_logship_redactions_total", "counter", "", "Secrets replaced, by rule.", ("rule",)
    ),
    Metric(
        "taskscope_logship_spool_damaged_records_total",
        "counter",
        "",
        "Records (or stretches between two records) of the buffer on disk that were torn or corrupt and passed over.",
    ),
    Metric(
        "taskscope_logship_sink_up",
        "gauge",
        "",
        "1 if the last delivery to the sink worked.",
        ("sink",),
    ),
    Metric(
        "taskscope_logship_marked_records_total",
        "counter",
        "",
        "Records shipped with a mark: truncated, unparsed, bad_time.",
        ("mark",),
    ),
    Metric(
        "taskscope_logship_metric_failures_total",
        "counter",
        "",
        "Records that a metric made of log lines could not count: value (no number), series (too many label sets).",
        ("metric", "reason"),
    ),
    Metric(
        "taskscope_logship_truncated_files_total",
        "counter",
        "",
        "Log files that were truncated in place; what was not read before is lost.",
    ),
    Metric(
        "taskscope_logship_abandoned_bytes_total",
        "counter",
        "bytes",
        "Bytes that were seen in log files and lost before every sink had them, because a file was truncated.",
    ),
    Metric(
        "taskscope_logship_buffer_bytes",
        "gauge",
        "bytes",
        "Bytes read and not delivered yet, by sink.",
        ("sink",),
    ),
    Metric(
        "taskscope_logship_request_bytes",
        "gauge",
        "bytes",
        "Size of a whole request to the sink, as bytes read; follows what is fastest.",
        ("sink",),
    ),
    Metric(
        "taskscope_logship_requests_in_flight_limit",
        "gauge",
        "",
        "Requests to the sink at the same time; follows what is fastest.",
        ("sink",),
    ),
    Metric("taskscope_logship_open_files", "gauge", "", "Log files and streams that are followed."),
)
