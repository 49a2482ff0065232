"""Metrics of health checks; probe names are blackbox_exporter's."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "task_health_status",
        "stateset",
        "",
        "1 for the task's health over all its liveness checks, 0 for the others.",
        ("status",),
        per_task=True,
    ),
    Metric(
        "task_ready",
        "gauge",
        "",
        "1 if every readiness check passes; only for tasks that have one.",
        per_task=True,
    ),
    Metric(
        "probe_success",
        "gauge",
        "",
        "1 if the last probe passed, 0 if it failed; absent while the prober itself fails.",
        ("check",),
        per_task=True,
    ),
    Metric(
        "probe_duration_seconds",
        "gauge",
        "seconds",
        "How long the last probe took.",
        ("check",),
        per_task=True,
    ),
    Metric(
        "probe_last_timestamp_seconds",
        "gauge",
        "seconds",
        "When the last probe started, since the epoch.",
        ("check",),
        per_task=True,
    ),
    Metric(
        "taskscope_healthcheck_probe_errors_total",
        "counter",
        "",
        "Probes that could not be made, by reason.",
        ("reason",),
    ),
    Metric(
        "taskscope_healthcheck_probes_total",
        "counter",
        "",
        "Probes by what they gave.",
        ("result",),
    ),
    Metric(
        "taskscope_healthcheck_checks",
        "gauge",
        "",
        "Checks that are being made.",
    ),
    Metric(
        "taskscope_healthcheck_bad_labels",
        "gauge",
        "",
        "Labels that mean to declare a check and cannot be used.",
    ),
    Metric(
        "taskscope_healthcheck_late_seconds",
        "gauge",
        "seconds",
        "How much later than due the last probe started.",
    ),
)
