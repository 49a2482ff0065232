"""The log store's own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.catalog import CATALOG


class LogDbMetrics:
    """See ``model.catalog.logdb``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = _counter("taskscope_logdb_records_total", registry)
        self.rejected = _counter("taskscope_logdb_rejected_batches_total", registry)
        self.lost_bytes = _counter("taskscope_logdb_lost_bytes_total", registry)
        self.failures = _counter("taskscope_logdb_failures_total", registry)
        self.dropped = _counter("taskscope_logdb_dropped_records_total", registry)
        self.disk_bytes = _gauge("taskscope_logdb_disk_bytes", registry)
        self.segments = _gauge("taskscope_logdb_segments", registry)
        self.recent_bytes = _gauge("taskscope_logdb_recent_bytes", registry)
        search = CATALOG["taskscope_logdb_search_duration_seconds"]
        self.search_duration = Histogram(search.name, search.help, registry=registry)


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    metric = CATALOG[name]
    return Counter(name, metric.help, metric.labels, registry=registry)


def _gauge(name: str, registry: CollectorRegistry) -> Gauge:
    metric = CATALOG[name]
    return Gauge(name, metric.help, metric.labels, registry=registry)
