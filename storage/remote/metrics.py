"""What remote write says of itself; names and help texts are the catalog's."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.catalog import CATALOG


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    metric = CATALOG[name]
    return Counter(name, metric.help, metric.labels, registry=registry)


def _gauge(name: str, registry: CollectorRegistry) -> Gauge:
    metric = CATALOG[name]
    return Gauge(name, metric.help, metric.labels, registry=registry)


class ReceiverMetrics:
    """Of samples taken in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = _counter("taskscope_remote_write_received_samples_total", registry)
        self.rejected = _counter("taskscope_remote_write_rejected_requests_total", registry)


class WriterMetrics:
    """Of samples sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = _counter("taskscope_remote_write_sent_samples_total", registry)
        self.dropped = _counter("taskscope_remote_write_dropped_samples_total", registry)
        self.retries = _counter("taskscope_remote_write_retries_total", registry)
        self.pending = _gauge("taskscope_remote_write_pending_samples", registry)
        self.up = _gauge("taskscope_remote_write_up", registry)
