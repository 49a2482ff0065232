"""The log store's own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.catalog import declared


class LogDbMetrics:
    """See ``model.catalog.logdb``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str) -> Counter:
            return Counter(*declared(f"taskscope_logdb_{name}"), registry=registry)

        def gauge(name: str) -> Gauge:
            return Gauge(*declared(f"taskscope_logdb_{name}"), registry=registry)

        self.records = counter("records_total")
        self.rejected = counter("rejected_batches_total")
        self.lost_bytes = counter("lost_bytes_total")
        self.failures = counter("failures_total")
        self.dropped = counter("dropped_records_total")
        self.disk_bytes = gauge("disk_bytes")
        self.segments = gauge("segments")
        self.recent_bytes = gauge("recent_bytes")
        self.search_duration = Histogram(
            *declared("taskscope_logdb_search_duration_seconds"), registry=registry
        )
