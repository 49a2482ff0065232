"""Metrics of the HTTP server."""

from typing import Final

from model.catalog.metric import Metric

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "taskscope_web_requests_total",
        "counter",
        "",
        "Answered HTTP requests, by endpoint and status code.",
        ("handler", "code"),
    ),
    Metric(
        "taskscope_web_request_seconds_total",
        "counter",
        "seconds",
        "Time spent on HTTP requests until their answer began, by endpoint.",
        ("handler",),
    ),
    Metric(
        "taskscope_web_refused_requests_total",
        "counter",
        "",
        "Requests refused because of their Host, Origin or Sec-Fetch-Site header.",
        ("reason",),
    ),
    Metric("taskscope_web_queries", "gauge", "", "Queries that are evaluated now."),
    Metric(
        "taskscope_web_stopped_queries_total",
        "counter",
        "",
        "Queries that were not answered: too slow, too large, or nobody waited any more.",
        ("reason",),
    ),
    Metric("taskscope_web_log_tails", "gauge", "", "Log tails that are open now."),
    Metric(
        "taskscope_web_remote_write_samples_total",
        "counter",
        "",
        "Samples taken in by remote write.",
    ),
)
