"""Metrics of the HTTP server."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import declared


class WebMetrics:
    """See ``model.catalog.web``."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        open_tails: Callable[[], int],
        queries: Callable[[], int],
    ) -> None:
        def counter(name: str) -> Counter:
            return Counter(*declared(f"taskscope_web_{name}"), registry=registry)

        self.requests = counter("requests_total")
        self.request_seconds = counter("request_seconds_total")
        self.refused = counter("refused_requests_total")
        self.stopped_queries = counter("stopped_queries_total")
        self.remote_write_samples = counter("remote_write_samples_total")
        Gauge(*declared("taskscope_web_log_tails"), registry=registry).set_function(open_tails)
        Gauge(*declared("taskscope_web_queries"), registry=registry).set_function(queries)
