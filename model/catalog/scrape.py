"""Metrics of scraping, under Prometheus's names."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "up",
        "gauge",
        "",
        "1 if the last scrape of the target worked.",
        ("job", "instance"),
        per_task=True,
    ),
    Metric(
        "scrape_duration_seconds",
        "gauge",
        "seconds",
        "How long the last scrape took.",
        ("job", "instance"),
        per_task=True,
    ),
    Metric(
        "scrape_samples_scraped",
        "gauge",
        "",
        "Samples the target exposed.",
        ("job", "instance"),
        per_task=True,
    ),
    Metric(
        "scrape_samples_post_metric_relabeling",
        "gauge",
        "",
        "Samples left after metric relabelling.",
        ("job", "instance"),
        per_task=True,
    ),
    Metric(
        "scrape_series_added",
        "gauge",
        "",
        "Series that were new in this scrape.",
        ("job", "instance"),
        per_task=True,
    ),
    Metric(
        "taskscope_collector_unidentified_containers",
        "gauge",
        "",
        "Container cgroups that no runtime knows.",
    ),
    Metric(
        "taskscope_collector_duration_seconds",
        "gauge",
        "seconds",
        "How long the last collection of one source took.",
        ("source",),
    ),
    Metric(
        "taskscope_collector_series",
        "gauge",
        "",
        "Series that one source gave at its last collection.",
        ("source",),
    ),
    Metric(
        "taskscope_collector_errors_total",
        "counter",
        "",
        "What could not be read, by source and reason.",
        ("source", "reason"),
    ),
    Metric(
        "taskscope_discovery_tasks",
        "gauge",
        "",
        "Known tasks by source and state.",
        ("source", "state"),
    ),
    Metric(
        "taskscope_discovery_up",
        "gauge",
        "",
        "1 if the runtime answered when last asked.",
        ("source",),
    ),
    Metric(
        "taskscope_discovery_failures_total",
        "counter",
        "",
        "Failed questions to a runtime.",
        ("source",),
    ),
)
