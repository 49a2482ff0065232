"""Metrics of the HTTP server."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import CATALOG


class WebMetrics:
    """See ``model.catalog.web``."""

    def __init__(self, registry: CollectorRegistry, open_tails: Callable[[], int]) -> None:
        def counter(name: str) -> Counter:
            metric = CATALOG[name]
            return Counter(name, metric.help, metric.labels, registry=registry)

        self.requests = counter("taskscope_web_requests_total")
        self.request_seconds = counter("taskscope_web_request_seconds_total")
        self.refused = counter("taskscope_web_refused_requests_total")
        self.remote_write_samples = counter("taskscope_web_remote_write_samples_total")
        tails = CATALOG["taskscope_web_log_tails"]
        Gauge(tails.name, tails.help, registry=registry).set_function(open_tails)
